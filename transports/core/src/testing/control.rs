//! Control messages, both ways.

use super::{Subject, peer_id, soon, within};
use crate::{BrokerSignal, Limits, TransportError};
use bytes::Bytes;

/// What a client says arrives byte for byte, under the id it connected with.
pub async fn control_messages_arrive_verbatim_with_their_peer(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let messages = [
        Bytes::from_static(b"hello"),
        Bytes::from_static(&[0, 0xFF, 0xC3, b'\n', 0]),
        Bytes::from(vec![7; 10_000]),
    ];
    for name in ["one", "two", "three"] {
        let mut client = subject.client(&relay, name, &limits).await;
        for message in &messages {
            let sent = within("a control message", client.outbound.control(message.clone())).await;
            sent.unwrap_or_else(|error| panic!("control: {error}"));
        }
        for message in &messages {
            relay
                .signal(&BrokerSignal::Control {
                    peer: client.id.clone(),
                    message: message.clone(),
                })
                .await;
        }
        within("closing", client.outbound.close(soon())).await;
    }
}

/// A reply reaches its peer, byte for byte, and nobody else.
pub async fn a_reply_reaches_only_its_peer(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut clients = Vec::new();
    for name in ["one", "two", "three"] {
        let mut client = subject.client(&relay, name, &limits).await;
        // A broker may reply to whoever has spoken.
        let sent = within(
            "a control message",
            client.outbound.control(Bytes::from_static(b"hello")),
        )
        .await;
        sent.unwrap_or_else(|error| panic!("control: {error}"));
        relay
            .signal(&BrokerSignal::Control {
                peer: client.id.clone(),
                message: "hello".into(),
            })
            .await;
        clients.push(client);
    }
    for round in ["first\0", "second\u{ff}"] {
        for client in &mut clients {
            let message = format!("{round} for {}", client.id);
            relay
                .reply(&client.id, message)
                .await
                .unwrap_or_else(|error| panic!("reply: {error}"));
        }
    }
    // Two replies each, in order, and a third that ends it: whatever went astray would come in between.
    for client in &mut clients {
        relay
            .reply(&client.id, "end")
            .await
            .unwrap_or_else(|error| panic!("reply: {error}"));
        let expected = [
            format!("first\0 for {}", client.id),
            format!("second\u{ff} for {}", client.id),
            "end".to_owned(),
        ];
        for expected in expected {
            assert_eq!(
                client.control().await,
                expected,
                "{} received another's reply",
                client.id
            );
        }
    }
}

/// A reply to nobody is `UnknownPeer`, where the transport can tell, and no harm anywhere.
pub async fn a_reply_to_nobody_is_an_unknown_peer(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let answer = relay.reply(&peer_id("nobody"), "hello").await;
    subject.client(&relay, "client", &limits).await.ready().await;
    if subject.promises_presence() {
        assert!(
            matches!(answer, Err(TransportError::UnknownPeer(_))),
            "a reply to nobody: {answer:?}"
        );
    }
}
