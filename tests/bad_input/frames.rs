//! What a broker refuses before anybody reads it.

use crate::lab::{Lab, Net, body, on_each};
use distbus::{CLOSE, PULSE, Reject};
use distbus_transport::Batch;

on_each!(
    wrong_checksum,
    many_wrong_checksums,
    topic_that_is_not_utf8,
    body_that_is_not_utf8,
    hello_that_is_not_utf8,
    hello_that_means_nothing,
    forged_close,
    forged_pulse,
    forged_reserved_topic,
    event_that_is_too_large,
);

async fn wrong_checksum(net: Net) {
    let mut lab = Lab::new(net).await;
    let body = body("bad");
    lab.raw
        .frame("bad", &body, crc32fast::hash(body.as_bytes()) ^ 1)
        .await;
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::Checksum, 1)]);
    lab.said_once("reason=checksum");
}

/// Whoever floods a broker with rubbish does not flood its log.
async fn many_wrong_checksums(net: Net) {
    let mut lab = Lab::new(net).await;
    for _ in 0..1000 {
        lab.raw.frame("bad", body("bad"), 0xBAD).await;
    }
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::Checksum, 1000)]);
    assert_eq!(lab.logs.about("reason=checksum").len(), 10, "1, 2, 4, to 512");
}

async fn topic_that_is_not_utf8(net: Net) {
    let mut lab = Lab::new(net).await;
    lab.raw.event(b"bad\xff", body("bad")).await;
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::NotUtf8, 1)]);
    lab.said_once("reason=not_utf8");
}

async fn body_that_is_not_utf8(net: Net) {
    let mut lab = Lab::new(net).await;
    let mut bytes = body("bad").into_bytes();
    bytes[10] = 0xFF;
    lab.raw.event("bad", bytes).await;
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::Undecodable, 1)]);
    lab.said_once("reason=undecodable");
    assert_eq!((lab.witness_refused(), lab.sink().total_dropped()), (vec![], 0));
}

async fn hello_that_is_not_utf8(net: Net) {
    bad_hello(net, b"aiodistbus.eventbus.conn\xff\xfe").await;
}

async fn hello_that_means_nothing(net: Net) {
    bad_hello(net, b"aiodistbus.eventbus.handshake").await;
}

async fn bad_hello(net: Net, hello: &[u8]) {
    let mut lab = Lab::new(net).await;
    let handshakes = lab.broker.stats().handshakes;
    lab.raw.control(hello).await;
    // The same peer may still behave; the answer to this comes after the other was looked at.
    lab.raw.control(b"aiodistbus.eventbus.connect").await;
    assert_eq!(lab.raw.answer().await, "aiodistbus.eventbus.handshake");
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::Control, 1)]);
    assert_eq!(lab.broker.stats().handshakes, handshakes + 1);
    lab.said_once("a control message that means nothing");
    lab.net.client(lab.broker.endpoint()).await;
}

async fn forged_close(net: Net) {
    forged(net, CLOSE).await;
}

async fn forged_pulse(net: Net) {
    forged(net, PULSE).await;
}

async fn forged_reserved_topic(net: Net) {
    forged(net, "aiodistbus.eventbus.of.my.own").await;
}

async fn forged(net: Net, topic: &str) {
    let mut lab = Lab::new(net).await;
    let mut told = lab.witness.subscribe_events(topic).await.unwrap();
    lab.raw.event(topic, body(topic)).await;
    lab.still_works().await;
    assert_eq!(lab.refused(), [(Reject::Reserved, 1)]);
    lab.said_once("reason=reserved");
    // Nobody was told of a close or a pulse that the broker did not send: those carry no data.
    lab.witness.close().await;
    while let Some(event) = told.next().await {
        assert!(event.is_empty(), "{event:?} was forged");
    }
}

async fn event_that_is_too_large(net: Net) {
    let mut lab = Lab::new(net).await;
    // The peer's own transport may refuse it first: then nothing is sent, and that is an answer as well.
    let huge = vec![b' '; (16 << 20) + 1];
    let refused = match &mut lab.raw {
        crate::lab::Raw::Memory(link) => {
            let frame = distbus_transport::Frame::sealed("bad", huge);
            let error = link.outbound.push(Batch::from([frame]).all()).await.unwrap_err();
            assert!(
                matches!(error, distbus::TransportError::TooLarge { .. }),
                "{error}"
            );
            vec![]
        }
        raw => {
            raw.event("bad", huge).await;
            vec![(Reject::TooLarge, 1)]
        }
    };
    #[cfg(feature = "zmtp")]
    if matches!(lab.net, Net::Zmtp) {
        // There such a peer is cut off before its event is even read.
        lab.connect_raw_again().await;
    }
    lab.still_works().await;
    assert_eq!(lab.refused(), refused);
    assert_eq!(lab.logs.about("too_large").len(), refused.len());
}

/// What cannot even be said in memory.
mod malformed {
    use crate::lab::{Lab, Net, Raw, body, on_the_wire};
    use crate::raw::sealed;
    use distbus::Reject;

    on_the_wire!(
        one_frame,
        one_empty_frame,
        two_frames,
        four_frames,
        checksum_of_five_bytes,
        hello_of_two_frames
    );

    async fn malformed(net: Net, frames: &[&[u8]]) {
        let mut lab = Lab::new(net).await;
        let Raw::Wire { push, .. } = &mut lab.raw else {
            unreachable!("it was asked for")
        };
        push.send(frames).await;
        lab.still_works().await;
        assert_eq!(lab.refused(), [(Reject::Malformed, 1)]);
        lab.said_once("reason=malformed");
    }

    async fn one_frame(net: Net) {
        malformed(net, &[b"bad"]).await;
    }

    async fn one_empty_frame(net: Net) {
        malformed(net, &[b""]).await;
    }

    async fn two_frames(net: Net) {
        let [topic, body, _] = sealed("bad", body("bad"));
        malformed(net, &[&topic, &body]).await;
    }

    async fn four_frames(net: Net) {
        let [topic, body, sum] = sealed("bad", body("bad"));
        malformed(net, &[&topic, &body, &sum, b"more"]).await;
    }

    async fn checksum_of_five_bytes(net: Net) {
        let [topic, body, mut sum] = sealed("bad", body("bad"));
        sum.insert(0, 0);
        malformed(net, &[&topic, &body, &sum]).await;
    }

    async fn hello_of_two_frames(net: Net) {
        let mut lab = Lab::new(net).await;
        let Raw::Wire { dealer, .. } = &mut lab.raw else {
            unreachable!("it was asked for")
        };
        let hello: &[u8] = b"aiodistbus.eventbus.connect";
        dealer.send(&[hello, hello]).await;
        dealer.send(&[hello]).await;
        assert_eq!(lab.raw.answer().await, "aiodistbus.eventbus.handshake");
        lab.still_works().await;
        assert_eq!(lab.refused(), [(Reject::Control, 1)]);
        lab.said_once("reason=control");
    }
}
