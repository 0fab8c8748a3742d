//! Streams: full, of another type, ended.

use super::lab::{Temperature, assert_law, lab, warm, within};
use distbus::{DropReason, LocalBus, SlowConsumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_full_stream_holds_the_emitter_up_once_a_stall_and_counts() {
    let bus = LocalBus::builder().queue_events(3).build();
    let mut stream = bus.entry("slow").subscribe::<u32>("a").unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let s = Arc::clone(&seen);
    bus.entry("fast")
        .on_sync("a", move |_: &u32| {
            s.fetch_add(1, SeqCst);
        })
        .unwrap();
    let start = Instant::now();
    for i in 0..10_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(seen.load(SeqCst), 10);
    assert_eq!(bus.stats().dropped_by(DropReason::Deadline), 7);
    for i in 0..3 {
        assert_eq!(*stream.next().await.unwrap(), i);
    }
    assert_law(&bus);
}

#[tokio::test]
async fn policies_of_full_streams() {
    for (policy, kept) in [
        (SlowConsumer::DropNewest, vec![0, 1]),
        (SlowConsumer::DropOldest, vec![3, 4]),
        (SlowConsumer::Disconnect, vec![]),
    ] {
        let bus = LocalBus::builder().queue_events(2).slow_consumer(policy).build();
        let mut stream = bus.entry("slow").subscribe::<u32>("a").unwrap();
        for i in 0..5_u32 {
            bus.emit("a", i).await.unwrap();
        }
        bus.entry("x").close();
        let mut got = Vec::new();
        while got.len() < kept.len() {
            got.push(*within("an event", stream.next()).await.unwrap());
        }
        assert_eq!(got, kept, "{policy:?}");
        assert_law(&bus);
    }
}

#[tokio::test]
async fn a_stream_passes_over_what_is_another_type() {
    let (bus, lab) = lab();
    let mut temps = lab.subscribe::<Temperature>("*").unwrap();
    bus.emit("a", 5_u32).await.unwrap();
    bus.emit("b", warm()).await.unwrap();
    let temp = within("the event", temps.next()).await.unwrap();
    assert_eq!((temp.event().topic(), &**temp.data()), ("b", &warm()));
    assert_eq!(bus.stats().dropped_by(DropReason::Undecodable), 1);
    assert_law(&bus);
}

#[tokio::test]
async fn streams_end_when_the_last_handle_is_dropped() {
    let (bus, lab) = lab();
    let mut stream = lab.subscribe_events("*").unwrap();
    bus.emit("a", 1_u32).await.unwrap();
    drop((bus, lab));
    assert_eq!(within("what waited", stream.next()).await.unwrap().topic(), "a");
    assert!(within("the end", stream.next()).await.is_none());
}
