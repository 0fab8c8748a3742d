//! Pulses, disruption, and closing seen by the other side.

use crate::node::Node;
use crate::support::{Bus, event, on_both, our_broker, soon, value};
use crate::venv::{Python, python};
use distbus::{Broker, Client, ClosedBy};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;

on_both!(
    a_broker_that_closes_is_seen,
    a_client_that_closes_disturbs_nobody,
    a_client_that_dies_disturbs_nobody
);

async fn a_broker_that_closes_is_seen(python: Python, mut bus: Bus) {
    let (ours, mut theirs) = (bus.client().await, Node::client(python, bus.endpoint()).await);
    let mut last = ours.subscribe::<u8>("last").await.unwrap();
    // What was emitted before still arrives.
    theirs.on("last", "int").await;
    ours.emit("last", &7).await.unwrap();
    assert_eq!((value(&mut last).await, theirs.next().await.value), (7, json!(7)));
    bus.close().await;
    assert_eq!(
        soon("the broker's farewell", ours.closed()).await,
        ClosedBy::Broker
    );
    theirs.closed().await;
    assert_eq!(theirs.disrupts(), 0);
    assert!(last.next().await.is_none());
}

async fn a_client_that_closes_disturbs_nobody(python: Python, bus: Bus) {
    let (leaver, stayer) = (bus.client().await, bus.client().await);
    let mut their_leaver = Node::client(python, bus.endpoint()).await;
    let mut their_stayer = Node::client(python, bus.endpoint()).await;
    their_leaver.on("x", "int").await;
    let _leaves = leaver.subscribe::<i64>("x").await.unwrap();
    both_ways(&stayer, &mut their_stayer, 1).await;
    leaver.close().await;
    both_ways(&stayer, &mut their_stayer, 2).await;
    their_leaver.close().await;
    both_ways(&stayer, &mut their_stayer, 3).await;
    assert!(!their_stayer.is_closed() && !stayer.is_closed());
}

async fn a_client_that_dies_disturbs_nobody(python: Python, bus: Bus) {
    let (leaver, stayer) = (bus.client().await, bus.client().await);
    let mut their_leaver = Node::client(python, bus.endpoint()).await;
    let mut their_stayer = Node::client(python, bus.endpoint()).await;
    their_leaver.on("x", "int").await;
    let leaves = leaver.subscribe::<i64>("x").await.unwrap();
    both_ways(&stayer, &mut their_stayer, 1).await;
    their_leaver.die().await;
    drop((leaves, leaver));
    both_ways(&stayer, &mut their_stayer, 2).await;
    both_ways(&stayer, &mut their_stayer, 3).await;
}

async fn both_ways(ours: &Client, theirs: &mut Node, number: i64) {
    let mut stream = ours.subscribe::<i64>("x").await.unwrap();
    theirs.on("x", "int").await;
    ours.emit("x", &number).await.unwrap();
    assert_eq!(
        (value(&mut stream).await, theirs.next().await.value),
        (number, json!(number))
    );
    theirs.emit("x", json!({"int": -number})).await;
    assert_eq!(
        (value(&mut stream).await, theirs.next().await.value),
        (-number, json!(-number))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_pulses_keep_a_python_client_alive() {
    let python = python!();
    let broker = Broker::builder()
        .transport(crate::transport())
        .pulse(Duration::from_millis(100))
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let patience = ["--pulse-ttl", "0.6", "--pulse-limit", "3"];
    let mut node = Node::client_with(python, broker.endpoint(), &patience).await;
    node.on("x", "int").await;
    let client = crate::support::client(broker.endpoint()).await;
    let mut pulses = client.subscribe_events(distbus::PULSE).await.unwrap();
    // Twice as long as it would take to be given up.
    for _ in 0..50 {
        let pulse = event(&mut pulses).await;
        assert!(pulse.is_empty());
    }
    assert_eq!((node.disrupts(), node.is_closed()), (0, false));
    client.emit("x", &1).await.unwrap();
    assert_eq!(node.next().await.value, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_pulses_keep_our_client_alive() {
    let python = python!();
    let broker = Node::broker_with(python, &["--pulse", "0.1"]).await;
    let client = Client::builder()
        .transport(crate::transport())
        .pulse_ttl(Duration::from_millis(500))
        .pulse_limit(2)
        .connect(broker.endpoint().clone())
        .await
        .unwrap();
    let mut pulses = client.subscribe_events(distbus::PULSE).await.unwrap();
    for _ in 0..30 {
        let pulse = event(&mut pulses).await;
        assert!(pulse.is_empty());
    }
    assert!(!client.is_closed());
    assert_eq!(soon("the end", client.close()).await.undelivered, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_notices_that_our_broker_is_gone() {
    let python = python!();
    let broker = our_broker().await;
    let patience = ["--pulse-ttl", "0.3", "--pulse-limit", "2"];
    let mut node = Node::client_with(python, broker.endpoint(), &patience).await;
    // Without a close event: as in a crash.
    drop(broker);
    node.disrupted().await;
    node.closed().await;
    assert_eq!(node.disrupts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_notices_that_their_broker_is_gone() {
    let python = python!();
    let mut broker = Node::broker(python).await;
    let (told, mut was_told) = oneshot::channel();
    let client = Client::builder()
        .transport(crate::transport())
        .pulse_ttl(Duration::from_millis(300))
        .pulse_limit(2)
        .on_disrupt(move || async move {
            let _ = told.send(());
        })
        .connect(broker.endpoint().clone())
        .await
        .unwrap();
    let mut stream = client.subscribe::<u8>("x").await.unwrap();
    broker.die().await;
    match soon("the end", client.closed()).await {
        ClosedBy::Disrupted => soon("on_disrupt", &mut was_told).await.unwrap(),
        // The system said that the connection is gone before the pulses were missed.
        ClosedBy::Lost(_) => assert!(was_told.try_recv().is_err()),
        other => panic!("closed by {other:?}"),
    }
    assert!(soon("the end of the stream", stream.next()).await.is_none());
    assert!(matches!(client.emit("x", &1).await, Err(distbus::Error::Closed)));
}

/// A broker that is alive as a process, but whose loop has died, is noticed by its silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_notices_that_nobody_pulses() {
    let python = python!();
    let broker = Node::broker_with(python, &["--pulse", "3600"]).await;
    let (told, was_told) = oneshot::channel();
    let client = Client::builder()
        .transport(crate::transport())
        .pulse_ttl(Duration::from_millis(200))
        .pulse_limit(2)
        .on_disrupt(move || async move {
            let _ = told.send(());
        })
        .connect(broker.endpoint().clone())
        .await
        .unwrap();
    soon("on_disrupt", was_told).await.unwrap();
    assert_eq!(client.closed().await, ClosedBy::Disrupted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_home_is_noticed_in_time() {
    let python = python!();
    // A port that was free a moment ago, with nobody on it now.
    let mut broker = Node::broker(python).await;
    broker.close().await;
    let error = Client::builder()
        .transport(crate::transport())
        .connect_timeout(Duration::from_millis(500))
        .connect(broker.endpoint().clone())
        .await
        .unwrap_err();
    assert!(matches!(error, distbus::Error::ConnectTimeout { .. }), "{error}");
}
