//! Receiving is cancel-safe: dropping `recv` before it returns has taken nothing.

use super::{Peer, STEP, Subject, numbered, numbers, poll_times, within};
use crate::{BrokerInbox, BrokerSignal, ClientInbox, Frame, Limits};
use bytes::Bytes;
use tokio::time::timeout;

const FRAMES: u32 = 300;
const CONTROLS: usize = 20;

/// A broker that drops its `recv` at arbitrary points loses no frame and no control message.
pub async fn a_cancelled_broker_receive_loses_nothing(subject: Subject) {
    let limits = Limits::default();
    let mut link = subject.bind(&limits).await;
    let mut client = match subject.try_connect(&link.endpoint, "client", &limits).await {
        Ok(link) => Peer::new("client", link),
        Err(error) => panic!("connecting: {error}"),
    };
    let pushing = tokio::spawn(async move {
        for (n, batch) in batches("topic").chunks(3).enumerate() {
            client.push(batch).await;
            if n < CONTROLS {
                let sent = client.outbound.control(Bytes::from(n.to_string())).await;
                sent.unwrap_or_else(|error| panic!("control: {error}"));
            }
        }
        client
    });
    let (mut frames, mut controls) = (Vec::new(), Vec::new());
    let receiving = async {
        for attempt in 0.. {
            let mut inbox = BrokerInbox::default();
            let mut recv = link.inbound.recv(&mut inbox);
            let outcome = poll_times(&mut recv, polls(attempt)).await;
            drop(recv);
            match outcome {
                Some(Ok(())) => {}
                Some(Err(error)) => panic!("receiving: {error}"),
                None => assert!(
                    inbox.is_empty(),
                    "a recv that did not return has appended {inbox:?}"
                ),
            }
            frames.append(&mut inbox.frames.drain());
            controls.extend(
                inbox
                    .signals
                    .drain(..)
                    .filter(|signal| matches!(signal, BrokerSignal::Control { .. })),
            );
            if frames.len() >= FRAMES as usize && controls.len() >= CONTROLS {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let finished = timeout(STEP, receiving).await.is_ok();
    assert!(
        finished,
        "{} of {FRAMES} frames and {} of {CONTROLS} control messages",
        frames.len(),
        controls.len()
    );
    assert_eq!(numbers(&frames), (0..FRAMES).collect::<Vec<_>>());
    within("the publisher ending", pushing)
        .await
        .expect("the publisher did not fail");
}

/// A client that drops its `recv` at arbitrary points loses no frame and no reply.
pub async fn a_cancelled_client_receive_loses_nothing(subject: Subject) {
    let limits = Limits::default();
    let relay = subject.relay(&limits).await;
    let mut client = subject.client(&relay, "client", &limits).await;
    let hello = client.outbound.control(Bytes::from_static(b"hello")).await;
    hello.unwrap_or_else(|error| panic!("control: {error}"));
    relay
        .signal(&BrokerSignal::Control {
            peer: client.id.clone(),
            message: "hello".into(),
        })
        .await;
    client.subscribe("topic").await;
    client.ready().await;
    let id = client.id.clone();
    let publishing = tokio::spawn(async move {
        for (n, batch) in batches("topic").chunks(3).enumerate() {
            relay.publish(batch).await;
            if n < CONTROLS {
                relay
                    .reply(&id, n.to_string())
                    .await
                    .unwrap_or_else(|error| panic!("reply: {error}"));
            }
        }
        relay
    });
    let (mut frames, mut controls) = (Vec::new(), 0);
    let receiving = async {
        for attempt in 0.. {
            let mut inbox = ClientInbox::default();
            let mut recv = client.inbound.recv(&mut inbox);
            let outcome = poll_times(&mut recv, polls(attempt)).await;
            drop(recv);
            match outcome {
                Some(Ok(())) => {}
                Some(Err(error)) => panic!("receiving: {error}"),
                None => assert!(
                    inbox.is_empty(),
                    "a recv that did not return has appended {inbox:?}"
                ),
            }
            inbox.frames.retain(|frame| frame.topic() == b"topic");
            frames.append(&mut inbox.frames.drain());
            controls += inbox.signals.len();
            if frames.len() >= FRAMES as usize && controls >= CONTROLS {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let finished = timeout(STEP, receiving).await.is_ok();
    assert!(
        finished,
        "{} of {FRAMES} frames and {controls} of {CONTROLS} replies",
        frames.len()
    );
    assert_eq!(numbers(&frames), (0..FRAMES).collect::<Vec<_>>());
    within("the broker ending", publishing)
        .await
        .expect("the broker did not fail");
}

fn batches(topic: &str) -> Vec<Frame> {
    (0..FRAMES).map(|n| numbered(topic, n, 100)).collect()
}

/// How often to poll before dropping: irregular, the same in every run.
fn polls(attempt: usize) -> usize {
    attempt.wrapping_mul(2_654_435_761) % 5
}
