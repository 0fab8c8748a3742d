//! Closing: what was accepted is handed over, then everything ends.

use super::{Subject, numbered, numbers, soon, within};
use crate::{Batch, BrokerInbox, ClientInbox, Limits, TransportError};
use std::fmt::Debug;

fn closed<T: Debug>(what: &str, answer: Result<T, TransportError>) {
    assert!(
        matches!(answer, Err(TransportError::Closed)),
        "{what} after close is answered with {answer:?}"
    );
}

/// A broker that closes hands over what it had published, to clients that receive, before its deadline.
pub async fn closing_a_broker_flushes(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.subscribe("topic").await;
    client.ready().await;
    let frames: Vec<_> = (0..200).map(|n| numbered("topic", n, 100)).collect();
    relay.publish(&frames).await;
    let (report, received) = tokio::join!(relay.close_soon(), client.frames(200));
    assert_eq!(numbers(&received), (0..200).collect::<Vec<_>>());
    assert_eq!(report.undelivered, 0);
}

/// A client that closes hands over what it had pushed.
pub async fn closing_a_client_flushes(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    let frames: Vec<_> = (0..200).map(|n| numbered("topic", n, 100)).collect();
    client.push(&frames).await;
    let report = within("closing a client", client.outbound.close(soon())).await;
    assert_eq!(numbers(&relay.frames(200).await), (0..200).collect::<Vec<_>>());
    assert_eq!(report.undelivered, 0);
}

/// Closing again does nothing and reports the same.
pub async fn closing_twice_reports_the_same(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.ready().await;
    let first = within("closing a client", client.outbound.close(soon())).await;
    let second = within("closing a client again", client.outbound.close(soon())).await;
    assert_eq!(first, second, "a client's reports");
    assert_eq!(
        relay.close_soon().await,
        relay.close_soon().await,
        "a broker's reports"
    );
}

/// After `close` both halves of a broker are `Closed`: a `recv` that waited in another task, and every later call.
pub async fn both_halves_of_a_closed_broker_are_closed(subject: Subject) {
    let link = subject.bind(&Limits::default()).await;
    let (mut inbound, mut outbound) = (link.inbound, link.outbound);
    let receiving = tokio::spawn(async move {
        let mut inbox = BrokerInbox::default();
        let first = inbound.recv(&mut inbox).await;
        (first, inbound.recv(&mut inbox).await)
    });
    tokio::task::yield_now().await;
    within("closing an idle broker", outbound.close(soon())).await;
    let (first, second) = within("a recv that waits", receiving)
        .await
        .expect("its task lives");
    closed("a recv that waited", first);
    closed("recv", second);
    closed(
        "publish",
        within(
            "publish",
            outbound.publish(Batch::from(numbered("topic", 0, 4)).all()),
        )
        .await,
    );
    closed(
        "reply",
        within("reply", outbound.reply(&super::peer_id("nobody"), "hello".into())).await,
    );
}

/// After `close` both halves of a client are `Closed`: a `recv` that waited in another task, and every later call.
pub async fn both_halves_of_a_closed_client_are_closed(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.ready().await;
    let (mut inbound, mut outbound) = (client.inbound, client.outbound);
    let receiving = tokio::spawn(async move {
        let mut inbox = ClientInbox::default();
        let first = inbound.recv(&mut inbox).await;
        (first, inbound.recv(&mut inbox).await)
    });
    tokio::task::yield_now().await;
    within("closing a client", outbound.close(soon())).await;
    let (first, second) = within("a recv that waits", receiving)
        .await
        .expect("its task lives");
    closed("a recv that waited", first);
    closed("recv", second);
    closed(
        "push",
        within("push", outbound.push(Batch::from(numbered("topic", 0, 4)).all())).await,
    );
    closed(
        "control",
        within("control", outbound.control("hello".into())).await,
    );
    closed(
        "subscribe",
        within("subscribe", outbound.subscribe("topic".into())).await,
    );
    closed(
        "unsubscribe",
        within("unsubscribe", outbound.unsubscribe("topic".into())).await,
    );
}

/// A broker that closes returns the frames it had received before it reports `Closed`.
pub async fn what_a_broker_had_received_comes_before_closed(subject: Subject) {
    let limits = Limits::default();
    let link = subject.bind(&limits).await;
    let (mut inbound, mut outbound) = (link.inbound, link.outbound);
    let mut client = match subject.try_connect(&link.endpoint, "client", &limits).await {
        Ok(link) => super::Peer::new("client", link),
        Err(error) => panic!("connecting: {error}"),
    };
    client.push(&[numbered("topic", 0, 4)]).await;
    let mut inbox = BrokerInbox::default();
    while inbox.frames.is_empty() {
        let received = within("a frame", inbound.recv(&mut inbox)).await;
        received.unwrap_or_else(|error| panic!("receiving: {error}"));
    }
    // From here on frames may or may not get in; whichever do come as they were sent, and then the end.
    client
        .push(&[numbered("topic", 1, 4), numbered("topic", 2, 4)])
        .await;
    within("closing a broker", outbound.close(soon())).await;
    let ended = async {
        loop {
            if let Err(error) = inbound.recv(&mut inbox).await {
                return error;
            }
        }
    };
    closed("recv", Err::<(), _>(within("recv", ended).await));
    let received = numbers(&inbox.frames.drain());
    assert!([0, 1, 2].starts_with(&received), "received {received:?}");
}
