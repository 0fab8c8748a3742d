//! Nothing is lost in silence: whatever happens to a frame is in the counters, and they add up.

use super::slow::{BLOCK, limits, overflow, overflow_beside, subscriber};
use super::{Subject, eventually, within};
use crate::{DropAccounting, DropReason, SlowConsumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

fn counts_drops(subject: &Subject) -> bool {
    subject.promises("every drop counted", |g| {
        g.drop_accounting == DropAccounting::Complete
    }) && subject.promises_limits()
}

async fn every_drop_is_counted(subject: Subject, policy: SlowConsumer) {
    if !counts_drops(&subject) {
        return;
    }
    let limits = limits(policy);
    let relay = subject.relay(&limits).await;
    let mut slow = subscriber(&subject, &relay, "slow", &limits).await;
    let mut fast = subscriber(&subject, &relay, "fast", &limits).await;
    eventually("the probes being counted", || {
        relay.counters.snapshot().in_flight() == 0
    })
    .await;
    let before = relay.counters.snapshot();
    assert_eq!(
        before.total_dropped(),
        0,
        "something was dropped before anything was slow"
    );

    let received = Arc::new(AtomicU64::new(0));
    let count = received.clone();
    let reading = tokio::spawn(async move {
        while fast.try_frame().await.is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    let sent = u64::from(overflow_beside(&relay, &received).await);
    let offered = relay.counters.snapshot().offered - before.offered;
    if policy == SlowConsumer::Disconnect {
        assert!(
            (sent..=2 * sent).contains(&offered),
            "{sent} frames for one or two, {offered} copies offered"
        );
    } else {
        assert_eq!(
            offered,
            2 * sent,
            "copies offered of {sent} frames for two subscribers"
        );
    }
    let count = received.clone();
    let ended = tokio::spawn(async move {
        while slow.try_frame().await.is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    if policy == SlowConsumer::Disconnect {
        within("the slow subscriber's link ending", ended)
            .await
            .expect("its reader did not fail");
    }
    // Everything that moved has come to rest, and adds up: not only in the counters, but at the receivers.
    eventually("offered = delivered + dropped", || {
        let now = relay.counters.snapshot();
        let delivered = now.delivered - before.delivered;
        let received = received.load(Relaxed);
        // What was handed to the connection of a subscriber that was then disconnected may be lost with it.
        let arrived = if policy == SlowConsumer::Disconnect {
            received <= delivered
        } else {
            received == delivered
        };
        arrived && delivered + now.total_dropped() == offered && now.in_flight() == 0
    })
    .await;
    reading.abort();
    let reason = match policy {
        SlowConsumer::DropNewest => DropReason::Newest,
        SlowConsumer::DropOldest => DropReason::Oldest,
        SlowConsumer::Block(_) => DropReason::Deadline,
        SlowConsumer::Disconnect => DropReason::Evicted,
    };
    let dropped = relay.counters.snapshot();
    assert!(
        dropped.dropped_by(reason) > 0,
        "nothing is counted as {reason}: {dropped:?}"
    );
}

/// `DropNewest`: `offered = delivered + dropped + in flight`, and what is counted as delivered was received.
pub async fn every_drop_is_counted_drop_newest(subject: Subject) {
    every_drop_is_counted(subject, SlowConsumer::DropNewest).await;
}

/// `DropOldest`: `offered = delivered + dropped + in flight`, and what is counted as delivered was received.
pub async fn every_drop_is_counted_drop_oldest(subject: Subject) {
    every_drop_is_counted(subject, SlowConsumer::DropOldest).await;
}

/// `Block`: `offered = delivered + dropped + in flight`, and what is counted as delivered was received.
pub async fn every_drop_is_counted_block(subject: Subject) {
    every_drop_is_counted(subject, SlowConsumer::Block(BLOCK)).await;
}

/// `Disconnect`: `offered = delivered + dropped + in flight`, with what was in the queue counted as evicted.
pub async fn every_drop_is_counted_disconnect(subject: Subject) {
    every_drop_is_counted(subject, SlowConsumer::Disconnect).await;
}

/// Closing waits for a subscriber that does not receive until the deadline, no longer; what it leaves is reported and counted.
pub async fn closing_gives_up_at_its_deadline(subject: Subject) {
    if !counts_drops(&subject) {
        return;
    }
    let limits = limits(SlowConsumer::DropNewest);
    let relay = subject.relay(&limits).await;
    let stalled = subscriber(&subject, &relay, "stalled", &limits).await;
    overflow(&relay).await;
    let started = Instant::now();
    let report = relay.close(started + Duration::from_millis(200)).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "close took {:?}",
        started.elapsed()
    );
    let after = relay.counters.snapshot();
    assert!(report.undelivered > 0, "a full queue and nothing undelivered");
    assert_eq!(
        after.dropped_by(DropReason::Closed),
        report.undelivered,
        "copies counted and reported"
    );
    assert_eq!(
        (after.in_flight(), after.queued_bytes),
        (0, 0),
        "something is left"
    );
    drop(stalled);
}

/// What waits for a client that leaves is dropped and counted.
pub async fn a_client_that_leaves_frees_its_queue(subject: Subject) {
    if !counts_drops(&subject) {
        return;
    }
    let limits = limits(SlowConsumer::DropNewest);
    let relay = subject.relay(&limits).await;
    let client = subscriber(&subject, &relay, "client", &limits).await;
    overflow(&relay).await;
    assert!(
        relay.counters.snapshot().queued_bytes > 0,
        "a full queue holds no bytes"
    );
    drop(client);
    eventually("its queue being dropped and counted", || {
        let now = relay.counters.snapshot();
        now.dropped_by(DropReason::Disconnected) > 0 && now.in_flight() == 0 && now.queued_bytes == 0
    })
    .await;
}
