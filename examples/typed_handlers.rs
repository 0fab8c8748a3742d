//! Everything a handler can be: typed, wildcard, synchronous, detached, failing, replaced, taken off; and streams.
//!
//! `cargo run --example typed_handlers`

use distbus::{Broker, Client, DropReason, Error, Event, Memory};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Command {
    Start { rpm: u32 },
    Stop,
}

#[derive(Debug, thiserror::Error)]
#[error("the pump turns at most 1000 times a minute, not {0}")]
struct TooFast(u32);

#[tokio::main]
async fn main() -> Result<(), Error> {
    // The network of this example is the memory of this process. Over ZeroMQ the rest is the same.
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://lab")
        .await?;
    let pump = Client::builder()
        .transport(network.clone())
        .connect("mem://lab")
        .await?;
    let desk = Client::builder().transport(network).connect("mem://lab").await?;

    // 1. A handler of your type. It may fail: the error is logged and counted, and nobody else feels it.
    pump.on("pump.command", |command: Command| async move {
        match command {
            Command::Start { rpm } if rpm > 1000 => Err(TooFast(rpm)),
            other => {
                println!("pump: {other:?}");
                Ok(())
            }
        }
    })
    .await?;

    // 2. One with nothing to wait for costs no future. `+` stands for exactly one word; an event with other data than a `u32`
    //    is counted as undecodable, and the handler is spared.
    let readings = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&readings);
    desk.on_sync("pump.+.rpm", move |rpm: u32| {
        println!("desk: a sensor reads {rpm} rpm");
        count.fetch_add(1, Relaxed);
    })
    .await?;

    // 3. `*` stands for all that follows, and `on_event` gets the whole event; what it carries is read when you ask.
    desk.on_event("pump.*", |event: Event| async move {
        println!("desk: {} ({:?})", event.topic(), event.kind());
        if let Ok(command) = event.get::<Command>() {
            println!("desk: it was a command, {command:?}");
        }
    })
    .await?;

    // 4. The next event waits for the handlers of the one before, unless they are detached.
    let (open, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opened, waits) = (Arc::clone(&open), Arc::clone(&gate));
    pump.on_detached("pump.slow", move |(): ()| {
        let (opened, waits) = (Arc::clone(&opened), Arc::clone(&waits));
        async move {
            opened.notify_one();
            waits.notified().await;
            println!("pump: the slow job is done");
        }
    })
    .await?;

    // 5. Streams, as many as you like beside the handlers.
    let mut commands = pump.subscribe::<Command>("pump.command").await?;

    desk.emit_empty("pump.slow").await?;
    open.notified().await; // It runs, and will until the gate opens: what follows does not wait for it.
    desk.emit("pump.command", &Command::Start { rpm: 500 }).await?;
    desk.emit("pump.command", &Command::Start { rpm: 5000 }).await?;
    desk.emit("pump.command", &Command::Stop).await?;
    desk.emit("pump.a.rpm", &500).await?;
    desk.emit("pump.b.rpm", "five hundred").await?;
    for expected in [
        Command::Start { rpm: 500 },
        Command::Start { rpm: 5000 },
        Command::Stop,
    ] {
        let command = commands.next().await.expect("the client is open");
        assert_eq!(*command, expected);
    }
    gate.notify_one();

    // 6. One handler for each pattern: the newest takes the place of the one before. `off` takes it off.
    let newest = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&newest);
    pump.on_sync("pump.command", move |_: Command| {
        count.fetch_add(1, Relaxed);
    })
    .await?;
    desk.emit("pump.command", &Command::Stop).await?;
    assert_eq!(commands.next().await.as_deref(), Some(&Command::Stop));
    pump.off("pump.command").await?;
    assert!(matches!(
        pump.off("pump.command").await,
        Err(Error::NotRegistered(_))
    ));
    desk.emit("pump.command", &Command::Stop).await?;
    desk.flush().await?; // The broker has relayed everything by now.
    assert_eq!(
        commands.next().await.as_deref(),
        Some(&Command::Stop),
        "streams stay"
    );
    assert_eq!(newest.load(Relaxed), 1, "it had one of the two");

    // 7. A mistake in a topic is an error here, not silence there.
    let mistake = desk.emit("pump.*", &1).await.expect_err("a pattern is no topic");
    println!("refused: {mistake}");
    let mistake = desk
        .on_sync("pump*", |_: u32| ())
        .await
        .expect_err("half a wildcard");
    println!("refused: {mistake}");

    // Nothing is lost in silence: closing lets handlers finish, and then the counts add up.
    pump.close().await;
    desk.close().await;
    let (at_pump, at_desk) = (pump.stats().handled, desk.stats().handled);
    assert_eq!(
        at_pump.dropped_by(DropReason::Failed),
        1,
        "the command that was too fast"
    );
    assert_eq!(
        at_desk.dropped_by(DropReason::Undecodable),
        1,
        "the text that is no number"
    );
    assert_eq!(readings.load(Relaxed), 1);
    for stats in [&at_pump, &at_desk] {
        assert_eq!(stats.offered, stats.delivered + stats.total_dropped());
        println!(
            "{} offered, {} taken, dropped {:?}",
            stats.offered, stats.delivered, stats.dropped
        );
    }
    broker.close().await;
    Ok(())
}
