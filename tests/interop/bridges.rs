//! Local buses on either side.

use crate::node::Node;
use crate::support::{Bus, client, event, our_broker, value};
use crate::venv::python;
use distbus::{ALL, LocalBus};
use serde_json::json;

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
async fn our_broker_forwards_python_events_to_local_buses() {
    let python = python!();
    let broker = our_broker().await;
    let (everything, lab) = (LocalBus::new(), LocalBus::new());
    let mut all = everything.entry("all").subscribe_events("*").unwrap();
    let mut texts = lab.entry("texts").subscribe::<String>("*").unwrap();
    let forwards = [
        broker.forward(everything.clone(), ALL).unwrap(),
        broker.forward(lab.clone(), ["lab.*"]).unwrap(),
    ];
    let mut node = Node::client(python, broker.endpoint()).await;
    for topic in ["lab.a", "office.a", "lab.b"] {
        let sent = node.emit(topic, json!({"str": topic})).await;
        let got = event(&mut all).await;
        assert_eq!((got.topic(), &**got.get::<String>().unwrap()), (topic, topic));
        assert_eq!(sent["id"], got.id().to_string());
        assert_eq!(got.via(), Some(broker.endpoint()));
    }
    assert_eq!(
        (value(&mut texts).await, value(&mut texts).await),
        ("lab.a".into(), "lab.b".into())
    );
    let counts = forwards.map(|forward| (forward.stats().offered, forward.stats().total_dropped()));
    assert_eq!(counts, [(3, 0), (2, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_broker_forwards_rust_events_to_its_local_bus() {
    let python = python!();
    let mut broker = Node::broker(python).await;
    for (topic, kind) in [("lab.text", "str"), ("lab.*", "wildcard"), ("*", "wildcard")] {
        broker
            .ask(json!({"cmd": "on", "topic": topic, "kind": kind}))
            .await;
    }
    broker.ask(json!({"cmd": "forward"})).await;
    let client = client(broker.endpoint()).await;
    let mut own = client.subscribe::<String>("lab.text").await.unwrap();
    client.emit("lab.text", "\u{e4}").await.unwrap();
    assert_eq!(value(&mut own).await, "\u{e4}");
    // The first three that its handlers were told of: they saw nothing of our probes.
    let mut told = Vec::new();
    for _ in 0..3 {
        let got = broker.next().await;
        assert_eq!(got.topic, "lab.text");
        told.push(got.on);
    }
    told.sort_unstable();
    assert_eq!(told, ["*", "lab.*", "lab.text"]);
}
