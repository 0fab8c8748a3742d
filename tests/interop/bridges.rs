//! Local buses on either side.

use crate::node::Node;
use crate::support::{Bus, client, event, our_broker, soon, value};
use crate::venv::python;
use async_trait::async_trait;
use distbus::{ALL, BoxError, Event, LocalSink};
use serde_json::json;
use tokio::sync::mpsc;

/// Hands on what it gets.
struct Channel(mpsc::Sender<Event>);

#[async_trait]
impl LocalSink for Channel {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        for event in events {
            self.0.send(event.clone()).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_local_bus_linked_to_our_broker() {
    let python = python!();
    let bus = Bus::ours().await;
    let ours = bus.client().await;
    let mut all = ours.subscribe_events("*").await.unwrap();
    let mut theirs = Node::client(python, bus.endpoint()).await;
    theirs.on("lab.text", "str").await;
    let mut local = Node::localbus(python, bus.endpoint()).await;
    local
        .ask(json!({"cmd": "on", "topic": "lab.text", "kind": "str"}))
        .await;
    local.ask(json!({"cmd": "forward"})).await;

    for (topic, tagged, expected) in [
        ("lab.text", json!({"str": "\u{e4}"}), json!("\u{e4}")),
        ("lab.number", json!({"int": i64::MIN}), json!(i64::MIN)),
        (
            "lab.nested",
            json!({"dict": {"a": [1, {}]}}),
            json!({"a": [1, {}]}),
        ),
        (
            "lab.sample",
            json!({"dataclass": {"msg": "m", "n": 1}}),
            json!({"msg": "m", "n": 1}),
        ),
    ] {
        let sent = local.emit(topic, tagged).await;
        let got = event(&mut all).await;
        assert_eq!(
            (got.topic(), &*got.get::<serde_json::Value>().unwrap()),
            (topic, &expected)
        );
        // The bridge keeps ids.
        assert_eq!(sent["id"], got.id().to_string());
    }
    assert_eq!(theirs.next().await.value, "\u{e4}");
    assert_eq!(local.next().await.value, "\u{e4}");

    // What ends there leaves nothing behind here.
    local.ask(json!({"cmd": "deforward"})).await;
    local.emit("lab.text", json!({"str": "alone"})).await;
    theirs.emit("lab.text", json!({"str": "after"})).await;
    assert_eq!(*event(&mut all).await.get::<String>().unwrap(), "after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_local_bus_linked_to_our_broker_with_patterns() {
    let python = python!();
    let bus = Bus::ours().await;
    let ours = bus.client().await;
    let mut all = ours.subscribe_events("*").await.unwrap();
    let mut local = Node::localbus(python, bus.endpoint()).await;
    local
        .ask(json!({"cmd": "forward", "types": ["lab.*", "end"]}))
        .await;
    for topic in ["lab.a", "lab", "office.a", "lab.b.c", "end"] {
        local.emit(topic, json!({"str": topic})).await;
    }
    for topic in ["lab.a", "lab.b.c", "end"] {
        assert_eq!(event(&mut all).await.topic(), topic);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_broker_forwards_python_events_to_a_sink() {
    let python = python!();
    let broker = our_broker().await;
    let (sender, mut everything) = mpsc::channel(64);
    let all = broker.forward(Channel(sender), ALL).unwrap();
    let (sender, mut some) = mpsc::channel(64);
    let lab = broker.forward(Channel(sender), ["lab.*"]).unwrap();
    let mut node = Node::client(python, broker.endpoint()).await;
    for topic in ["lab.a", "office.a", "lab.b"] {
        node.emit(topic, json!({"str": topic})).await;
    }
    for topic in ["lab.a", "office.a", "lab.b"] {
        let event = soon("an event", everything.recv()).await.unwrap();
        assert_eq!((event.topic(), &**event.get::<String>().unwrap()), (topic, topic));
        assert_eq!(event.via(), Some(broker.endpoint()));
    }
    for topic in ["lab.a", "lab.b"] {
        assert_eq!(soon("an event", some.recv()).await.unwrap().topic(), topic);
    }
    let (all, lab) = (all.stats(), lab.stats());
    assert_eq!(
        (all.offered, all.total_dropped(), lab.offered, lab.total_dropped()),
        (3, 0, 2, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_broker_forwards_rust_events_to_its_local_bus() {
    let python = python!();
    let mut broker = Node::broker(python).await;
    broker
        .ask(json!({"cmd": "on", "topic": "lab.text", "kind": "str"}))
        .await;
    broker.ask(json!({"cmd": "forward"})).await;
    let client = client(broker.endpoint()).await;
    let mut own = client.subscribe::<String>("lab.text").await.unwrap();
    client.emit("lab.text", "\u{e4}").await.unwrap();
    assert_eq!(value(&mut own).await, "\u{e4}");
    let got = broker.next().await;
    assert_eq!((got.topic.as_str(), got.value), ("lab.text", json!("\u{e4}")));
}
