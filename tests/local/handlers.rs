//! What handlers may do, and who waits for them.

use super::lab::{Seen, assert_law, lab, not_called, within};
use distbus::{DropReason, LocalBus};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

#[tokio::test]
async fn failing_and_panicking_handlers_hurt_nobody() {
    let (bus, _) = lab();
    let seen = Seen::default();
    bus.entry("fails")
        .on_sync("a", |_: &u32| Err::<(), _>("no"))
        .unwrap();
    bus.entry("panics").on_sync("a", not_called::<u32>).unwrap();
    bus.entry("fails later")
        .on("a", |_: Arc<u32>| async { Err::<(), _>("later") })
        .unwrap();
    bus.entry("panics at once")
        .on("a", |v: Arc<u32>| {
            assert!(*v > 100, "at once");
            async {}
        })
        .unwrap();
    bus.entry("panics later")
        .on_event("*", |_| async {
            tokio::task::yield_now().await;
            not_called(&());
        })
        .unwrap();
    let s = seen.clone();
    bus.entry("good").on_sync("a", move |v: &u32| s.add(v)).unwrap();
    for i in 0..3_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(seen.take(), ["0", "1", "2"]);
    assert_eq!(bus.stats().dropped_by(DropReason::Failed), 15);
    assert_eq!(bus.stats().delivered, 3);
    assert_law(&bus);
}

#[tokio::test]
async fn a_handler_may_emit_to_its_own_topic_and_register() {
    let (bus, lab) = lab();
    let count = Arc::new(AtomicUsize::new(0));
    let (b, c) = (bus.clone(), Arc::clone(&count));
    lab.on("countdown", move |n: Arc<u32>| {
        let (bus, count) = (b.clone(), Arc::clone(&c));
        async move {
            count.fetch_add(1, SeqCst);
            bus.entry("more").on_sync("other", |_: &u32| ()).unwrap();
            if *n > 0 {
                bus.emit("countdown", *n - 1).await.unwrap();
            }
        }
    })
    .unwrap();
    let (l, c) = (lab.clone(), Arc::clone(&count));
    bus.entry("sync")
        .on_sync("countdown", move |_: &u32| {
            c.fetch_add(1, SeqCst);
            l.on_sync("fresh", |_: &u32| ()).unwrap();
        })
        .unwrap();
    within("the countdown", bus.emit("countdown", 20_u32))
        .await
        .unwrap();
    assert_eq!(count.load(SeqCst), 42);
    assert_law(&bus);
}

#[tokio::test]
async fn handlers_of_one_event_run_together_and_the_emitter_waits() {
    let (bus, _) = lab();
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for (name, mine, other) in [("a", &first, &second), ("b", &second, &first)] {
        let (mine, other) = (Arc::clone(mine), Arc::clone(other));
        bus.entry(name)
            .on("meet", move |_: Arc<u32>| {
                let (mine, other) = (Arc::clone(&mine), Arc::clone(&other));
                async move {
                    other.notify_one();
                    mine.notified().await;
                }
            })
            .unwrap();
    }
    // Each waits for the other: one after the other they would wait for ever.
    within("the meeting", bus.emit("meet", 1_u32)).await.unwrap();
    assert_eq!(bus.stats().delivered, 2);
}

#[tokio::test]
async fn detached_handlers_and_emissions_are_not_waited_for() {
    let (bus, lab) = lab();
    let gate = Arc::new(Semaphore::new(0));
    let (done, mut finished) = mpsc::channel(8);
    let (g, d) = (Arc::clone(&gate), done.clone());
    lab.on_detached("slow", move |v: Arc<u32>| {
        let (g, d) = (Arc::clone(&g), d.clone());
        async move {
            g.acquire().await.unwrap().forget();
            d.send(*v).await.unwrap();
        }
    })
    .unwrap();
    within("emit", bus.emit("slow", 1_u32)).await.unwrap();
    let (g, d) = (Arc::clone(&gate), done.clone());
    bus.entry("b")
        .on("patient", move |v: Arc<u32>| {
            let (g, d) = (Arc::clone(&g), d.clone());
            async move {
                g.acquire().await.unwrap().forget();
                d.send(*v).await.unwrap();
            }
        })
        .unwrap();
    within("emit_detached", bus.emit_detached("patient", 2_u32))
        .await
        .unwrap();
    assert_eq!(bus.stats().in_flight(), 2);
    gate.add_permits(2);
    let mut got = vec![
        within("one", finished.recv()).await.unwrap(),
        within("two", finished.recv()).await.unwrap(),
    ];
    got.sort_unstable();
    assert_eq!(got, [1, 2]);
    assert_eq!(within("close", bus.close()).await.undelivered, 0);
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn detached_tasks_are_bounded() {
    let bus = LocalBus::builder().detached(2).build();
    bus.entry("stuck")
        .on_detached("a", |_: Arc<u32>| pending::<()>())
        .unwrap();
    let start = Instant::now();
    for i in 0..10_u32 {
        bus.emit("a", i).await.unwrap();
    }
    // One stall costs one deadline, not one for each event.
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let stats = bus.stats();
    assert_eq!(
        (stats.in_flight(), stats.dropped_by(DropReason::Deadline)),
        (2, 8)
    );
    let report = bus.close().await;
    assert_eq!(report.undelivered, 2);
    // The tasks drop what they held as soon as they are told.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bus.stats().dropped_by(DropReason::Closed), 2);
    assert_law(&bus);
}

#[tokio::test]
async fn an_abandoned_emission_is_counted() {
    let (bus, lab) = lab();
    lab.on("a", |_: Arc<u32>| pending::<()>()).unwrap();
    let emitting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.emit("a", 1_u32).await }
    });
    within("the handler's start", async {
        while bus.stats().in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    emitting.abort();
    assert!(emitting.await.unwrap_err().is_cancelled());
    assert_eq!(bus.stats().dropped_by(DropReason::Failed), 1);
    assert_law(&bus);
}

#[test]
fn emitting_needs_no_runtime() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("a", move |v: &u32| s.add(v)).unwrap();
    let s = seen.clone();
    bus.entry("b")
        .on_detached("a", move |v: Arc<u32>| {
            let s = s.clone();
            async move { s.add(v) }
        })
        .unwrap();
    futures_util::future::FutureExt::now_or_never(bus.emit("a", 7_u32))
        .unwrap()
        .unwrap();
    assert_eq!(seen.take(), ["7", "7"]);
}
