//! A transport of your own: over Unix sockets, small, and whole. It keeps every promise of the contract. Written to be copied.
//!
//! `cargo run --example custom_transport` runs a program over it, `cargo test --example custom_transport` the conformance suite: a test for
//! each promise, made by the one line at the end of this file.
//!
//! | file | is |
//! | --- | --- |
//! | this one | the [`Transport`]: endpoints, `bind` and `connect` |
//! | `custom_transport/wire.rs` | messages on a connection, limits, the set of a client's subscriptions |
//! | `custom_transport/broker.rs` | the broker's link: tasks, handshakes, what comes in |
//! | `custom_transport/subscriber.rs` | what waits for one client, and what happens when that is too much |
//! | `custom_transport/client.rs` | the client's link |

use async_trait::async_trait;
use distbus_transport::{
    BrokerLink, ClientLink, Endpoint, Guarantees, Limits, PeerId, Transport, TransportError,
};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::time::sleep;

#[path = "custom_transport/broker.rs"]
mod broker;
#[path = "custom_transport/client.rs"]
mod client;
#[path = "custom_transport/subscriber.rs"]
mod subscriber;
#[path = "custom_transport/wire.rs"]
mod wire;

use client::NoLink;

/// Serves `ipc://path`, the path of a socket file; who may connect is decided by the rights on its folder. Both ends need the same limits.
///
/// A file that a killed process left behind has to be removed by hand: to tell it from one in use would be a guess.
#[derive(Clone, Copy, Debug, Default)]
struct Unix;

const NAME: &str = "unix";

#[async_trait]
impl Transport for Unix {
    fn name(&self) -> &'static str {
        NAME
    }

    /// All of them. For a transport of yours start with fewer, and add what the suite confirms.
    ///
    /// A frame counts as delivered when the connection has taken it. What a connection held when it broke nobody knows.
    fn guarantees(&self) -> Guarantees {
        Guarantees::strong()
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        let (listener, path) = listen(path_of(endpoint)?)?;
        Ok(broker::link(listener, path, limits))
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        let path = path_of(endpoint)?;
        let endpoint = endpoint.clone();
        loop {
            match client::connect(path, peer, limits).await {
                Ok(link) => return Ok(link),
                Err(NoLink::Refused(reason)) => return Err(TransportError::Refused { endpoint, reason }),
                Err(NoLink::Failed(source)) => return Err(TransportError::Connect { endpoint, source }),
                // Nothing tells when somebody listens, so it looks again. Who has waited enough drops this future.
                Err(NoLink::Nobody) => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

fn path_of(endpoint: &Endpoint) -> Result<&Path, TransportError> {
    match endpoint {
        Endpoint::Ipc { path } => Ok(Path::new(path)),
        other => Err(TransportError::Unsupported {
            transport: NAME,
            endpoint: other.clone(),
            takes: "ipc://path",
        }),
    }
}

/// Listens at a path. The empty one asks for a fresh one.
fn listen(path: &Path) -> Result<(UnixListener, PathBuf), TransportError> {
    static FRESH: AtomicU64 = AtomicU64::new(0);
    let any = path.as_os_str().is_empty();
    loop {
        let mut path = path.to_owned();
        if any {
            let fresh = FRESH.fetch_add(1, Relaxed);
            path = std::env::temp_dir().join(format!("distbus-{}-{fresh}.sock", std::process::id()));
        }
        let endpoint = Endpoint::ipc(path.to_string_lossy());
        match UnixListener::bind(&path) {
            Ok(listener) => return Ok((listener, path)),
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                return Err(TransportError::Bind {
                    endpoint,
                    source: error,
                });
            }
            Err(_) if any => {}
            Err(_) => return Err(TransportError::AddressInUse { endpoint }),
        }
    }
}

/// A program over it: nothing here knows what carries its events.
#[tokio::main]
async fn main() -> Result<(), distbus::Error> {
    let broker = distbus::Broker::builder().transport(Unix).bind("ipc://").await?;
    println!("the broker listens at {}", broker.endpoint());
    let lab = distbus::Client::builder()
        .transport(Unix)
        .connect(broker.endpoint())
        .await?;
    let desk = distbus::Client::builder()
        .transport(Unix)
        .connect(broker.endpoint())
        .await?;

    let mut temps = desk.subscribe::<f64>("lab.temp").await?;
    for celsius in [20.5, 21.0, 21.5] {
        lab.emit("lab.temp", &celsius).await?;
        let temp = temps.next().await.expect("the client is open");
        println!("{} °C came through a Unix socket", *temp);
        assert_eq!(*temp, celsius);
    }

    assert_eq!(broker.stats().transport.clients, 2);
    assert_eq!(lab.close().await.undelivered, 0);
    assert_eq!(broker.close().await.undelivered, 0);
    desk.close().await;
    println!(
        "promises that it does not make: {}",
        Unix.guarantees().missing().len()
    );
    Ok(())
}

// The whole test of a transport.
#[cfg(test)]
distbus_transport::conformance!(Unix, "ipc://");
