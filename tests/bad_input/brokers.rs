//! A broker that relays anything: clients trust it no more than it trusts them.

use crate::lab::{Net, body, on_each, soon};
use crate::logs::Logs;
use bytes::Bytes;
use distbus::{CLOSE, Client, ClosedBy, Endpoint, Reject};
use distbus_transport::{BrokerInbox, BrokerSignal, Frame, Limits};
use tokio::sync::mpsc;

on_each!(
    wrong_checksum,
    topic_that_is_not_utf8,
    body_that_is_not_utf8,
    control_that_means_nothing,
    corrupt_close,
    close_with_data,
    corrupt_probe,
);

/// A broker that verifies nothing, and says what it is told to.
struct Parrot {
    endpoint: Endpoint,
    say: mpsc::Sender<Frame>,
}

/// Sent to each client on the control channel before its handshake.
const CHATTER: &[u8] = b"\xff chatter";

impl Parrot {
    async fn start(net: &Net) -> Self {
        let endpoint = net.anywhere().parse().expect("an endpoint");
        let link = net.transport().bind(&endpoint, &Limits::default()).await;
        let mut link = link.expect("it can be bound");
        let endpoint = link.endpoint.clone();
        let (say, mut told) = mpsc::channel::<Frame>(16);
        tokio::spawn(async move {
            let mut inbox = BrokerInbox::default();
            loop {
                tokio::select! {
                    received = link.inbound.recv(&mut inbox) => received.expect("the link is open"),
                    Some(frame) = told.recv() => inbox.frames.push(frame),
                    else => return,
                }
                for signal in inbox.signals.drain(..) {
                    if let BrokerSignal::Control { peer, .. } = signal {
                        for answer in [CHATTER, b"aiodistbus.eventbus.handshake"] {
                            let answer = Bytes::from_static(answer);
                            link.outbound.reply(&peer, answer).await.expect("it is there");
                        }
                    }
                }
                link.outbound
                    .publish(inbox.frames.all())
                    .await
                    .expect("the link is open");
                inbox.clear();
            }
        });
        Self { endpoint, say }
    }

    async fn say(&self, frame: Frame) {
        self.say.send(frame).await.expect("it runs");
    }
}

/// Sends one bad frame to everybody, and a good one after it.
async fn client_refuses(net: Net, bad: Frame, expected: &[(Reject, u64)], said: &str) {
    let logs = Logs::capture().await;
    let parrot = Parrot::start(&net).await;
    let client = net.client(&parrot.endpoint).await;
    let mut all = client.subscribe_events("*").await.unwrap();
    let mut bad_ones = client.subscribe_events("bad").await.unwrap();
    parrot.say(bad).await;
    good_comes(&parrot, &client, &mut all).await;
    let stats = client.stats();
    let refused = without_chatter(&client);
    assert_eq!(refused, expected, "{stats:?}");
    assert_eq!(stats.handled.total_dropped(), 0, "{stats:?}");
    let lines = logs.about(said);
    assert_eq!(lines.len(), usize::from(!expected.is_empty()), "{lines:?}");
    client.close().await;
    assert!(bad_ones.next().await.is_none());
}

async fn good_comes(parrot: &Parrot, client: &Client, all: &mut distbus::EventStream) {
    parrot.say(Frame::sealed("good", body("good"))).await;
    let event = soon("the good event", all.next()).await.expect("it is open");
    assert_eq!((event.topic(), *event.get::<u8>().unwrap()), ("good", 7));
    assert!(!client.is_closed());
}

/// What the client has refused, besides what this broker sends to everybody.
fn without_chatter(client: &Client) -> Vec<(Reject, u64)> {
    let stats = client.stats();
    let mut all = [stats.rejected, stats.transport.rejected].concat();
    all.retain(|(reason, _)| *reason != Reject::Control);
    all
}

async fn wrong_checksum(net: Net) {
    let bad = Frame::new("bad", body("bad"), 0xBAD);
    client_refuses(net, bad, &[(Reject::Checksum, 1)], "reason=checksum").await;
}

async fn topic_that_is_not_utf8(net: Net) {
    let bad = Frame::sealed(&b"bad\xff"[..], body("bad"));
    client_refuses(net, bad, &[(Reject::NotUtf8, 1)], "reason=not_utf8").await;
}

async fn body_that_is_not_utf8(net: Net) {
    let bad = Frame::sealed("bad", &b"{\"type\": \"bad\xff\"}"[..]);
    client_refuses(net, bad, &[(Reject::Undecodable, 1)], "reason=undecodable").await;
}

async fn control_that_means_nothing(net: Net) {
    let logs = Logs::capture().await;
    let parrot = Parrot::start(&net).await;
    let client = net.client(&parrot.endpoint).await;
    let mut all = client.subscribe_events("*").await.unwrap();
    good_comes(&parrot, &client, &mut all).await;
    let stats = client.stats();
    assert_eq!(
        [stats.rejected, stats.transport.rejected].concat(),
        [(Reject::Control, 1)]
    );
    assert_eq!(logs.about("reason=control").len(), 1);
}

/// Only an intact one closes.
async fn corrupt_close(net: Net) {
    let bad = Frame::new(CLOSE, body(CLOSE), 0xBAD);
    client_refuses(net, bad, &[(Reject::Checksum, 1)], "reason=checksum").await;
}

async fn corrupt_probe(net: Net) {
    let bad = Frame::new("distbus.probe.x.0.", body("x"), 0xBAD);
    client_refuses(net, bad, &[(Reject::Checksum, 1)], "reason=checksum").await;
}

/// An intact one does, whatever it carries: the broker decides.
async fn close_with_data(net: Net) {
    // Its chatter is not for the tests that read the log.
    let _logs = Logs::capture().await;
    let parrot = Parrot::start(&net).await;
    let client = net.client(&parrot.endpoint).await;
    parrot.say(Frame::sealed(CLOSE, "no event")).await;
    assert_eq!(soon("the end", client.closed()).await, ClosedBy::Broker);
}

/// A PUB socket that sends other numbers of frames.
mod malformed {
    use super::*;
    use crate::lab::on_the_wire;
    use crate::raw::{Publisher, sealed};

    on_the_wire!(one_frame, two_frames, four_frames);

    async fn malformed(net: Net, frames: &[&[u8]]) {
        let logs = Logs::capture().await;
        let broker = Publisher::start().await;
        let client = net.client(broker.endpoint()).await;
        let mut all = client.subscribe_events("*").await.unwrap();
        broker.say(frames).await;
        broker.say(&sealed("good", body("good"))).await;
        let event = soon("the good event", all.next()).await.unwrap();
        assert_eq!(event.topic(), "good");
        let stats = client.stats();
        let refused = [stats.rejected, stats.transport.rejected].concat();
        assert_eq!(refused, [(Reject::Malformed, 1)]);
        assert_eq!(logs.about("reason=malformed").len(), 1);
    }

    async fn one_frame(net: Net) {
        malformed(net, &[b"bad"]).await;
    }

    async fn two_frames(net: Net) {
        malformed(net, &[b"bad", b"{}"]).await;
    }

    async fn four_frames(net: Net) {
        let [topic, body, sum] = sealed("bad", body("bad"));
        malformed(net, &[&topic, &body, &sum, b"more"]).await;
    }
}
