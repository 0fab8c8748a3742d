//! Two local buses, one in each of two programs, joined through brokers. In a ring on purpose: nothing goes round twice.
//!
//! `cargo run --example bridge`

use distbus::{ALL, Broker, Event, LocalBus, Reject};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::timeout;

/// Counts what a bus sees, whatever it is.
fn count_on(bus: &LocalBus) -> Result<Arc<AtomicU64>, distbus::Error> {
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    bus.entry("counter").on_event(ALL, move |_: Event| {
        seen.fetch_add(1, Relaxed);
        async {}
    })?;
    Ok(count)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    timeout(Duration::from_secs(30), joined()).await?
}

async fn joined() -> Result<(), Box<dyn std::error::Error>> {
    let first = Broker::bind("tcp://127.0.0.1:0").await?;
    let second = Broker::bind("tcp://127.0.0.1:0").await?;

    // A bus is of one process. `link` sends its events to a broker, and brings in those of others, with their ids and times.
    let (kitchen, garage) = (LocalBus::new(), LocalBus::new());
    for bus in [&kitchen, &garage] {
        bus.link(first.endpoint(), ALL).await?;
        // A second way between the same two: a ring.
        bus.link(second.endpoint(), ALL).await?;
    }
    let (in_kitchen, in_garage) = (count_on(&kitchen)?, count_on(&garage)?);

    let mut opened = garage.entry("lamp").subscribe::<bool>("kitchen.door")?;
    let mut started = kitchen.entry("display").subscribe::<u32>("garage.engine")?;
    for round in 0..10 {
        kitchen.emit("kitchen.door", round % 2 == 0).await?;
        garage.emit("garage.engine", 900 + round).await?;
        let door = opened.next().await.expect("the bus is open");
        let engine = started.next().await.expect("the bus is open");
        assert_eq!((*door, *engine), (round % 2 == 0, 900 + round));
        if round == 0 {
            let via = door.event().via().map(ToString::to_string).unwrap_or_default();
            println!("the garage hears of the kitchen's door through {via}");
        }
    }

    // The bridges end when what they hold has been sent, the brokers when they have relayed it.
    for bus in [&kitchen, &garage] {
        for broker in [&first, &second] {
            bus.deforward(broker.endpoint()).await?;
        }
    }
    for broker in [&first, &second] {
        broker.flush().await?;
    }
    for bus in [&kitchen, &garage] {
        for broker in [&first, &second] {
            bus.unlisten(broker.endpoint()).await?;
        }
    }

    // Each of the 20 events was seen once on each bus. What came the other way round was refused, and counted.
    for (name, bus, seen) in [
        ("kitchen", &kitchen, &in_kitchen),
        ("garage", &garage, &in_garage),
    ] {
        let loops = bus.stats().rejected_by(Reject::Loop);
        println!(
            "the {name} saw {} events, and refused {loops} that it had seen before",
            seen.load(Relaxed)
        );
        assert_eq!(seen.load(Relaxed), 20);
        assert!(loops > 0, "the ring is closed");
        bus.close().await;
    }
    first.close().await;
    second.close().await;
    Ok(())
}
