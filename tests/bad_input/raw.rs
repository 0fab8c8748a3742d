//! Peers that put any bytes on the wire of ZeroMQ, and see what is really there.
#![allow(
    dead_code,
    reason = "two test programs share this, and neither needs all of it"
)]

use bytes::Bytes;
use distbus::Endpoint;
use zeromq::{DealerSocket, PushSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

/// The ports beside the control port.
const PUBLISH: u16 = 1;
const COLLECT: u16 = 2;

fn address(broker: &Endpoint, offset: u16) -> String {
    match broker {
        Endpoint::Tcp { host, port } => Endpoint::tcp(host.clone(), port + offset).to_string(),
        other => panic!("{other} is not on this wire"),
    }
}

/// A message of these frames.
pub(crate) fn message<F: AsRef<[u8]>>(frames: &[F]) -> ZmqMessage {
    let frames: Vec<Bytes> = frames
        .iter()
        .map(|frame| Bytes::copy_from_slice(frame.as_ref()))
        .collect();
    ZmqMessage::try_from(frames).expect("at least one frame")
}

/// Topic, body and a checksum that is right.
pub(crate) fn sealed(topic: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> [Vec<u8>; 3] {
    let sum = crc32fast::hash(body.as_ref()).to_be_bytes();
    [topic.as_ref().to_vec(), body.as_ref().to_vec(), sum.to_vec()]
}

/// What clients send events through.
pub(crate) struct Push(PushSocket);

impl Push {
    pub(crate) async fn connect(broker: &Endpoint) -> Self {
        let mut socket = PushSocket::new();
        socket
            .connect(&address(broker, COLLECT))
            .await
            .expect("a broker listens");
        Self(socket)
    }

    pub(crate) async fn send<F: AsRef<[u8]>>(&mut self, frames: &[F]) {
        self.0.send(message(frames)).await.expect("the broker is there");
    }
}

/// What clients receive events through.
pub(crate) struct Sub(SubSocket);

impl Sub {
    /// Subscribed, but perhaps not yet heard of at the broker.
    pub(crate) async fn connect(broker: &Endpoint, prefix: &str) -> Self {
        let mut socket = SubSocket::new();
        socket
            .connect(&address(broker, PUBLISH))
            .await
            .expect("a broker listens");
        socket.subscribe(prefix).await.expect("it is connected");
        Self(socket)
    }

    pub(crate) async fn next(&mut self) -> Vec<Bytes> {
        self.0.recv().await.expect("the broker is there").into_vec()
    }
}

/// What clients shake hands through.
pub(crate) struct Dealer(DealerSocket);

impl Dealer {
    pub(crate) async fn connect(broker: &Endpoint) -> Self {
        let mut socket = DealerSocket::new();
        socket
            .connect(&address(broker, 0))
            .await
            .expect("a broker listens");
        Self(socket)
    }

    pub(crate) async fn send<F: AsRef<[u8]>>(&mut self, frames: &[F]) {
        self.0.send(message(frames)).await.expect("the broker is there");
    }

    pub(crate) async fn next(&mut self) -> Vec<Bytes> {
        self.0.recv().await.expect("the broker is there").into_vec()
    }
}
