//! Bad frames beside Python clients, and what really is on the wire.

use crate::node::Node;
use crate::raw::{Push, Sub, sealed};
use crate::support::{our_broker, soon, value};
use crate::venv::python;
use distbus::{Broker, Reject};
use serde_json::json;

/// The body of an event, spelled as neither we nor Python would.
fn odd_body(topic: &str) -> String {
    format!(
        "{{ \"timestamp\" : \"2026-11-22T17:23:16.123456\",\t\"extra\":[{{}}], \"id\":\"1\",\"type\" :\"{topic}\",\n\"data\":[ 55 ] }}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_checksum_is_dropped_and_counted() {
    let python = python!();
    let broker = our_broker().await;
    let mut node = Node::client(python, broker.endpoint()).await;
    node.on("x", "int").await;
    let client = crate::support::client(broker.endpoint()).await;
    let mut stream = client.subscribe::<i64>("x").await.unwrap();
    let mut raw = Push::connect(broker.endpoint()).await;
    for bad in [1_u8, 0x80] {
        let mut frames = sealed("x", odd_body("x"));
        frames[2][3] ^= bad;
        raw.send(&frames).await;
    }
    let mut frames = sealed("x", odd_body("x"));
    frames[1][0] = b' ';
    raw.send(&frames).await;
    raw.send(&sealed("x", odd_body("x"))).await;
    // Only the good one came, to both; and it was the last.
    assert_eq!((value(&mut stream).await, node.next().await.value), (7, json!(7)));
    client.emit("x", &8).await.unwrap();
    assert_eq!((value(&mut stream).await, node.next().await.value), (8, json!(8)));
    // The clients may have the last event before the broker has counted it.
    soon("quiet", broker.flush()).await.unwrap();
    let stats = broker.stats();
    assert_eq!(stats.rejected_by(Reject::Checksum), 3, "{stats:?}");
    assert_eq!(stats.received, stats.relayed + stats.probes + 3, "{stats:?}");
}

/// What would end a Python client's receive loop does not reach it through a broker with the defaults: 1, 2 and 4 frames, and bodies
/// that are not UTF-8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defaults_shield_python_from_frames_that_end_it() {
    let python = python!();
    let broker = our_broker().await;
    let mut node = Node::client(python, broker.endpoint()).await;
    node.on("x", "int").await;
    let mut raw = Push::connect(broker.endpoint()).await;
    let [topic, body, sum] = sealed("x", odd_body("x"));
    raw.send(&[&topic]).await;
    raw.send(&[&topic, &body]).await;
    raw.send(&[&topic, &body, &sum, &sum]).await;
    raw.send(&sealed("x", b"{\"type\": \"\xff\"}")).await;
    raw.send(&sealed(b"x\xff", odd_body("x"))).await;
    raw.send(&sealed("x", odd_body("x"))).await;
    assert_eq!(node.next().await.value, 7);
    assert!(!node.is_closed());
    let stats = broker.stats();
    let rejected =
        [Reject::Malformed, Reject::Undecodable, Reject::NotUtf8].map(|why| stats.rejected_by(why));
    assert_eq!(rejected, [3, 1, 1], "{stats:?}");
}

/// Forged reserved events would close every Python client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_close_closes_nobody() {
    let python = python!();
    let broker = our_broker().await;
    let mut node = Node::client(python, broker.endpoint()).await;
    node.on("x", "int").await;
    let client = crate::support::client(broker.endpoint()).await;
    let mut stream = client.subscribe::<i64>("x").await.unwrap();
    // Python's own client sends what ours refuses to.
    let mut forger = Node::client(python, broker.endpoint()).await;
    forger.emit(distbus::CLOSE, json!({"str": "x"})).await;
    forger.emit(distbus::PULSE, json!({"str": "x"})).await;
    forger.emit("x", json!({"int": 1})).await;
    assert_eq!((value(&mut stream).await, node.next().await.value), (1, json!(1)));
    assert!(!client.is_closed() && !node.is_closed());
    assert_eq!(
        broker.stats().rejected_by(Reject::Reserved),
        2,
        "{:?}",
        broker.stats()
    );
}

/// A body that is no event, or names another topic, ends a Python client's receive loop: a strict broker keeps it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_broker_protects_python() {
    let python = python!();
    let broker = Broker::builder()
        .transport(crate::transport())
        .strict(true)
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let mut node = Node::client(python, broker.endpoint()).await;
    node.on("x", "int").await;
    let mut raw = Push::connect(broker.endpoint()).await;
    let bad = [
        "{".to_owned(),
        "[]".to_owned(),
        odd_body("x").replace("[ 55 ]", "[300]"),
        odd_body("x").replace("[ 55 ]", "\"x\""),
        odd_body("x").replace("\"id\"", "\"ID\""),
        // Python would look for a handler of this, find none, and end.
        odd_body("y"),
    ];
    for body in &bad {
        raw.send(&sealed("x", body)).await;
    }
    raw.send(&sealed("x", odd_body("x"))).await;
    assert_eq!(node.next().await.value, 7);
    // Our own clients' probes name another topic on purpose, and pass.
    let client = crate::support::client(broker.endpoint()).await;
    let mut stream = client.subscribe::<i64>("x").await.unwrap();
    client.flush().await.unwrap();
    node.emit("x", json!({"int": 8})).await;
    assert_eq!((value(&mut stream).await, node.next().await.value), (8, json!(8)));
    let stats = broker.stats();
    assert_eq!(
        stats.rejected_by(Reject::Undecodable),
        bad.len() as u64,
        "{stats:?}"
    );
}

/// Without `strict` the broker reads nothing: what comes is what goes, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_relays_verbatim() {
    let python = python!();
    let broker = our_broker().await;
    let mut sub = Sub::connect(broker.endpoint(), "").await;
    let mut push = Push::connect(broker.endpoint()).await;
    let client = crate::support::client(broker.endpoint()).await;
    // The subscription is live once something comes through; a client's probes are as good as anything.
    soon("anything", async {
        tokio::select! {
            _ = sub.next() => {}
            () = async { while client.flush().await.is_ok() {} } => {}
        }
    })
    .await;
    for body in [odd_body("raw"), "not JSON".to_owned(), String::new()] {
        let sent = sealed("raw", body);
        push.send(&sent).await;
        let got = next_of(&mut sub, b"raw").await;
        assert_eq!(got, sent);
    }
    // Python's own spelling, spaces and all, goes through as it is.
    let mut node = Node::client(python, broker.endpoint()).await;
    let sent = node.emit("py", json!({"str": "\u{e4}"})).await;
    let got = next_of(&mut sub, b"py").await;
    let (id, timestamp) = (&sent["id"], &sent["timestamp"]);
    let bytes = br#""\u00e4""#.map(|byte| byte.to_string()).join(", ");
    let body = String::from_utf8(got[1].to_vec()).unwrap();
    assert!(body.contains(&format!("\"data\": [{bytes}]")), "{body}");
    assert!(
        body.contains(&format!("\"id\": {id}")) && body.contains(&format!("{timestamp}")),
        "{body}"
    );
}

async fn next_of(sub: &mut Sub, topic: &[u8]) -> Vec<bytes::Bytes> {
    loop {
        let got = soon("a message", sub.next()).await;
        if got[0] == topic {
            return got;
        }
    }
}

/// Python writes a number that JSON does not have; it is counted, and the next event is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nan_from_python_is_no_json() {
    let python = python!();
    let broker = our_broker().await;
    let client = crate::support::client(broker.endpoint()).await;
    let mut stream = client.subscribe::<f64>("x").await.unwrap();
    let mut raw = Push::connect(broker.endpoint()).await;
    let nan = format!("{:?}", b"NaN");
    raw.send(&sealed("x", odd_body("x").replace("[ 55 ]", &nan)))
        .await;
    raw.send(&sealed("x", odd_body("x"))).await;
    let mut node = Node::client(python, broker.endpoint()).await;
    node.emit("x", json!({"float": 1.5})).await;
    assert_eq!(value(&mut stream).await, 7.0);
    assert_eq!(value(&mut stream).await, 1.5);
    let stats = client.stats();
    assert_eq!(
        stats.handled.dropped_by(distbus::DropReason::Undecodable),
        1,
        "{stats:?}"
    );
}
