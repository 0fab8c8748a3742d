//! A broker, a client, and events of your own types, over ZeroMQ.
//!
//! `cargo run --example quickstart`

use distbus::{Broker, Client, Event};
use serde::{Deserialize, Serialize};

/// Anything that `serde` can write is an event's data.
#[derive(Serialize, Deserialize)]
struct Temperature {
    celsius: f64,
}

#[tokio::main]
async fn main() -> Result<(), distbus::Error> {
    // The server. Port 0 takes a free one, so that this example disturbs nobody.
    let broker = Broker::bind("tcp://127.0.0.1:0").await?;
    println!("the broker listens at {}", broker.endpoint());

    // Usually in another process, perhaps in Python: `await DEntryPoint().connect(ip, port)`.
    let client = Client::connect(broker.endpoint()).await?;

    // When `on` returns, the broker has the subscription: no sleep, and the first event is not lost.
    client
        .on("lab.temp", |t: Temperature| async move {
            println!("a handler of temperatures: {} °C", t.celsius);
        })
        .await?;
    // `*` stands for everything below `lab`. Such a handler gets whole events.
    client
        .on_event("lab.*", |event: Event| async move {
            println!(
                "a handler of all of lab:   {} at {}",
                event.topic(),
                event.timestamp()
            );
        })
        .await?;
    // The same events once more, to be read where it suits you.
    let mut temps = client.subscribe::<Temperature>("lab.temp").await?;

    client.emit("lab.temp", &Temperature { celsius: 21.5 }).await?;
    let temp = temps.next().await.expect("the client is open");
    println!("a stream of temperatures:  {} °C", temp.celsius);
    assert_eq!(temp.celsius, 21.5);

    // Closing lets the handlers finish, and says what it could not deliver.
    let report = client.close().await;
    assert_eq!(report.undelivered, 0);
    let handled = client.stats().handled;
    assert_eq!((handled.offered, handled.delivered), (3, 3), "{handled:?}");
    println!("one event, three receivers, {} deliveries", handled.delivered);

    broker.close().await;
    Ok(())
}
