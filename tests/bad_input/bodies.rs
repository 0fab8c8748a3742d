//! Bodies whose checksum is right and which are no events, or odd ones. A broker relays them verbatim, as Python's does, and each
//! receiver refuses them for itself; a strict broker refuses them for all.

use crate::lab::{Lab, Net, body, on_each};
use distbus::{DropReason, Reject};

on_each!(
    no_json,
    nothing_at_all,
    an_array,
    another_codec,
    nested_data,
    nested_in_a_key_that_nobody_knows,
    data_of_300,
    data_of_minus_1,
    data_that_is_text,
    data_that_is_half,
    no_id,
    two_types,
    bad_time,
    another_topic,
    another_topic_at_a_strict_broker,
    payload_of_another_type,
    payload_that_is_nested,
);

/// Refused by each who reads it, or by a strict broker for all of them.
async fn refused(net: Net, bad: &[u8]) {
    let mut lab = Lab::new(net.clone()).await;
    lab.raw.event("bad", bad).await;
    lab.still_works().await;
    assert_eq!(
        (lab.refused(), lab.witness_refused()),
        (vec![], vec![(Reject::Undecodable, 1)])
    );
    lab.said_once("reason=undecodable");
    // The sender is not subscribed to it, and the sink in the broker's process is spared.
    let sink = lab.sink();
    assert_eq!(
        (sink.dropped_by(DropReason::Undecodable), sink.total_dropped()),
        (1, 1)
    );
    lab.said_once("a sink was spared");
    assert_eq!(lab.sender.stats().rejected, []);
    drop(lab);

    let mut lab = Lab::strict(net).await;
    lab.raw.event("bad", bad).await;
    lab.still_works().await;
    assert_eq!(
        (lab.refused(), lab.witness_refused()),
        (vec![(Reject::Undecodable, 1)], vec![])
    );
    lab.said_once("reason=undecodable");
    assert_eq!(lab.sink().total_dropped(), 0);
}

async fn no_json(net: Net) {
    refused(net, br#"{"type": "bad", "data": [55"#).await;
}

async fn nothing_at_all(net: Net) {
    refused(net, b"").await;
}

async fn an_array(net: Net) {
    refused(net, br#"["bad", [55], null, "1", "2026-11-22T17:23:16.123456"]"#).await;
}

/// It does not begin as an object does, so that a broker takes it for another codec's.
async fn another_codec(net: Net) {
    refused(net, b"\x95\xa3bad\xc4\x01\x07\xff").await;
}

async fn nested_data(net: Net) {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    refused(net, body("bad").replace("[55]", &deep).as_bytes()).await;
}

async fn nested_in_a_key_that_nobody_knows(net: Net) {
    let deep = format!(
        "[55], \"extra\": {}1{}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    refused(net, body("bad").replace("[55]", &deep).as_bytes()).await;
}

async fn data_of_300(net: Net) {
    refused(net, body("bad").replace("55", "300").as_bytes()).await;
}

async fn data_of_minus_1(net: Net) {
    refused(net, body("bad").replace("55", "-1").as_bytes()).await;
}

async fn data_that_is_text(net: Net) {
    refused(net, body("bad").replace("[55]", "\"x\"").as_bytes()).await;
}

async fn data_that_is_half(net: Net) {
    refused(net, body("bad").replace("55", "0.5").as_bytes()).await;
}

async fn no_id(net: Net) {
    refused(net, body("bad").replace("\"id\"", "\"ID\"").as_bytes()).await;
}

async fn two_types(net: Net) {
    refused(net, body("bad").replace("{", "{\"type\": \"good\", ").as_bytes()).await;
}

async fn bad_time(net: Net) {
    refused(net, body("bad").replace("2026-11-22", "2026-13-22").as_bytes()).await;
}

/// The frame's topic counts: brokers route by it.
async fn another_topic(net: Net) {
    let mut lab = Lab::new(net).await;
    let mut named_inside = lab.witness.subscribe::<u8>("inside").await.unwrap();
    lab.raw.event("outside", body("inside")).await;
    let event = lab.next().await;
    assert_eq!((event.topic(), *event.get::<u8>().unwrap()), ("outside", 7));
    lab.still_works().await;
    assert_eq!((lab.refused(), lab.witness_refused()), (vec![], vec![]));
    assert_eq!(lab.witness.stats().other_topic, 1);
    lab.said_once("names another topic");
    lab.witness.close().await;
    assert!(named_inside.next().await.is_none());
}

async fn another_topic_at_a_strict_broker(net: Net) {
    let mut lab = Lab::strict(net).await;
    lab.raw.event("outside", body("inside")).await;
    lab.still_works().await;
    assert_eq!(
        (lab.refused(), lab.witness_refused()),
        (vec![(Reject::Undecodable, 1)], vec![])
    );
    assert_eq!(lab.witness.stats().other_topic, 0);
    lab.said_once("reason=undecodable");
}

/// The event is one, but not of the handler's type: it alone misses it.
async fn payload_of_another_type(net: Net) {
    let mut lab = Lab::new(net).await;
    let mut texts = lab.witness.subscribe::<String>("x").await.unwrap();
    lab.raw.event("x", body("x")).await;
    assert_eq!(*lab.next().await.get::<u8>().unwrap(), 7);
    lab.sender.emit("x", "text").await.unwrap();
    assert_eq!(*crate::lab::soon("a text", texts.next()).await.unwrap(), "text");
    assert_eq!(lab.next().await.topic(), "x");
    lab.still_works().await;
    let handled = lab.witness.stats().handled;
    assert_eq!(
        (
            handled.dropped_by(DropReason::Undecodable),
            handled.total_dropped()
        ),
        (1, 1)
    );
    lab.said_once("a handler did not take an event");
}

async fn payload_that_is_nested(net: Net) {
    let mut lab = Lab::new(net).await;
    let mut values = lab.witness.subscribe::<serde_json::Value>("x").await.unwrap();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let data = format!("{:?}", deep.as_bytes());
    lab.raw.event("x", body("x").replace("[55]", &data)).await;
    lab.raw.event("x", body("x")).await;
    assert_eq!(*crate::lab::soon("a value", values.next()).await.unwrap(), 7);
    for _ in 0..2 {
        assert_eq!(lab.next().await.topic(), "x");
    }
    lab.still_works().await;
    let handled = lab.witness.stats().handled;
    assert_eq!(
        (
            handled.dropped_by(DropReason::Undecodable),
            handled.total_dropped()
        ),
        (1, 1)
    );
    lab.said_once("a handler did not take an event");
}
