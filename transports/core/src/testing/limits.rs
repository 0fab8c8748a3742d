//! Bounds: exactly up to the limit, and a typed error above it that changes nothing.

use super::{Subject, numbered, numbers, within};
use crate::{Batch, Frame, Limits, Reject, TransportError};
use bytes::Bytes;
use std::fmt::Debug;

const TOPIC: usize = 100;
const BODY: usize = 256 << 10;

fn small() -> Limits {
    Limits::default().with_event_bytes(BODY).with_topic_bytes(TOPIC)
}

fn too_large<T: Debug>(what: &str, answer: Result<T, TransportError>) {
    assert!(
        matches!(answer, Err(TransportError::TooLarge { .. })),
        "{what} is answered with {answer:?}"
    );
}

/// A body and a topic of exactly the limit arrive, both ways.
pub async fn a_frame_of_exactly_the_limit_arrives(subject: Subject) {
    let relay = subject.relay(&small()).await;
    let mut client = subject.client(&relay, "client", &small()).await;
    let topic = "t".repeat(TOPIC);
    client.subscribe(&topic).await;
    client.ready().await;
    let frame = numbered(&topic, 1, BODY);
    client.push(std::slice::from_ref(&frame)).await;
    assert!(client.frames(1).await == [frame.clone()], "pushed and relayed");
    relay.publish(std::slice::from_ref(&frame)).await;
    assert!(client.frames(1).await == [frame], "published");
}

/// A batch with a frame above a limit is `TooLarge`: those before it were sent, it and those after it were not.
pub async fn a_push_above_the_limit_is_too_large(subject: Subject) {
    let relay = subject.relay(&small()).await;
    let mut client = subject.client(&relay, "client", &small()).await;
    for (above, what) in above_the_limit() {
        let batch = [numbered("before", 1, 8), above, numbered("after", 2, 8)];
        too_large(
            what,
            within("a push", client.outbound.push(Batch::from(&batch[..]).all())).await,
        );
        client.push(&[numbered("end", 3, 8)]).await;
        assert_eq!(numbers(&relay.frames(2).await), [1, 3], "with {what}");
    }
}

/// A batch with a frame above a limit is `TooLarge`: those before it were published, it and those after it were not.
pub async fn a_publish_above_the_limit_is_too_large(subject: Subject) {
    let relay = subject.relay(&small()).await;
    let mut client = subject.client(&relay, "client", &small()).await;
    client.subscribe("").await;
    client.ready().await;
    for (above, what) in above_the_limit() {
        let batch = [numbered("before", 1, 8), above, numbered("after", 2, 8)];
        too_large(what, relay.try_publish(&batch).await);
        relay.publish(&[numbered("end", 3, 8)]).await;
        client.expect(&[1, 3], what).await;
    }
}

fn above_the_limit() -> [(Frame, &'static str); 2] {
    [
        (numbered("body", 0, BODY + 1), "a body above the limit"),
        (numbered(&"t".repeat(TOPIC + 1), 0, 8), "a topic above the limit"),
    ]
}

/// A frame larger than a whole queue passes one that is empty.
pub async fn one_frame_passes_an_empty_queue(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = small().with_queue_bytes(1 << 10);
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.subscribe("topic").await;
    client.ready().await;
    for n in 0..3 {
        client.push(&[numbered("topic", n, BODY)]).await;
        assert_eq!(numbers(&client.frames(1).await), [n]);
    }
}

/// A prefix above the limit of topics is `TooLarge`.
pub async fn a_prefix_above_the_limit_is_too_large(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let relay = subject.relay(&small()).await;
    let mut client = subject.client(&relay, "client", &small()).await;
    let prefix = Bytes::from(vec![b'p'; TOPIC + 1]);
    too_large(
        "a prefix above the limit",
        within("subscribing", client.outbound.subscribe(prefix)).await,
    );
    client.ready().await;
}

/// As many distinct subscriptions as the limit says; the next is `LimitReached`; ending one makes room for one.
pub async fn subscriptions_are_limited_in_number(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = Limits::default().with_subscriptions(4);
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    for prefix in ["a", "b", "c", "d", "a", "b"] {
        client.subscribe(prefix).await;
    }
    let fifth = within("subscribing", client.outbound.subscribe("e".into())).await;
    assert!(
        matches!(fifth, Err(TransportError::LimitReached { .. })),
        "one more is answered with {fifth:?}"
    );
    client.unsubscribe("a").await;
    client.unsubscribe("b").await;
    client.subscribe("f").await;
    client.ready().await;
    let frames: Vec<_> = (0..7)
        .zip(["a", "b", "c", "d", "e", "f"])
        .map(|(n, t)| numbered(t, n, 4))
        .collect();
    relay.publish(&frames).await;
    assert_eq!(
        numbers(&client.frames(3).await),
        [2, 3, 5],
        "which subscriptions are there"
    );
}

/// Subscriptions are limited in bytes as well, all together.
pub async fn subscriptions_are_limited_in_bytes(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = Limits::default().with_subscription_bytes(100);
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.subscribe(&"a".repeat(30)).await;
    client.subscribe(&"b".repeat(30)).await;
    let third = within(
        "subscribing",
        client.outbound.subscribe(Bytes::from(vec![b'c'; 41])),
    )
    .await;
    assert!(
        matches!(
            third,
            Err(TransportError::LimitReached { .. } | TransportError::TooLarge { .. })
        ),
        "101 bytes of 100 are answered with {third:?}"
    );
    client.subscribe("c").await;
    client.ready().await;
}

/// One client more than the limit is refused and counted, those there feel nothing, and when one leaves another may come.
pub async fn clients_are_limited_in_number(subject: Subject) {
    if !subject.promises_limits() {
        return;
    }
    let limits = Limits::default().with_clients(2);
    let relay = subject.relay(&limits).await;
    let mut one = subject.client(&relay, "one", &limits).await;
    let mut two = subject.client(&relay, "two", &limits).await;
    let error = subject.try_connect(&relay.endpoint, "three", &limits).await.err();
    assert!(
        matches!(
            error,
            Some(TransportError::Refused { .. } | TransportError::LimitReached { .. })
        ),
        "one client more is answered with {error:?}"
    );
    assert!(
        relay.counters.snapshot().rejected_by(Reject::Clients) > 0,
        "the refusal is not counted"
    );
    one.ready().await;
    two.ready().await;
    drop(two);
    subject
        .client_once_accepted(&relay, "three", &limits)
        .await
        .ready()
        .await;
}
