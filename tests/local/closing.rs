//! How a bus ends.

use super::lab::{Seen, assert_law, lab, within};
use distbus::{CLOSE, DropReason, Error, Event, LocalBusBuilder};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn closing_tells_refuses_and_ends() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let (s, b) = (seen.clone(), bus.clone());
    lab.on(CLOSE, move |_: Arc<()>| {
        let (s, b) = (s.clone(), b.clone());
        // It may still say good bye.
        async move { s.add(format!("close {}", b.emit("bye", 1_u32).await.is_ok())) }
    })
    .unwrap();
    let s = seen.clone();
    lab.on_sync("bye", move |_: &u32| s.add("bye")).unwrap();
    let s = seen.clone();
    lab.on_event("*", move |e: Event| {
        s.add(e.topic());
        async {}
    })
    .unwrap();
    let mut stream = lab.subscribe_events("nothing").unwrap();
    let (first, second) = tokio::join!(bus.close(), lab.bus().close());
    assert_eq!((first, first.undelivered), (second, 0));
    assert_eq!(bus.close().await, first);
    let mut got = seen.take();
    got.sort();
    assert_eq!(got, ["bye", "bye", "close true"]);
    assert!(bus.is_closed());
    assert!(matches!(bus.emit("a", 1).await, Err(Error::Closed)));
    assert!(matches!(bus.emit_empty("a").await, Err(Error::Closed)));
    assert!(matches!(lab.on_sync("a", |_: &u32| ()), Err(Error::Closed)));
    assert!(matches!(lab.subscribe::<u32>("a"), Err(Error::Closed)));
    assert!(within("the end", stream.next()).await.is_none());
    within("closed", bus.closed()).await;
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_handlers_until_the_deadline() {
    let (bus, lab) = lab();
    let done = Arc::new(AtomicBool::new(false));
    let d = Arc::clone(&done);
    lab.on("slow", move |_: Arc<u32>| {
        let d = Arc::clone(&d);
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            d.store(true, SeqCst);
        }
    })
    .unwrap();
    bus.emit_detached("slow", 1_u32).await.unwrap();
    let start = Instant::now();
    assert_eq!(bus.close().await.undelivered, 0);
    assert!(done.load(SeqCst));
    assert_eq!(start.elapsed(), Duration::from_secs(3));

    let (bus, lab) = self::lab();
    lab.on("stuck", |_: Arc<u32>| pending::<()>()).unwrap();
    let emitter = tokio::spawn({
        let bus = bus.clone();
        async move { bus.emit("stuck", 1_u32).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(bus.close_within(Duration::from_secs(1)).await.undelivered, 1);
    assert!(matches!(emitter.await.unwrap(), Err(Error::Closed)));
    assert_eq!(bus.stats().dropped_by(DropReason::Closed), 1);
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn closing_reports_what_a_stream_still_holds_and_leaves_it_readable() {
    let (bus, lab) = lab();
    let mut stream = lab.subscribe::<u32>("a").unwrap();
    for i in 0..3_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(bus.close_within(Duration::from_secs(1)).await.undelivered, 3);
    for i in 0..3 {
        assert_eq!(*stream.next().await.unwrap(), i);
    }
    assert!(stream.next().await.is_none());
    assert_law(&bus);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_others_emit_leaves_no_handler_running() {
    for _ in 0..50 {
        let bus = LocalBusBuilder::with_codec(distbus::Json).build();
        let (running, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (r, l) = (Arc::clone(&running), Arc::clone(&late));
        let closed = Arc::new(AtomicBool::new(false));
        let c = Arc::clone(&closed);
        bus.entry("a")
            .on_sync("a", move |_: &u32| {
                r.fetch_add(1, SeqCst);
                if c.load(SeqCst) {
                    l.store(true, SeqCst);
                }
                r.fetch_sub(1, SeqCst);
            })
            .unwrap();
        let emitter = tokio::spawn({
            let bus = bus.clone();
            async move {
                while bus.emit("a", 1_u32).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(within("close", bus.close()).await.undelivered, 0);
        closed.store(true, SeqCst);
        within("the emitter's end", emitter).await.unwrap();
        assert!(!late.load(SeqCst) && running.load(SeqCst) == 0);
        assert_law(&bus);
    }
}
