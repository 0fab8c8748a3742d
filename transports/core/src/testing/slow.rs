//! Subscribers that do not receive, under each [`SlowConsumer`] policy, and publishers of a broker that does not.

use super::{Peer, Relay, STEP, Subject, eventually, number, numbered, numbers, within};
use crate::{Batch, DropReason, Frame, Limits, SlowConsumer, TransportError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, interval, timeout};

const QUEUE: usize = 64 << 10;
const BODY: usize = 4 << 10;
const BATCH: u32 = 32;
/// More than a queue and the buffers of an operating system hold.
const ENOUGH: u32 = (96 << 20) / BODY as u32;
/// How long `Block` waits here.
pub(super) const BLOCK: Duration = Duration::from_millis(500);

pub(super) fn limits(policy: SlowConsumer) -> Limits {
    Limits::default()
        .with_queue_bytes(QUEUE)
        .with_slow_consumer(policy)
}

fn batch(first: u32, size: u32) -> Vec<Frame> {
    (first..first + size).map(|n| numbered("load", n, BODY)).collect()
}

/// Publishes on `load` until a whole batch was dropped, or the subscriber disconnected: its queue, and whatever the
/// way to it can hold, is full. Returns how many frames that took.
pub(super) async fn overflow(relay: &Relay) -> u32 {
    overflow_with(relay, BATCH, None).await
}

/// As [`overflow`], beside a subscriber that receives: a batch fits into its queue, and the next comes only when `received`
/// says that it has taken them all, however late its turn comes. Whatever is dropped was for the one that does not receive.
pub(super) async fn overflow_beside(relay: &Relay, received: &AtomicU64) -> u32 {
    const HALF_A_QUEUE: u32 = (QUEUE / BODY / 2) as u32;
    overflow_with(relay, HALF_A_QUEUE, Some(received)).await
}

async fn overflow_with(relay: &Relay, size: u32, received: Option<&AtomicU64>) -> u32 {
    let (mut sent, mut full) = (0, false);
    loop {
        let before = relay.counters.snapshot();
        relay.publish(&batch(sent, size)).await;
        sent += size;
        if let Some(received) = received {
            eventually("the fast subscriber receiving", || {
                received.load(Relaxed) == u64::from(sent)
            })
            .await;
        }
        let after = relay.counters.snapshot();
        let lost = after.total_dropped() - before.total_dropped();
        let dropped = lost >= u64::from(size);
        if dropped && full || after.dropped_by(DropReason::Evicted) > 0 {
            return sent;
        }
        // Perhaps only the queue was full, and whoever empties it had no time yet: once more, when nothing moves.
        full = dropped;
        if full {
            come_to_rest(relay).await;
        }
        assert!(
            sent < ENOUGH,
            "{sent} frames of {BODY} bytes for a subscriber that does not receive, none dropped"
        );
    }
}

/// Returns when nothing has been delivered for a while.
async fn come_to_rest(relay: &Relay) {
    let delivered = || relay.counters.snapshot().delivered;
    let (mut tick, mut still, mut last) = (interval(Duration::from_millis(5)), 0, delivered());
    while still < 10 {
        tick.tick().await;
        let now = delivered();
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
}

/// A subscriber of `load` that is about to stop receiving.
pub(super) async fn subscriber(subject: &Subject, relay: &Relay, name: &str, limits: &Limits) -> Peer {
    let mut subscriber = subject.client(relay, name, limits).await;
    subscriber.subscribe("load").await;
    subscriber.ready().await;
    subscriber
}

async fn a_slow_subscriber_does_not_stop_another(subject: Subject, policy: SlowConsumer) {
    if !subject.promises_limits() {
        return;
    }
    let limits = limits(policy);
    let relay = subject.relay(&limits).await;
    let slow = subscriber(&subject, &relay, "slow", &limits).await;
    let mut fast = subject.client(&relay, "fast", &limits).await;
    fast.subscribe("fast").await;
    fast.ready().await;

    overflow(&relay).await;
    let mut longest_waits = 0;
    for n in 0..50 {
        let started = Instant::now();
        relay
            .publish(&[numbered("load", n, BODY), numbered("fast", n, 32)])
            .await;
        if started.elapsed() >= BLOCK.mul_f32(0.9) {
            longest_waits += 1;
        }
        assert_eq!(
            number(&fast.frames(1).await[0]),
            n,
            "the fast subscriber missed a frame"
        );
    }
    assert_eq!(
        longest_waits, 0,
        "events that waited once more for a subscriber that was known to lag"
    );
    drop(slow);
}

/// `DropNewest`: others do not feel a subscriber that does not receive.
pub async fn a_slow_subscriber_does_not_stop_another_drop_newest(subject: Subject) {
    a_slow_subscriber_does_not_stop_another(subject, SlowConsumer::DropNewest).await;
}

/// `DropOldest`: others do not feel a subscriber that does not receive.
pub async fn a_slow_subscriber_does_not_stop_another_drop_oldest(subject: Subject) {
    a_slow_subscriber_does_not_stop_another(subject, SlowConsumer::DropOldest).await;
}

/// `Block`: others wait one deadline for a subscriber that does not receive, in all, not one an event.
pub async fn a_slow_subscriber_does_not_stop_another_block(subject: Subject) {
    a_slow_subscriber_does_not_stop_another(subject, SlowConsumer::Block(BLOCK)).await;
}

/// `Disconnect`: others do not feel a subscriber that does not receive.
pub async fn a_slow_subscriber_does_not_stop_another_disconnect(subject: Subject) {
    a_slow_subscriber_does_not_stop_another(subject, SlowConsumer::Disconnect).await;
}

/// `Block`: the deadlines of several subscribers that do not receive run side by side, not one after the other.
pub async fn deadlines_of_slow_subscribers_run_side_by_side(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    const LONG: Duration = Duration::from_secs(1);
    const SLOW: u32 = 5;
    let limits = limits(SlowConsumer::Block(LONG));
    let relay = subject.relay(&limits).await;
    let mut slow = Vec::new();
    for n in 0..SLOW {
        slow.push(subscriber(&subject, &relay, &format!("slow{n}"), &limits).await);
    }
    let mut longest = Duration::ZERO;
    let mut sent = 0;
    while relay.counters.snapshot().dropped_by(DropReason::Deadline) < u64::from(SLOW * BATCH) {
        let started = Instant::now();
        relay.publish(&batch(sent, BATCH)).await;
        longest = longest.max(started.elapsed());
        sent += BATCH;
        assert!(
            sent < ENOUGH,
            "{sent} frames for subscribers that do not receive, too few dropped"
        );
    }
    assert!(
        longest >= LONG.mul_f32(0.9),
        "nobody waited for a subscriber: {longest:?} at most"
    );
    assert!(
        longest < LONG * 3,
        "{SLOW} subscribers cost {longest:?} at once, one deadline is {LONG:?}"
    );
}

/// `Block`: a subscriber that lagged and has then received all that waited for it is served again.
pub async fn a_lagging_subscriber_recovers_once_its_queue_is_empty(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = limits(SlowConsumer::Block(BLOCK));
    let relay = subject.relay(&limits).await;
    let mut slow = subscriber(&subject, &relay, "slow", &limits).await;
    let sent = overflow(&relay).await;
    let kept = u64::from(sent) - relay.counters.snapshot().total_dropped();
    let received = numbers(&slow.frames(kept as usize).await);
    assert_eq!(
        received,
        (0..kept as u32).collect::<Vec<_>>(),
        "it keeps what came before the stall"
    );
    eventually("its queue being empty", || {
        relay.counters.snapshot().in_flight() == 0
    })
    .await;
    relay.publish(&[numbered("load", sent, BODY)]).await;
    assert_eq!(numbers(&slow.frames(1).await), [sent]);
}

/// `DropNewest`: the subscriber keeps the oldest, and what comes while its queue is full is dropped.
pub async fn drop_newest_keeps_the_oldest(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = limits(SlowConsumer::DropNewest);
    let relay = subject.relay(&limits).await;
    let mut slow = subscriber(&subject, &relay, "slow", &limits).await;
    let sent = overflow(&relay).await;
    let snapshot = relay.counters.snapshot();
    assert_eq!(
        snapshot.dropped_by(DropReason::Newest),
        snapshot.total_dropped(),
        "dropped for another reason"
    );
    let kept = numbers(
        &slow
            .frames((u64::from(sent) - snapshot.total_dropped()) as usize)
            .await,
    );
    assert_eq!(kept[..8], [0, 1, 2, 3, 4, 5, 6, 7], "the oldest were not kept");
    assert!(
        kept.is_sorted() && *kept.last().expect("some were kept") < sent - BATCH,
        "the newest were kept"
    );
}

/// `DropOldest`: the subscriber keeps the newest, and what has waited longest is dropped for it.
pub async fn drop_oldest_keeps_the_newest(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = limits(SlowConsumer::DropOldest);
    let relay = subject.relay(&limits).await;
    let mut slow = subscriber(&subject, &relay, "slow", &limits).await;
    let sent = overflow(&relay).await;
    let snapshot = relay.counters.snapshot();
    assert_eq!(
        snapshot.dropped_by(DropReason::Oldest),
        snapshot.total_dropped(),
        "dropped for another reason"
    );
    let kept = numbers(
        &slow
            .frames((u64::from(sent) - snapshot.total_dropped()) as usize)
            .await,
    );
    let newest: Vec<_> = (sent - 8..sent).collect();
    assert_eq!(kept[kept.len() - 8..], newest, "the newest were not kept");
    assert!(kept.is_sorted(), "out of order");
}

/// `Disconnect`: the subscriber's link ends, its queue is freed, and it may come back.
pub async fn disconnect_ends_the_link_and_frees_the_queue(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = limits(SlowConsumer::Disconnect);
    let relay = subject.relay(&limits).await;
    let mut slow = subscriber(&subject, &relay, "slow", &limits).await;
    let sent = overflow(&relay).await;
    eventually("the queue being freed", || {
        relay.counters.snapshot().queued_bytes == 0
    })
    .await;
    let received = slow.until_ended().await;
    assert!(received.len() < sent as usize);
    let pushed = async {
        // The first push into a broken connection may still be taken by the operating system.
        while let Ok(()) = slow.outbound.push(Batch::from(numbered("x", 0, 4)).all()).await {
            tokio::task::yield_now().await;
        }
    };
    within("a push of a disconnected client failing", pushed).await;
    drop(slow);
    let mut again = subject.client_once_accepted(&relay, "slow", &limits).await;
    again.subscribe("load").await;
    again.ready().await;
    relay.publish(&[numbered("load", 1, 4)]).await;
    assert_eq!(numbers(&again.frames(1).await), [1]);
}

/// A client's `push` waits while the broker does not read, with a bounded amount on the way, and nothing is lost when
/// it reads again.
pub async fn a_publisher_waits_for_a_broker_that_does_not_read(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    // Two queues of ours and the buffers of an operating system; what is pushed in all is twice that.
    const BOUND: u64 = 48 << 20;
    const COUNT: u32 = (2 * BOUND / BODY as u64) as u32;
    let limits = Limits::default().with_queue_bytes(QUEUE);
    let mut link = subject.bind(&limits).await;
    let mut client = match subject.try_connect(&link.endpoint, "client", &limits).await {
        Ok(link) => Peer::new("client", link),
        Err(error) => panic!("connecting: {error}"),
    };
    let pushed = Arc::new(AtomicU64::new(0));
    let count = pushed.clone();
    let pushing = tokio::spawn(async move {
        for n in 0..COUNT {
            client
                .outbound
                .push(Batch::from(numbered("topic", n, BODY)).all())
                .await?;
            count.fetch_add(BODY as u64, Relaxed);
        }
        Ok::<_, TransportError>(client)
    });
    // It must come to a halt by itself.
    let (mut tick, mut still, mut last) = (interval(Duration::from_millis(5)), 0, 0);
    while still < 20 {
        tick.tick().await;
        let now = pushed.load(Relaxed);
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
        assert!(
            now <= BOUND,
            "{now} bytes were pushed to a broker that reads nothing"
        );
    }
    let mut inbox = crate::BrokerInbox::default();
    let mut next = 0;
    let reading = async {
        while next < COUNT {
            link.inbound
                .recv(&mut inbox)
                .await
                .unwrap_or_else(|error| panic!("receiving: {error}"));
            for frame in inbox.frames.drain() {
                assert_eq!(number(&frame), next, "out of order, or lost");
                next += 1;
            }
            inbox.clear();
        }
    };
    if timeout(STEP, reading).await.is_err() {
        panic!("{next} of {COUNT} frames arrived");
    }
    let client = within("the publisher ending", pushing)
        .await
        .expect("its task lives");
    assert!(client.is_ok(), "the publisher failed: {:?}", client.err());
}
