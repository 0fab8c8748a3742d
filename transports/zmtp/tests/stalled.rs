//! Subscribers that stop reading, seen from outside: memory, and the others' time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use distbus_transport::{Batch, DropReason, Frame, Inbox, Limits, Reject, SlowConsumer, Transport};
use distbus_zmtp::Zmtp;
use distbus_zmtp::proto::put_subscribe;
use std::time::Duration;
use support::{Raw, eventually, id, resident, within};
use tokio::time::Instant;

const QUEUE: usize = 1 << 20;

/// Publishes 256 MiB to a subscriber that reads nothing.
async fn flood(policy: SlowConsumer) -> distbus_transport::Snapshot {
    let limits = Limits::default()
        .with_queue_bytes(QUEUE)
        .with_slow_consumer(policy);
    let mut link = Zmtp::new()
        .bind(&"tcp://127.0.0.1:0".parse().unwrap(), &limits)
        .await
        .unwrap();
    let mut raw = Raw::greet(link.endpoint.port().unwrap() + 1, "SUB", b"stalled").await;
    let mut wire = Vec::new();
    put_subscribe(&mut wire, true, b"");
    raw.send(&wire).await;
    let mut inbox = Inbox::default();
    within("the subscription", link.inbound.recv(&mut inbox))
        .await
        .unwrap();

    let batch: Batch = (0..64)
        .map(|_| Frame::sealed("load", vec![7; 16 << 10]))
        .collect();
    let before = resident();
    for _ in 0..256 {
        within("publishing", link.outbound.publish(batch.all()))
            .await
            .unwrap();
        let queued = link.counters.snapshot().queued_bytes;
        assert!(queued <= QUEUE as u64 + 17_000, "{queued} bytes are queued");
        let grown = resident().saturating_sub(before);
        assert!(grown < 48 << 20, "memory grew by {grown} bytes");
    }
    let now = link.counters.snapshot();
    assert_eq!(now.offered, now.delivered + now.total_dropped() + now.in_flight());
    assert!(
        now.total_dropped() > 10_000 || policy == SlowConsumer::Disconnect,
        "{now:?}"
    );
    now
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_stays_under_its_limit() {
    let newest = flood(SlowConsumer::DropNewest).await;
    assert_eq!(newest.dropped_by(DropReason::Newest), newest.total_dropped());
    let oldest = flood(SlowConsumer::DropOldest).await;
    assert_eq!(oldest.dropped_by(DropReason::Oldest), oldest.total_dropped());
    let block = flood(SlowConsumer::Block(Duration::from_millis(100))).await;
    assert_eq!(block.dropped_by(DropReason::Deadline), block.total_dropped());
    let evicted = flood(SlowConsumer::Disconnect).await;
    assert_eq!(evicted.dropped_by(DropReason::Evicted), evicted.total_dropped());
    assert_eq!(evicted.queued_bytes, 0, "eviction frees the queue at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_costs_the_others_one_deadline_and_no_more() {
    const BLOCK: Duration = Duration::from_millis(300);
    let limits = Limits::default()
        .with_queue_bytes(QUEUE)
        .with_slow_consumer(SlowConsumer::Block(BLOCK));
    let mut link = Zmtp::new()
        .bind(&"tcp://127.0.0.1:0".parse().unwrap(), &limits)
        .await
        .unwrap();
    let mut raw = Raw::greet(link.endpoint.port().unwrap() + 1, "SUB", b"stalled").await;
    let mut wire = Vec::new();
    put_subscribe(&mut wire, true, b"");
    raw.send(&wire).await;
    let mut inbox = Inbox::default();
    within("the subscription", link.inbound.recv(&mut inbox))
        .await
        .unwrap();
    let batch: Batch = (0..64)
        .map(|_| Frame::sealed("load", vec![7; 16 << 10]))
        .collect();
    let (mut waits, mut longest) = (0, Duration::ZERO);
    for _ in 0..64 {
        let started = Instant::now();
        within("publishing", link.outbound.publish(batch.all()))
            .await
            .unwrap();
        let took = started.elapsed();
        longest = longest.max(took);
        waits += u32::from(took >= BLOCK);
    }
    assert_eq!(waits, 1, "one stall, one deadline");
    assert!(longest < BLOCK * 4, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_write_deadline_it_is_gone() {
    let limits = Limits::default()
        .with_queue_bytes(QUEUE)
        .with_slow_consumer(SlowConsumer::DropOldest);
    let zmtp = Zmtp::new().write_deadline(Duration::from_millis(200));
    let mut link = zmtp
        .bind(&"tcp://127.0.0.1:0".parse().unwrap(), &limits)
        .await
        .unwrap();
    let mut raw = Raw::greet(link.endpoint.port().unwrap() + 1, "SUB", b"stalled").await;
    let mut wire = Vec::new();
    put_subscribe(&mut wire, true, b"");
    raw.send(&wire).await;
    let mut inbox = Inbox::default();
    within("the subscription", link.inbound.recv(&mut inbox))
        .await
        .unwrap();
    let batch: Batch = (0..64)
        .map(|_| Frame::sealed("load", vec![7; 16 << 10]))
        .collect();
    within("overflowing", async {
        while link.counters.dropped.total() == 0 {
            link.outbound.publish(batch.all()).await.unwrap();
        }
    })
    .await;
    eventually("the stalled one being disconnected", || {
        link.counters.rejected.get(Reject::Stalled) == 1
    })
    .await;
    eventually("its queue being freed", || {
        link.counters.snapshot().queued_bytes == 0
    })
    .await;
    raw.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_heartbeat_is_gone() {
    let limits = Limits::default();
    let zmtp = Zmtp::new().heartbeat(Duration::from_millis(50));
    let mut link = zmtp
        .bind(&"tcp://127.0.0.1:0".parse().unwrap(), &limits)
        .await
        .unwrap();
    // A client of ours answers, and stays.
    let mut honest = Zmtp::new()
        .connect(&link.endpoint, &id("honest"), &limits)
        .await
        .unwrap();
    let port = link.endpoint.port().unwrap();
    let mut silent = Vec::new();
    for (offset, socket) in [(0, "DEALER"), (1, "SUB"), (2, "PUSH")] {
        silent.push(Raw::greet(port + offset, socket, b"silent").await);
    }
    let receiving = tokio::spawn(async move {
        let mut inbox = Inbox::default();
        while link.inbound.recv(&mut inbox).await.is_ok() {
            inbox.clear();
        }
    });
    let listening = tokio::spawn(async move {
        let mut inbox = Inbox::default();
        honest.inbound.recv(&mut inbox).await
    });
    let counters = link.counters;
    eventually("three silent peers being gone", || {
        counters.rejected.get(Reject::Stalled) == 3
    })
    .await;
    for raw in &mut silent {
        raw.until_closed().await;
    }
    assert_eq!(counters.snapshot().clients, 1, "the one that answers stays");
    assert!(!listening.is_finished(), "it noticed nothing");
    receiving.abort();
    listening.abort();
}
