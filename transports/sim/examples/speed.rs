//! How fast the simulation is.
//!
//! ```sh
//! cargo run --release -p distbus-sim --example speed             # 80,000 events in each case, and ten nodes for ten minutes
//! cargo run -p distbus-sim --example speed -- 800                # fewer, to see that it works
//! ```
//!
//! An event is one that a node emits, a broker relays and another node's handler gets, over links with latency. A thing that happened is one record
//! of the trace: a frame that was sent or that arrived, a connection, a fault.

use distbus_sim::{Latency, LinkConfig, Options, Profile, Run, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long something takes of real time.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let start = std::time::Instant::now();
    let result = what();
    (result, start.elapsed().as_secs_f64())
}

fn latency() -> LinkConfig {
    LinkConfig::default().with_latency(Latency::log_normal(Duration::from_millis(5), 0.5))
}

/// So many pairs of a publisher and a subscriber, and events a publisher, one each millisecond.
fn pairs(pairs: usize, events: u64) -> (Run, u64) {
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let run = run(&Options::seed(1), |sim| async move {
        sim.broker("hub").ready().await;
        sim.network().set_default(latency());
        let mut publishing = tokio::task::JoinSet::new();
        for pair in 0..pairs {
            let topic = format!("pair.{pair}");
            let subscriber = sim.at(&format!("subscriber{pair}")).connect("hub").await?;
            let count = count.clone();
            let handler = move |_: u64| _ = count.fetch_add(1, Relaxed);
            subscriber.on_sync(&topic, handler).await?;
            let publisher = sim.at(&format!("publisher{pair}")).connect("hub").await?;
            publishing.spawn(async move {
                for number in 0..events {
                    publisher.emit(&topic, &number).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                publisher.flush().await.map(|()| (publisher, subscriber))
            });
        }
        let ended = publishing.join_all().await;
        sim.advance(Duration::from_secs(1)).await;
        ended.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    });
    (run, seen.load(Relaxed))
}

/// A broker and two clients that have nothing to say, for a day.
fn idle_day() -> Run {
    run(&Options::seed(1), |sim| async move {
        sim.broker("hub").ready().await;
        let one = sim.at("one").connect("hub").await?;
        let two = sim.at("two").connect("hub").await?;
        sim.advance(Duration::from_secs(86_400)).await;
        drop((one, two));
        Ok::<(), distbus::Error>(())
    })
}

/// Ten nodes that emit and hear, for so long, while things go wrong.
fn hostile(seed: u64, time: Duration) -> Run {
    run(&Options::seed(seed), |sim| async move {
        sim.network().set_default(latency());
        sim.broker("hub");
        for n in 0..10 {
            sim.node(&format!("node{n}"), |node| async move {
                loop {
                    let Ok(client) = node.connect("hub").await else {
                        continue;
                    };
                    if client.on_sync("n.*", |_: u64| ()).await.is_err() {
                        continue;
                    }
                    while client.emit("n.x", &1).await.is_ok() && !client.is_closed() {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            });
        }
        let mut profile = Profile::tcp();
        profile.during = time;
        profile.most = 40;
        let faults = sim.draw_faults(&profile);
        sim.inject(faults);
        sim.advance(time).await;
    })
}

fn main() {
    let events = match std::env::args().nth(1).map(|text| text.parse::<u64>()) {
        None => 80_000,
        Some(Ok(events)) => events.max(16),
        Some(Err(error)) => panic!("the argument is a number of events: {error}"),
    };
    for count in [1, 4, 16] {
        let each = events / count as u64;
        let ((run, seen), seconds) = timed(|| pairs(count, each));
        assert_eq!((run.failure, seen), (None, each * count as u64), "{count} pairs");
        let (rate, things) = (seen as f64 / seconds, run.count as f64 / seconds);
        println!(
            "{count:>2} publishers, each to one subscriber: {rate:>9.0} events/s, {things:>9.0} things/s"
        );
    }
    // Ten minutes of four runs where there are 80,000 events.
    let time = Duration::from_millis(events.saturating_mul(600) / 80);
    let (runs, seconds) = timed(|| (0..4).map(|seed| hostile(seed, time)).collect::<Vec<_>>());
    let arrived: u64 = runs.iter().map(|run| run.totals.arrived).sum();
    let things: u64 = runs.iter().map(|run| run.count).sum();
    assert!(runs.iter().all(|run| run.failure.is_none()));
    println!(
        "ten nodes to each other under faults:      {:>9.0} frames/s, {:>9.0} things/s",
        arrived as f64 / seconds,
        things as f64 / seconds
    );
    let (run, seconds) = timed(idle_day);
    assert_eq!(run.failure, None);
    println!("an idle day of a broker and two clients:   {:.3} s", seconds);
}
