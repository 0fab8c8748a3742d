//! The `zeromq` crate, which speaks ZMTP 3.0: subscriptions as messages, no heartbeats.

use super::ours::Ours;
use super::support::{Broker, within};
use bytes::Bytes;
use distbus_transport::{Endpoint, Frame, Limits, Transport};
use distbus_zmtp::Zmtp;
use std::time::Duration;
use tokio::time::timeout;
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RouterSocket, Socket, SocketOptions, SocketRecv,
    SocketSend, SubSocket, ZmqMessage,
};

fn address(endpoint: &Endpoint, offset: u16) -> String {
    format!("tcp://127.0.0.1:{}", endpoint.port().unwrap() + offset)
}

/// What a socket received, part by part.
async fn next(what: &str, receiving: impl Future<Output = zeromq::ZmqResult<ZmqMessage>>) -> Vec<Bytes> {
    within(what, receiving).await.unwrap().into_vec()
}

fn event(topic: &'static str, body: Vec<u8>) -> ZmqMessage {
    ZmqMessage::try_from(parts(topic, body)).unwrap()
}

fn parts(topic: &'static str, body: Vec<u8>) -> Vec<Bytes> {
    let frame = Frame::sealed(topic, body);
    let checksum = Bytes::copy_from_slice(&frame.checksum().to_be_bytes());
    vec![frame.topic().clone(), frame.body().clone(), checksum]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zeromq_crate_as_client() {
    let broker = Broker::start(&Limits::default()).await;
    let mut options = SocketOptions::default();
    options.peer_identity("zmq.rs".parse::<PeerIdentity>().unwrap());
    let mut dealer = DealerSocket::with_options(options);
    let (mut sub, mut push) = (SubSocket::new(), PushSocket::new());
    dealer.connect(&address(&broker.endpoint, 0)).await.unwrap();
    sub.connect(&address(&broker.endpoint, 1)).await.unwrap();
    push.connect(&address(&broker.endpoint, 2)).await.unwrap();

    for n in 0..100 {
        let message = format!("echo {n}");
        dealer.send(message.clone().into()).await.unwrap();
        assert_eq!(next("a reply", dealer.recv()).await, [Bytes::from(message)]);
    }
    for n in 0..2000 {
        sub.subscribe(&format!("topic.{n}.")).await.unwrap();
    }
    sub.subscribe("rs.").await.unwrap();
    within("a probe", async {
        loop {
            push.send(event("rs.probe", vec![])).await.unwrap();
            if timeout(Duration::from_millis(50), sub.recv()).await.is_ok() {
                break;
            }
        }
    })
    .await;
    push.send(event("rs.last", vec![])).await.unwrap();
    while next("the last probe", sub.recv()).await != parts("rs.last", vec![]) {}
    for size in (0..2000).chain([65_536, 4 << 20]) {
        let sent = parts("rs.sizes", vec![size as u8; size]);
        push.send(sent.clone().try_into().unwrap()).await.unwrap();
        assert_eq!(next("an event", sub.recv()).await, sent);
    }
    sub.unsubscribe("topic.7.").await.unwrap();
    push.send(event("topic.8.x", vec![8])).await.unwrap();
    assert_eq!(next("an event", sub.recv()).await, parts("topic.8.x", vec![8]));
    assert_eq!(broker.counters.snapshot().rejected, []);
    assert_eq!(broker.counters.snapshot().total_dropped(), 0);

    // Peers that come and go.
    for _ in 0..20 {
        let mut sub = SubSocket::new();
        sub.connect(&address(&broker.endpoint, 1)).await.unwrap();
        sub.subscribe("rs.").await.unwrap();
    }
    push.send(event("rs.after", vec![1])).await.unwrap();
    assert_eq!(next("an event", sub.recv()).await, parts("rs.after", vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zeromq_crate_as_broker() {
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let link = Zmtp::new().bind(&any, &Limits::default()).await.unwrap();
    let endpoint = link.endpoint.clone();
    drop(link);
    let (mut router, mut publish, mut pull) = (RouterSocket::new(), PubSocket::new(), PullSocket::new());
    router.bind(&address(&endpoint, 0)).await.unwrap();
    publish.bind(&address(&endpoint, 1)).await.unwrap();
    pull.bind(&address(&endpoint, 2)).await.unwrap();
    let relay = tokio::spawn(async move {
        loop {
            tokio::select! {
                message = router.recv() => router.send(message.unwrap()).await.unwrap(),
                message = pull.recv() => publish.send(message.unwrap()).await.unwrap(),
            }
        }
    });
    let mut ours = Ours::connect(&Zmtp::new(), &endpoint, "ours").await;
    ours.echo().await;
    ours.subscribe("our.".into()).await;
    ours.until_live("our.live").await;
    ours.everything_comes_back(5_000).await;
    ours.thousands_of_subscriptions().await;
    assert!(!relay.is_finished(), "the relay lives");
    relay.abort();
}
