//! A Python process and a Rust one on the same bus: structs here are dicts there.
//!
//! `cargo run --example python_beside_rust`
//!
//! The other half is `python_beside_rust.py`, which uses Python's `aiodistbus` as it is. Without that library this example says how to get it.

use distbus::{Broker, Client};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{interval, timeout};

#[derive(Serialize, Deserialize)]
struct Temperature {
    room: String,
    celsius: f64,
}

/// What Python says about it.
#[derive(Debug, PartialEq, Deserialize)]
struct Seen {
    room: String,
    warm: bool,
}

/// A Python that has the library: the system's, or that of this project's tests.
async fn python() -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?;
    let of_tests = target.ancestors().nth(3)?.join("tmp/aiodistbus-0.0.2/bin/python");
    for python in [PathBuf::from("python3"), of_tests] {
        let import = Command::new(&python)
            .args(["-c", "import aiodistbus"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if import.await.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    None
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(python) = python().await else {
        println!("python3 has no aiodistbus, so there is nothing to see. Get it with:");
        println!("    python3 -m venv lab && . lab/bin/activate && pip install aiodistbus==0.0.2");
        return Ok(());
    };
    timeout(Duration::from_secs(45), side_by_side(&python)).await?
}

async fn side_by_side(python: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::bind("tcp://127.0.0.1:0").await?;
    let client = Client::connect(broker.endpoint()).await?;
    let mut pongs = client.subscribe::<u32>("python.pong").await?;
    let mut fahrenheit = client.subscribe::<f64>("python.fahrenheit").await?;
    let mut seen = client.subscribe::<Seen>("python.seen").await?;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python_beside_rust.py");
    let port = broker.endpoint().port().unwrap_or_default().to_string();
    let mut node = Command::new(python)
        .arg(script)
        .args(["127.0.0.1", &port])
        .stdin(Stdio::null())
        .stdout(Stdio::null()) // the library's log
        .kill_on_drop(true)
        .spawn()?;

    // In Python `on` returns before the broker knows, so ask until there is an answer. It subscribes in order: this was its last.
    let mut again = interval(Duration::from_millis(100));
    let answer = loop {
        tokio::select! {
            pong = pongs.next() => break pong.expect("the client is open"),
            _ = again.tick() => drop(client.emit("lab.ping", &7).await?),
            ended = node.wait() => return Err(format!("Python ended early: {}", ended?).into()),
        }
    };
    assert_eq!(*answer, 7);

    for (room, celsius) in [("attic", 25.0), ("cellar", 10.0)] {
        println!("Rust:   {celsius} °C in the {room}");
        client
            .emit(
                "lab.temp",
                &Temperature {
                    room: room.into(),
                    celsius,
                },
            )
            .await?;
        let fahrenheit = fahrenheit.next().await.expect("the client is open");
        let seen = seen.next().await.expect("the client is open");
        println!("Rust:   Python says that is {} °F, {:?}", *fahrenheit, *seen);
        assert_eq!(*fahrenheit, celsius * 9.0 / 5.0 + 32.0);
        assert_eq!(
            *seen,
            Seen {
                room: room.into(),
                warm: celsius > 20.0
            }
        );
    }

    client.emit("lab.stop", "that was all").await?;
    assert!(node.wait().await?.success(), "Python ended well");
    client.close().await;
    let report = broker.close().await;
    assert_eq!(report.undelivered, 0);
    println!(
        "Rust:   {} events passed the broker, probes among them",
        broker.stats().relayed
    );
    Ok(())
}
