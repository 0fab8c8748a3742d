//! What strangers send, while others are served: each is counted, costs no more than the limits allow, and delays nobody.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use bytes::BytesMut;
use distbus_transport::{BrokerSignal, Limits, Reject};
use distbus_zmtp::proto::{COMMAND, MORE, put_event, put_frame, put_ping, put_subscribe};
use std::time::Duration;
use support::{Broker, Others, Raw, eventually, greeting, id, long_header, ready, resident, within};

/// What no test here may add to the memory in use, though each announces, or sends, far more. Tests run side by side.
const ALLOWANCE: usize = 96 << 20;

fn limits() -> Limits {
    Limits::default()
        .with_event_bytes(1 << 20)
        .with_queue_bytes(1 << 20)
        .with_handshake_time(Duration::from_secs(20))
}

struct Scene {
    broker: Broker,
    others: Others,
    before: usize,
}

impl Scene {
    async fn set(limits: &Limits) -> Self {
        let broker = Broker::start(limits).await;
        let mut others = Others::join(&broker).await;
        others.are_served().await;
        Self {
            broker,
            others,
            before: resident(),
        }
    }

    /// It was counted so many times, the others did not notice, and memory is as before.
    async fn survived(mut self, reject: Reject, times: u64) {
        self.broker.until_rejected(reject, times).await;
        assert_eq!(self.broker.rejected(reject), times);
        self.others.are_served().await;
        let grown = resident().saturating_sub(self.before);
        assert!(grown < ALLOWANCE, "memory grew by {grown} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_no_memory_holds() {
    let mut scene = Scene::set(&limits()).await;
    let (mut too_large, mut malformed) = (0, 0);
    for (offset, socket) in [(0, "DEALER"), (1, "SUB"), (2, "PUSH")] {
        for size in [64 << 30, 1 << 62, 1u64 << 63] {
            for flags in [0, MORE, COMMAND] {
                let mut raw = Raw::greet(scene.broker.port(offset), socket, b"").await;
                raw.send(&long_header(flags, size)).await;
                raw.send(&[b'x'; 100]).await;
                raw.until_closed().await;
                if size < 1 << 63 {
                    too_large += 1;
                } else {
                    malformed += 1;
                }
                scene.others.are_served().await;
            }
        }
    }
    scene.broker.until_rejected(Reject::Malformed, malformed).await;
    scene.survived(Reject::TooLarge, too_large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_behind_a_fair_topic() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::greet(scene.broker.port(2), "PUSH", b"").await;
    let mut wire = Vec::new();
    put_frame(&mut wire, MORE, b"topic");
    wire.extend(long_header(MORE, (1 << 20) + 1));
    raw.send(&wire).await;
    raw.until_closed().await;
    scene.survived(Reject::TooLarge, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_end() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::greet(scene.broker.port(2), "PUSH", b"").await;
    let frame = [MORE, 0].repeat(4096);
    let mut sent = 0;
    while sent < 1 << 30 && raw.try_send(&frame).await {
        sent += frame.len();
    }
    assert!(sent < 1 << 30, "the broker took it all");
    scene.survived(Reject::TooLarge, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_of_four_gigabytes() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::connect(scene.broker.port(2)).await;
    raw.send(&greeting("NULL")).await;
    raw.send(&long_header(COMMAND, 4 << 30)).await;
    raw.until_closed().await;
    scene.survived(Reject::TooLarge, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_longer_than_its_ready() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::connect(scene.broker.port(2)).await;
    raw.send(&greeting("NULL")).await;
    let mut wire = Vec::new();
    put_frame(
        &mut wire,
        COMMAND,
        b"\x05READY\x0bSocket-Type\xff\xff\xff\xffPUSH",
    );
    raw.send(&wire).await;
    raw.until_closed().await;
    scene.survived(Reject::Handshake, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_that_never_ends() {
    let scene = Scene::set(&limits().with_handshake_time(Duration::from_millis(500))).await;
    let mut raw = Raw::connect(scene.broker.port(2)).await;
    raw.send(&greeting("NULL")).await;
    let ready = ready("PUSH", b"");
    raw.send(&ready[..ready.len() - 1]).await;
    raw.until_closed().await;
    scene.survived(Reject::HandshakeTimeout, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_byte_by_byte() {
    let scene = Scene::set(&limits().with_handshake_time(Duration::from_millis(500))).await;
    let mut raw = Raw::connect(scene.broker.port(0)).await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut sent = 0;
    for byte in greeting("NULL") {
        tick.tick().await;
        sent += 1;
        if !raw.try_send(&[byte]).await {
            break;
        }
        if scene.broker.rejected(Reject::HandshakeTimeout) > 0 {
            break;
        }
    }
    assert!(sent < 64, "the deadline is for the whole handshake");
    scene.survived(Reject::HandshakeTimeout, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_silent_connections() {
    const PENDING: usize = 64;
    let limits = limits()
        .with_pending_handshakes(PENDING)
        .with_handshake_time(Duration::from_secs(2));
    let mut scene = Scene::set(&limits).await;
    let mut silent = Vec::new();
    for n in 0..500 {
        silent.push(Raw::connect(scene.broker.port(n % 3)).await);
    }
    scene.others.are_served().await;
    scene
        .broker
        .until_rejected(Reject::Clients, 500 - PENDING as u64)
        .await;
    // Those that were let in are gone when their time is over, and then there is room again.
    scene
        .broker
        .until_rejected(Reject::HandshakeTimeout, PENDING as u64)
        .await;
    let _ = Raw::greet(scene.broker.port(1), "SUB", b"").await;
    scene.survived(Reject::Clients, 500 - PENDING as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_refused_at_once() {
    let scene = Scene::set(&limits()).await;
    let old: [&[u8]; 4] = [
        // ZMTP 1.0: no identity.
        &[1, 0],
        // ZMTP 1.0 with a long length.
        &[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        // ZMTP 2.0, of a SUB.
        &[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1, 2, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in old {
        let mut raw = Raw::connect(scene.broker.port(1)).await;
        raw.send(bytes).await;
        raw.until_closed().await;
    }
    scene.survived(Reject::Handshake, old.len() as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mechanism_that_is_not_here() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::connect(scene.broker.port(0)).await;
    raw.send(&greeting("CURVE")).await;
    raw.skip_greeting().await;
    let (flags, error) = raw.frame().await.expect("an error");
    assert_eq!((flags, &error[..6]), (COMMAND, &b"\x05ERROR"[..]));
    assert_eq!(raw.frame().await, None);
    scene.survived(Reject::Handshake, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_type_that_does_not_fit() {
    let scene = Scene::set(&limits()).await;
    for (offset, socket) in [(0, "PUSH"), (1, "DEALER"), (2, "SUB"), (0, "REQ"), (2, "")] {
        let mut raw = Raw::connect(scene.broker.port(offset)).await;
        raw.send(&greeting("NULL")).await;
        raw.send(&ready(socket, b"")).await;
        raw.skip_greeting().await;
        let (flags, error) = raw.frame().await.expect("an error");
        assert_eq!((flags, &error[..6]), (COMMAND, &b"\x05ERROR"[..]));
        assert_eq!(raw.frame().await, None);
    }
    scene.survived(Reject::Handshake, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_ids_of_every_length() {
    let scene = Scene::set(&limits()).await;
    let port = scene.broker.port(0);
    let mut message = Vec::new();
    put_frame(&mut message, 0, b"who am I");
    let longest = [b'n'; 255];
    for identity in [&b""[..], &longest] {
        let mut raw = Raw::greet(port, "DEALER", identity).await;
        raw.send(&message).await;
        assert_eq!(&raw.frame().await.expect("a reply").1[..], b"who am I");
    }
    let mut raw = Raw::connect(port).await;
    raw.send(&greeting("NULL")).await;
    raw.send(&ready("DEALER", &[b'n'; 256])).await;
    raw.until_closed().await;
    scene.survived(Reject::Handshake, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_id_that_is_in_use() {
    let mut scene = Scene::set(&limits()).await;
    let port = scene.broker.port(0);
    let mut first = Raw::greet(port, "DEALER", b"twin").await;
    let mut second = Raw::connect(port).await;
    second.send(&greeting("NULL")).await;
    second.send(&ready("DEALER", b"twin")).await;
    second.skip_greeting().await;
    let (_, error) = second.frame().await.expect("an error");
    assert!(error.starts_with(b"\x05ERROR"), "{error:?}");
    assert_eq!(second.frame().await, None);
    // The first still has its id, and its replies.
    let mut message = Vec::new();
    put_frame(&mut message, 0, b"still here");
    first.send(&message).await;
    assert_eq!(&first.frame().await.expect("a reply").1[..], b"still here");
    // When it goes, the id is free.
    drop(first);
    let gone = BrokerSignal::Disconnected(id("twin"));
    scene
        .broker
        .signal("the first going", |signal| *signal == gone)
        .await;
    let _ = Raw::greet(port, "DEALER", b"twin").await;
    scene.survived(Reject::DuplicatePeer, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_events() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::greet(scene.broker.port(2), "PUSH", b"").await;
    let mut wire = Vec::new();
    // Empty, one part, two, four, and three with a checksum of the wrong length.
    let bad: [&[&[u8]]; 6] = [
        &[b""],
        &[b"topic"],
        &[b"topic", b"body"],
        &[b"honest", b"body", b"1234", b"more"],
        &[b"honest", b"body", b"123"],
        &[b"", b"", b""],
    ];
    for parts in bad {
        for (i, part) in parts.iter().enumerate() {
            put_frame(&mut wire, if i + 1 < parts.len() { MORE } else { 0 }, part);
        }
    }
    raw.send(&wire).await;
    scene.broker.until_rejected(Reject::Malformed, 6).await;
    // It is still connected, and a good event of its gets through to be received.
    let before = scene.broker.counters.snapshot().received;
    let mut good = BytesMut::new();
    put_event(&mut good, b"topic", b"body", 0);
    raw.send(&good).await;
    eventually("a good event", || {
        scene.broker.counters.snapshot().received > before
    })
    .await;

    for (offset, socket) in [(1, "SUB"), (0, "DEALER")] {
        let mut raw = Raw::greet(scene.broker.port(offset), socket, b"").await;
        raw.send(&[0, 0]).await;
        raw.send(&[MORE, 1, b'x', 0, 0]).await;
        // A PING behind it is answered: the connection lives.
        let mut ping = Vec::new();
        put_ping(&mut ping, 0, b"there?");
        raw.send(&ping).await;
        loop {
            let (flags, body) = raw.frame().await.expect("an answer");
            if flags & COMMAND != 0 {
                assert_eq!(&body[..], b"\x04PONGthere?");
                break;
            }
        }
    }
    scene.broker.until_rejected(Reject::Control, 1).await;
    scene.survived(Reject::Malformed, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_subscriptions() {
    let scene = Scene::set(&limits().with_subscriptions(10_000)).await;
    let mut raw = Raw::greet(scene.broker.port(1), "SUB", b"").await;
    // The same one a hundred thousand times is one.
    let mut wire = Vec::new();
    (0..100_000).for_each(|_| put_subscribe(&mut wire, true, b"same"));
    raw.send(&wire).await;
    let mut sent = 0u32;
    while sent < 1_000_000 {
        wire.clear();
        (sent..sent + 1000).for_each(|n| put_subscribe(&mut wire, true, format!("topic.{n}").as_bytes()));
        if !raw.try_send(&wire).await {
            break;
        }
        sent += 1000;
    }
    assert!(sent < 1_000_000, "the broker took them all");
    scene.survived(Reject::Subscriptions, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_many_bytes() {
    let scene = Scene::set(&limits().with_subscription_bytes(100_000)).await;
    let mut raw = Raw::greet(scene.broker.port(1), "SUB", b"").await;
    let mut wire = Vec::new();
    (0..200).for_each(|n| put_subscribe(&mut wire, true, &[n; 1000]));
    // The broker may have hung up before the last of it.
    let _ = raw.try_send(&wire).await;
    raw.until_closed().await;
    scene.survived(Reject::Subscriptions, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_of_a_frame() {
    let mut scene = Scene::set(&limits()).await;
    for offset in [0, 1, 2] {
        let socket = ["DEALER", "SUB", "PUSH"][usize::from(offset)];
        let mut raw = Raw::greet(scene.broker.port(offset), socket, b"").await;
        raw.send(&[MORE, 200, b'x']).await;
        // A heartbeat's answer would stand inside the frame, so there is nothing to wait for: the reset follows the bytes.
        let stream = raw.stream.into_std().unwrap();
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(stream);
        scene.others.are_served().await;
    }
    // A reset may overtake bytes that were not read yet: then the connection just broke, and there is no half a frame.
    eventually("the connections being gone", || {
        scene.broker.counters.snapshot().clients == 2
    })
    .await;
    for offset in [0, 1, 2] {
        let socket = ["DEALER", "SUB", "PUSH"][usize::from(offset)];
        let before = scene.broker.rejected(Reject::Truncated);
        let mut raw = Raw::greet(scene.broker.port(offset), socket, b"").await;
        raw.send(&[MORE, 200, b'x']).await;
        drop(raw);
        scene.broker.until_rejected(Reject::Truncated, before + 1).await;
    }
    let total = scene.broker.rejected(Reject::Truncated);
    scene.survived(Reject::Truncated, total).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_that_nobody_reads_the_answers_of() {
    let scene = Scene::set(&limits()).await;
    let mut raw = Raw::greet(scene.broker.port(1), "SUB", b"").await;
    let mut pings = Vec::new();
    (0..1000).for_each(|_| put_ping(&mut pings, 0, b"sixteen bytes ok"));
    for _ in 0..1000 {
        raw.send(&pings).await;
    }
    let mut scene = scene;
    scene.others.are_served().await;
    let queued = scene.broker.counters.snapshot().queued_bytes;
    assert!(queued < 64 << 10, "{queued} bytes of answers wait");
    drop(raw);
    within("others", scene.others.are_served()).await;
    assert!(resident().saturating_sub(scene.before) < ALLOWANCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_against_the_grammar() {
    let scene = Scene::set(&limits()).await;
    for (body, flags) in [(&b""[..], COMMAND), (b"\x09PING", COMMAND), (b"x", 8)] {
        let mut raw = Raw::greet(scene.broker.port(1), "SUB", b"").await;
        let mut wire = vec![flags, body.len() as u8];
        wire.extend_from_slice(body);
        raw.send(&wire).await;
        raw.until_closed().await;
    }
    // One that is only unknown is passed over.
    let mut raw = Raw::greet(scene.broker.port(1), "SUB", b"").await;
    let mut wire = Vec::new();
    put_frame(&mut wire, COMMAND, b"\x07FUTURE!");
    put_ping(&mut wire, 0, b"");
    raw.send(&wire).await;
    assert_eq!(&raw.frame().await.expect("an answer").1[..], b"\x04PONG");
    scene.survived(Reject::Malformed, 3).await;
}
