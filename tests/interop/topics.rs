//! Who gets what: exact handlers, wildcards, and neighbours that share a prefix.

use crate::node::Node;
use crate::support::{Bus, event, on_both, soon, value};
use crate::venv::Python;
use serde_json::{Value, json};

on_both!(
    rust_handlers_of_python_events,
    python_handlers_of_rust_events,
    off_is_final,
    ids_and_times_travel,
);

const TOPICS: [&str; 7] = ["test", "testing", "test.a", "test.a.b", "tes", "other.a", "end"];

async fn rust_handlers_of_python_events(python: Python, bus: Bus) {
    let receiver = bus.client().await;
    let mut exact = receiver.subscribe::<String>("test").await.unwrap();
    let mut below = receiver.subscribe_events("test.*").await.unwrap();
    let mut one = receiver.subscribe_events("+.a").await.unwrap();
    let mut all = receiver.subscribe_events("*").await.unwrap();
    let mut sender = Node::client(python, bus.endpoint()).await;
    for topic in TOPICS {
        sender.emit(topic, json!({"str": topic})).await;
    }
    for topic in TOPICS {
        let event = event(&mut all).await;
        assert_eq!((event.topic(), &**event.get::<String>().unwrap()), (topic, topic));
    }
    // `end` has come, and streams are filled in order: nothing more can come to them.
    assert_eq!(value(&mut exact).await, "test");
    assert_eq!(event(&mut below).await.topic(), "test.a");
    assert_eq!(event(&mut below).await.topic(), "test.a.b");
    assert_eq!(event(&mut one).await.topic(), "test.a");
    assert_eq!(event(&mut one).await.topic(), "other.a");
    receiver.close().await;
    assert!(exact.next().await.is_none());
    assert!(below.next().await.is_none());
    assert!(one.next().await.is_none());
}

async fn python_handlers_of_rust_events(python: Python, bus: Bus) {
    let mut receiver = Node::client(python, bus.endpoint()).await;
    for (topic, kind) in [
        ("test", "str"),
        ("test.*", "wildcard"),
        ("*", "wildcard"),
        ("end", "str"),
    ] {
        receiver
            .ask(json!({"cmd": "on", "topic": topic, "kind": kind}))
            .await;
    }
    receiver.on_wide("other.*").await;
    let sender = bus.client().await;
    for topic in TOPICS {
        sender.emit(topic, topic).await.unwrap();
    }
    // Sends a probe, as connecting did.
    sender.flush().await.unwrap();
    sender.emit("end", "end").await.unwrap();
    let mut got = Vec::new();
    while got.iter().filter(|(_, on)| on == "end").count() < 2 {
        let event = receiver.next().await;
        if event.topic == distbus::PULSE {
            // All that a wildcard which is open to everything sees of our probes: a pulse without data.
            assert_eq!((event.on.as_str(), &event.value), ("*", &Value::Null));
            continue;
        }
        if event.on != "*" && event.on.contains('*') {
            // A wildcard handler is handed the payload as it travels.
            assert_eq!(
                event.value,
                json!(format!("{:?}", event.topic).into_bytes()),
                "{event:?}"
            );
        }
        got.push((event.topic, event.on));
    }
    let of = |on: &str| -> Vec<&str> {
        got.iter()
            .filter(|(_, of)| of == on)
            .map(|(topic, _)| topic.as_str())
            .collect()
    };
    assert_eq!(of("test"), ["test"]);
    assert_eq!(of("test.*"), ["test.a", "test.a.b"]);
    assert_eq!(of("other.*"), ["other.a"]);
    assert_eq!(of("*")[..TOPICS.len()], TOPICS);
}

async fn off_is_final(python: Python, bus: Bus) {
    let (ours, mut theirs) = (bus.client().await, Node::client(python, bus.endpoint()).await);
    let mut seen = ours.subscribe::<i64>("seen").await.unwrap();
    let mut end = ours.subscribe::<i64>("end").await.unwrap();
    theirs.on("seen", "int").await;
    theirs.on("end", "int").await;
    ours.emit("seen", &1).await.unwrap();
    assert_eq!((value(&mut seen).await, theirs.next().await.value), (1, json!(1)));

    drop(seen);
    theirs.ask(json!({"cmd": "off", "topic": "seen"})).await;
    theirs.ready().await;
    ours.emit("seen", &2).await.unwrap();
    theirs.emit("end", json!({"int": 3})).await;
    assert_eq!(value(&mut end).await, 3);
    let got = theirs.next().await;
    assert_eq!((got.topic.as_str(), got.value), ("end", json!(3)));
    assert_eq!(theirs.rest(), []);
}

async fn ids_and_times_travel(python: Python, bus: Bus) {
    let (ours, mut theirs) = (bus.client().await, Node::client(python, bus.endpoint()).await);
    theirs.on_wide("*").await;
    let mut all = ours.subscribe_events("*").await.unwrap();
    theirs.skip_pulses = true;
    let sent = theirs.emit("from.python", json!({"int": 1})).await;
    let got = event(&mut all).await;
    let named = |event: &distbus::Event| json!({"id": event.id().to_string(), "timestamp": event.timestamp().to_string()});
    assert_eq!(named(&got), sent);
    let got = theirs.next().await;
    assert_eq!(json!({"id": got.id, "timestamp": got.timestamp}), sent);

    let id = ours.emit("from.rust", &2).await.unwrap();
    ours.emit_with_id("from.rust", &2, "of my own").await.unwrap();
    let sent = [event(&mut all).await, event(&mut all).await];
    assert_eq!(
        (sent[0].id(), sent[1].id().to_string().as_str()),
        (&id, "of my own")
    );
    for sent in sent {
        let got = theirs.next().await;
        assert_eq!(json!({"id": got.id, "timestamp": got.timestamp}), named(&sent));
    }
    soon("the end", ours.close()).await;
    assert_eq!(theirs.ask(json!({"cmd": "running"})).await, Value::Bool(true));
}
