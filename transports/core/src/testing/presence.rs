//! Who is there, for transports that can tell.

use super::{Subject, eventually, soon, within};
use crate::{BrokerSignal, Limits, Reject, TransportError};

/// The promises that this transport does not make, printed: the report of what the other tests skipped.
pub async fn missing_promises_are_printed(subject: Subject) {
    let name = subject.transport().name();
    assert!(
        !name.is_empty() && name == name.to_lowercase(),
        "{name:?} is not a short lower-case name"
    );
    for words in subject.transport().guarantees().missing() {
        assert!(!subject.promises(words, |_| false));
    }
}

/// The broker hears of a client that connects, and of one that leaves: closed, or dropped without closing.
pub async fn the_broker_hears_who_comes_and_goes(subject: Subject) {
    if !subject.promises_presence() {
        return;
    }
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut polite = subject.client(&relay, "polite", &limits).await;
    let rude = subject.client(&relay, "rude", &limits).await;
    for id in [polite.id.clone(), rude.id.clone()] {
        relay.signal(&BrokerSignal::Connected(id)).await;
    }
    assert_eq!(relay.counters.snapshot().clients, 2);
    within("closing a client", polite.outbound.close(soon())).await;
    relay.signal(&BrokerSignal::Disconnected(polite.id.clone())).await;
    let id = rude.id.clone();
    drop(rude);
    relay.signal(&BrokerSignal::Disconnected(id)).await;
    eventually("no client being counted", || {
        relay.counters.snapshot().clients == 0
    })
    .await;
}

/// The broker hears of each subscription once, and of its end once, however often the client asked.
pub async fn the_broker_hears_of_subscriptions(subject: Subject) {
    if !subject.promises_presence() {
        return;
    }
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    for prefix in ["lab", "lab", ""] {
        client.subscribe(prefix).await;
    }
    for prefix in ["lab", "lab", "never"] {
        client.unsubscribe(prefix).await;
    }
    client.ready().await;
    let peer = client.id.clone();
    relay
        .signal(&BrokerSignal::Subscribed {
            peer: peer.clone(),
            prefix: "lab".into(),
        })
        .await;
    relay
        .signal(&BrokerSignal::Subscribed {
            peer: peer.clone(),
            prefix: "".into(),
        })
        .await;
    relay
        .signal(&BrokerSignal::Unsubscribed {
            peer,
            prefix: "lab".into(),
        })
        .await;
    // The probes of `ready` end in a dot; anything else would be a repetition.
    let more = relay.count_signals(|signal| match signal {
        BrokerSignal::Subscribed { prefix, .. } | BrokerSignal::Unsubscribed { prefix, .. } => {
            !prefix.starts_with(b"conformance.")
        }
        _ => false,
    });
    assert_eq!(more, 0, "a subscription was announced more than once");
}

/// A peer id in use is refused to another connection, counted, and its holder feels nothing; it is free when the
/// holder has left.
pub async fn a_peer_id_in_use_is_refused(subject: Subject) {
    if !subject.promises("peer ids that cannot be taken over", |g| g.exclusive_peers) {
        return;
    }
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut first = subject.client(&relay, "same", &limits).await;
    let error = subject.try_connect(&relay.endpoint, "same", &limits).await.err();
    assert!(
        matches!(error, Some(TransportError::Refused { .. })),
        "a second peer is answered with {error:?}"
    );
    assert!(
        relay.counters.snapshot().rejected_by(Reject::DuplicatePeer) > 0,
        "the refusal is not counted"
    );
    first.ready().await;
    relay
        .reply(&first.id, "still you")
        .await
        .unwrap_or_else(|error| panic!("reply: {error}"));
    assert_eq!(first.control().await, "still you");
    within("closing a client", first.outbound.close(soon())).await;
    subject
        .client_once_accepted(&relay, "same", &limits)
        .await
        .ready()
        .await;
}

/// A client's link ends when its broker closes, and when it is dropped; frames that were there come first.
///
/// A transport without presence may leave this to the engine, which misses the broker's pulse.
pub async fn a_client_sees_its_broker_go(subject: Subject) {
    if !subject.promises_presence() {
        return;
    }
    let limits = Limits::default();
    for politely in [true, false] {
        let relay = subject.relay(&limits).await;
        let mut client = subject.client(&relay, "client", &limits).await;
        client.ready().await;
        if politely {
            relay.close_soon().await;
        } else {
            relay.abandon().await;
        }
        assert_eq!(client.until_ended().await, []);
    }
}
