//! What reaches whom, and in which order.

use super::{STEP, Subject, numbered, numbers, within};
use crate::{BrokerInbox, Frame, Limits, Loss, Ordering};
use bytes::Bytes;
use tokio::task::JoinSet;

/// A subscriber sees the frames of each publisher in the order they were pushed, however publishers interleave.
pub async fn frames_of_one_publisher_stay_in_order(subject: Subject) {
    if !subject.promises("order of one publisher's events", |g| {
        g.ordering == Ordering::PerPublisher
    }) {
        return;
    }
    const PUBLISHERS: usize = 3;
    const EACH: u32 = 200;
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut subscriber = subject.client(&relay, "subscriber", &limits).await;
    subscriber.subscribe("from.").await;
    subscriber.ready().await;
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let mut client = subject
            .client(&relay, &format!("publisher{publisher}"), &limits)
            .await;
        publishing.spawn(async move {
            let topic = format!("from.{publisher}");
            let frames: Vec<_> = (0..EACH).map(|n| numbered(&topic, n, 32)).collect();
            for batch in frames.chunks(7) {
                client.push(batch).await;
            }
            client // which must live until its frames have arrived
        });
    }
    let frames = subscriber.frames(PUBLISHERS * EACH as usize).await;
    for publisher in 0..PUBLISHERS {
        let topic = format!("from.{publisher}");
        let its: Vec<_> = frames
            .iter()
            .filter(|frame| frame.topic() == topic.as_bytes())
            .cloned()
            .collect();
        assert_eq!(
            numbers(&its),
            (0..EACH).collect::<Vec<_>>(),
            "the order of {topic}"
        );
    }
    let clients = within("the publishers ending", publishing.join_all()).await;
    assert_eq!(clients.len(), PUBLISHERS);
}

/// What a broker publishes arrives in that order, over several calls.
pub async fn a_broker_publishes_in_order(subject: Subject) {
    if !subject.promises("order of one publisher's events", |g| {
        g.ordering == Ordering::PerPublisher
    }) {
        return;
    }
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut subscriber = subject.client(&relay, "subscriber", &limits).await;
    subscriber.subscribe("topic").await;
    subscriber.ready().await;
    let frames: Vec<_> = (0..200).map(|n| numbered("topic", n, 32)).collect();
    for batch in frames.chunks(7) {
        relay.publish(batch).await;
    }
    assert_eq!(
        numbers(&subscriber.frames(200).await),
        (0..200).collect::<Vec<_>>()
    );
}

/// A subscription is a prefix of bytes: `lab` takes `lab`, `lab.x` and `labor`, not `la` nor `Lab`.
pub async fn a_subscription_is_a_byte_prefix(subject: Subject) {
    let sent = ["la", "lab", "lab.x", "Lab", "labor", "xlab", "end"];
    assert_eq!(
        topics_received(subject, &["lab", "end"], &sent).await,
        ["lab", "lab.x", "labor", "end"]
    );
}

/// The empty prefix takes every topic.
pub async fn the_empty_prefix_takes_every_topic(subject: Subject) {
    let sent = ["a", "b.c", "\u{e9}", "end"];
    assert_eq!(topics_received(subject, &[""], &sent).await, sent);
}

/// A frame that matches two subscriptions of one client reaches it once.
pub async fn a_frame_that_matches_twice_arrives_once(subject: Subject) {
    let sent = ["a.b.c", "a.x", "b", "end"];
    let received = topics_received(subject, &["a.b", "a", "a.b.c", "end"], &sent).await;
    assert_eq!(received, ["a.b.c", "a.x", "end"]);
}

/// The topics that a client with these subscriptions receives; the last one sent must be among them.
async fn topics_received(subject: Subject, subscribed: &[&str], sent: &[&str]) -> Vec<String> {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    for prefix in subscribed {
        client.subscribe(prefix).await;
    }
    client.ready().await;
    let frames: Vec<_> = sent.iter().map(|topic| numbered(topic, 0, 4)).collect();
    relay.publish(&frames).await;
    let mut received = Vec::new();
    while received.last().map(String::as_str) != sent.last().copied() {
        let frame = client.frames(1).await.remove(0);
        received.push(topic_of(&frame));
    }
    received.extend(client.rest().await.iter().map(topic_of));
    received
}

fn topic_of(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.topic()).into_owned()
}

/// After `unsubscribe` has taken effect nothing comes on that prefix, and others are untouched.
///
/// Subscriptions and unsubscriptions of one client take effect in the order it asked for them.
pub async fn unsubscribing_ends_delivery(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    let mut other = subject.client(&relay, "other", &limits).await;
    for client in [&mut client, &mut other] {
        client.subscribe("off").await;
        client.subscribe("on").await;
        client.ready().await;
    }
    relay.publish(&[numbered("off", 1, 4)]).await;
    assert_eq!(client.frames(1).await[0].topic(), "off");
    client.unsubscribe("off").await;
    client.unsubscribe("never subscribed").await;
    client.ready().await;
    relay
        .publish(&[numbered("off", 2, 4), numbered("on", 3, 4)])
        .await;
    client.expect(&[3], "after unsubscribing").await;
    assert_eq!(client.rest().await, [], "more than what it is subscribed to");
    other.expect(&[1, 2, 3], "with its own subscriptions").await;
}

/// Subscriptions are a set: asking twice is asking once. A frame arrives once, and one `unsubscribe` ends it.
pub async fn subscriptions_are_a_set(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    for prefix in ["twice", "twice", "on"] {
        client.subscribe(prefix).await;
    }
    client.ready().await;
    relay
        .publish(&[numbered("twice", 1, 4), numbered("on", 2, 4)])
        .await;
    client.expect(&[1, 2], "subscribed twice").await;
    assert_eq!(client.rest().await, [], "a doubled subscription doubled a frame");
    client.unsubscribe("twice").await;
    client.ready().await;
    relay
        .publish(&[numbered("twice", 3, 4), numbered("on", 4, 4)])
        .await;
    client.expect(&[4], "unsubscribed once").await;
}

/// A frame travels as it is, both ways: a wrong checksum, a topic that is not UTF-8, an empty body.
pub async fn a_corrupt_frame_travels_verbatim(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    for prefix in [&b"c."[..], &[0xC3, 0x28]] {
        let subscribed = client.outbound.subscribe(Bytes::copy_from_slice(prefix)).await;
        subscribed.unwrap_or_else(|error| panic!("subscribing: {error}"));
    }
    client.ready().await;
    let frames = [
        Frame::new("c.checksum", "body", 0xDEAD_BEEF),
        Frame::new(&[0xC3, 0x28, 0x00, 0xFF][..], "body", 1),
        Frame::sealed("c.empty", ""),
        Frame::new("c.empty.wrong", "", 7),
        Frame::sealed("c.binary", (0..=255).collect::<Vec<u8>>()),
    ];
    client.push(&frames).await;
    assert_eq!(
        relay.frames(frames.len()).await,
        frames,
        "changed on the way to the broker"
    );
    assert_eq!(
        client.frames(frames.len()).await,
        frames,
        "changed on the way to the client"
    );
}

/// `recv` appends, something each time: what the caller had in its inbox stays there.
pub async fn receiving_appends(subject: Subject) {
    let mut link = subject.bind(&Limits::default()).await;
    let mut client = match subject
        .try_connect(&link.endpoint, "client", &Limits::default())
        .await
    {
        Ok(link) => super::Peer::new("client", link),
        Err(error) => panic!("connecting: {error}"),
    };
    client.push(&[numbered("new", 1, 4)]).await;
    let mut inbox = BrokerInbox::default();
    inbox.frames.push(numbered("old", 0, 4));
    let mut before = 0;
    while inbox.frames.len() < 2 {
        let received = within("a frame", link.inbound.recv(&mut inbox)).await;
        received.unwrap_or_else(|error| panic!("receiving: {error}"));
        assert!(
            inbox.frames.get(0) == Some(numbered("old", 0, 4).view()),
            "it did not append: {inbox:?}"
        );
        let brought = inbox.frames.len() - 1 + inbox.signals.len();
        assert!(brought > before, "recv returned Ok and brought nothing");
        before = brought;
    }
    assert_eq!(numbers(&inbox.frames.drain()), [0, 1]);
}

/// A batch of ten thousand frames, more than an [`Inbox`](crate::Inbox) holds, arrives whole, both ways.
pub async fn ten_thousand_frames_in_one_batch(subject: Subject) {
    if !subject.promises("no loss under load", |g| g.loss == Loss::OnlySlowConsumers) {
        return;
    }
    const COUNT: u32 = 10_000;
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.subscribe("topic").await;
    client.ready().await;
    let frames: Vec<_> = (0..COUNT).map(|n| numbered("topic", n, 64)).collect();
    let everything: Vec<_> = (0..COUNT).collect();
    // Published while the client reads, pushed and relayed after that.
    let ((), published) = tokio::join!(relay.publish(&frames), client.frames(COUNT as usize));
    assert!(
        numbers(&published) == everything,
        "published frames are missing or out of order"
    );
    client.push(&frames).await;
    assert!(
        numbers(&client.frames(COUNT as usize).await) == everything,
        "pushed frames are missing or out of order"
    );
}

/// Two hundred clients: each gets what is for all and what is for it alone.
pub async fn two_hundred_clients(subject: Subject) {
    const CLIENTS: usize = 200;
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = subject.client(&relay, &format!("client{n}"), &limits).await;
        client.subscribe("all").await;
        client.subscribe(&format!("only.{n}.")).await;
        clients.push(client);
    }
    let mut preparing = JoinSet::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        preparing.spawn(async move {
            client.ready().await;
            (n, client)
        });
    }
    let ready = tokio::time::timeout(STEP, preparing.join_all()).await;
    let clients = ready.unwrap_or_else(|_| panic!("{CLIENTS} clients were not ready within {STEP:?}"));
    let mut frames: Vec<_> = (0..CLIENTS)
        .map(|n| numbered(&format!("only.{n}.x"), n as u32, 32))
        .collect();
    frames.push(numbered("all", u32::MAX, 32));
    relay.publish(&frames).await;
    for (n, mut client) in clients {
        assert_eq!(
            numbers(&client.frames(2).await),
            [n as u32, u32::MAX],
            "at client {n}"
        );
    }
}
