//! Values that announce their changes, in paused time.
// Clippy knows only the test functions themselves as tests, not their helpers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{Broker, Client, Error, Evented, LocalBus, Memory};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    rpm: u32,
    notes: Vec<String>,
}

/// Announcements so far: when, counted in milliseconds, and the rpm.
#[derive(Clone)]
struct Changes(Arc<Mutex<Vec<(u128, u32)>>>);

impl Changes {
    fn on(bus: &LocalBus) -> Self {
        let changes = Self(Arc::default());
        let (start, seen) = (Instant::now(), changes.clone());
        let note = move |settings: &Settings| {
            let at = start.elapsed().as_millis();
            seen.0.lock().unwrap().push((at, settings.rpm));
        };
        bus.entry("view").on_sync("Settings.changed", note).unwrap();
        changes
    }

    fn take(&self) -> Vec<(u128, u32)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn settings(bus: &LocalBus) -> Evented<Settings> {
    let value = Settings {
        rpm: 0,
        notes: Vec::new(),
    };
    Evented::new(value, bus.clone())
}

async fn ms(time: u64) {
    sleep(Duration::from_millis(time)).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_announced_once_when_it_rests() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    for i in 1..=5 {
        assert_eq!(
            settings.update(|s| {
                s.rpm = i;
                s.notes.push("more".into());
                s.notes.len()
            }),
            i as usize
        );
        ms(20).await;
    }
    ms(1000).await;
    // The last change was at 80 ms. Timers have a resolution of one.
    let seen = changes.take();
    assert!(matches!(seen[..], [(180..=181, 5)]), "{seen:?}");
    settings.set(Settings {
        rpm: 9,
        notes: Vec::new(),
    });
    ms(200).await;
    assert!(matches!(changes.take()[..], [(_, 9)]));
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_while_nothing_changes() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let idle = tasks();
    settings.update(|s| s.rpm = 1);
    settings.update(|s| s.rpm = 2);
    assert_eq!(tasks(), idle + 1);
    ms(300).await;
    assert_eq!(tasks(), idle);
    assert_eq!(changes.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_rests_is_announced_all_the_same() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    for i in 0..60 {
        settings.update(|s| s.rpm = i);
        ms(50).await;
    }
    let seen = changes.take();
    assert_eq!(seen.len(), 2, "{seen:?}");
    ms(200).await;
    assert_eq!(changes.take().last().map(|(_, rpm)| *rpm), Some(59));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_does_not_change_and_a_dropped_value_still_announces() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    let before = settings.get();
    settings.update(|s| s.rpm = 3);
    assert_eq!((before.rpm, settings.get().rpm), (0, 3));
    drop(settings);
    ms(200).await;
    assert_eq!(changes.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_announces_now_and_once() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    settings.flush().await.unwrap();
    assert!(changes.take().is_empty());
    settings.update(|s| s.rpm = 3);
    settings.flush().await.unwrap();
    assert_eq!(changes.take(), [(0, 3)]);
    ms(500).await;
    assert!(changes.take().is_empty());
    settings.update(|s| s.rpm = 4);
    bus.close().await;
    assert!(matches!(settings.flush().await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_change_what_it_is_told_of() {
    let bus = LocalBus::new();
    let changes = Changes::on(&bus);
    let settings = settings(&bus);
    let again = settings.clone();
    bus.entry("limits")
        .on_sync("Settings.changed", move |s: &Settings| {
            if s.rpm > 100 {
                again.update(|s| s.rpm = 100);
            }
        })
        .unwrap();
    settings.update(|s| s.rpm = 500);
    ms(500).await;
    let rpms: Vec<_> = changes.take().into_iter().map(|(_, rpm)| rpm).collect();
    assert_eq!(rpms, [500, 100]);
}

#[test]
fn a_change_outside_a_runtime_waits_for_one_inside() {
    let bus = LocalBus::new();
    let settings = settings(&bus);
    settings.update(|s| s.rpm = 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let changes = Changes::on(&bus);
        settings.update(|s| s.rpm += 1);
        ms(200).await;
        assert!(matches!(changes.take()[..], [(_, 2)]));
    });
}

#[test]
fn a_runtime_that_ends_in_between_does_not_end_the_announcements() {
    let bus = LocalBus::new();
    let settings = settings(&bus);
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async { settings.update(|s| s.rpm += 1) });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let changes = Changes::on(&bus);
        settings.update(|s| s.rpm += 1);
        ms(200).await;
        assert!(matches!(changes.take()[..], [(_, 3)]));
    });
}

#[tokio::test(start_paused = true)]
async fn a_client_announces_too() {
    let network = Memory::new();
    let builder = Broker::builder().transport(network.clone());
    let broker = builder.bind("mem://x").await.unwrap();
    let client = Client::builder()
        .transport(network)
        .connect("mem://x")
        .await
        .unwrap();
    let mut changes = client.subscribe::<u32>("level").await.unwrap();
    let level = Evented::builder(0_u32, client.clone())
        .topic("level")
        .debounce(Duration::from_millis(20))
        .build()
        .unwrap();
    level.set(7);
    assert_eq!(*changes.next().await.unwrap(), 7);
    client.close().await;
    broker.close().await;
}
