//! Binding and connecting.

use super::{Peer, Relay, Subject, eventually, numbered, peer_id, poll_times, within};
use crate::{Endpoint, Limits, TransportError};
use std::time::Duration;
use tokio::time::interval;

/// Port 0, or an empty name, becomes an endpoint that clients can connect to.
pub async fn an_any_endpoint_becomes_a_real_one(subject: Subject) {
    let limits = Limits::default();
    let (one, two) = (subject.relay(&limits).await, subject.relay(&limits).await);
    assert!(
        !one.endpoint.is_any(),
        "the link's endpoint is still {}",
        one.endpoint
    );
    assert_ne!(one.endpoint, two.endpoint, "two brokers at one endpoint");
    for relay in [&one, &two] {
        subject.client(relay, "client", &limits).await.ready().await;
    }
}

/// An endpoint of a scheme that the transport does not serve is `Unsupported`, at once.
pub async fn an_endpoint_of_another_scheme_is_unsupported(subject: Subject) {
    let foreign = match subject.any() {
        Endpoint::Mem { .. } => Endpoint::tcp("127.0.0.1", 9),
        _ => Endpoint::mem("elsewhere"),
    };
    let limits = Limits::default();
    let bound = within(
        "binding a foreign endpoint",
        subject.transport().bind(&foreign, &limits),
    )
    .await;
    let connected = subject.try_connect(&foreign, "client", &limits).await;
    for error in [bound.err(), connected.err()] {
        assert!(
            matches!(error, Some(TransportError::Unsupported { .. })),
            "{foreign} is answered with {error:?}"
        );
    }
}

/// Nobody can bind where a broker listens: `AddressInUse`, and that broker feels nothing.
pub async fn binding_a_bound_endpoint_is_address_in_use(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let second = within(
        "binding a bound endpoint",
        subject.transport().bind(&relay.endpoint, &limits),
    )
    .await;
    let error = second.err();
    assert!(
        matches!(error, Some(TransportError::AddressInUse { .. })),
        "a bound endpoint is answered with {error:?}"
    );
    subject.client(&relay, "client", &limits).await.ready().await;
}

/// A client may come before its broker: `connect` waits until somebody binds.
pub async fn connecting_first_succeeds_once_somebody_binds(subject: Subject) {
    let endpoint = subject.vacant().await;
    let limits = Limits::default();
    let early = {
        let (subject, endpoint, limits) = (subject.clone(), endpoint.clone(), limits.clone());
        tokio::spawn(async move { subject.try_connect(&endpoint, "early", &limits).await })
    };
    // Time for a few attempts, each of which must fail in silence.
    let mut tick = interval(Duration::from_millis(10));
    for _ in 0..5 {
        tick.tick().await;
        assert!(!early.is_finished(), "connect returned while nobody listened");
    }
    let relay = bind_again(&subject, &endpoint).await;
    let link = within("the early client", early).await.expect("its task lives");
    let mut early = Peer::new(
        "early",
        link.unwrap_or_else(|error| panic!("connecting early: {error}")),
    );
    early.ready().await;
    drop(relay);
}

/// Dropping `connect` at any point, with and without a broker there, leaves no connection, no task that goes on
/// trying and no claim on the peer id.
pub async fn a_dropped_connect_leaves_nothing_behind(subject: Subject) {
    let endpoint = subject.vacant().await;
    let (limits, id) = (Limits::default(), peer_id("client"));
    for polls in 0..8 {
        let mut connect = subject.transport().connect(&endpoint, &id, &limits);
        if let Some(Err(error)) = poll_times(&mut connect, polls).await {
            panic!("connect gave up while nobody listened: {error}");
        }
    }
    let relay = bind_again(&subject, &endpoint).await;
    for polls in 0..8 {
        let mut connect = subject.transport().connect(&endpoint, &id, &limits);
        // Connected or not, it is dropped.
        let _ = poll_times(&mut connect, polls).await;
    }
    let mut client = subject.client_once_accepted(&relay, "client", &limits).await;
    client.subscribe("topic").await;
    client.ready().await;
    relay.publish(&[numbered("topic", 1, 4)]).await;
    assert_eq!(client.frames(1).await[0].topic(), "topic");
    if subject.promises_presence() {
        eventually("the broker having one client, and none of those dropped", || {
            relay.counters.snapshot().clients == 1
        })
        .await;
    }
}

/// When `close` returns, the endpoint is free.
pub async fn a_closed_broker_frees_its_endpoint(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    client.ready().await;
    relay.close_soon().await;
    let again = within(
        "binding again",
        subject.transport().bind(&relay.endpoint, &limits),
    )
    .await;
    let again = again.unwrap_or_else(|error| panic!("binding again after close: {error}"));
    assert_eq!(again.endpoint, relay.endpoint);
    drop(client);
    let again = Relay::over(again);
    subject.client(&again, "next", &limits).await.ready().await;
}

/// Dropping both halves of a broker without closing frees the endpoint as well.
pub async fn a_dropped_broker_frees_its_endpoint(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    subject.client(&relay, "client", &limits).await.ready().await;
    let endpoint = relay.endpoint.clone();
    relay.abandon().await;
    let again = bind_again(&subject, &endpoint).await;
    subject.client(&again, "next", &limits).await.ready().await;
}

/// Binds an endpoint that was just given up.
async fn bind_again(subject: &Subject, endpoint: &Endpoint) -> Relay {
    let attempts = async {
        let mut tick = interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            match subject.transport().bind(endpoint, &Limits::default()).await {
                Ok(link) => return Relay::over(link),
                Err(TransportError::AddressInUse { .. }) => {}
                Err(error) => panic!("binding {endpoint} again: {error}"),
            }
        }
    };
    within(format!("{endpoint} being free again"), attempts).await
}
