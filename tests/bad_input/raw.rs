//! Peers that put any bytes on the wire of ZeroMQ, and see what is really there.
#![allow(
    dead_code,
    reason = "two test programs share this, and neither needs all of it"
)]

use bytes::Bytes;
use distbus::Endpoint;
use std::net::TcpListener;
use tokio::sync::mpsc;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket,
    ZmqMessage,
};

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

/// A broker of bare sockets, which relays whatever comes, and says what it is told to.
pub(crate) struct Publisher {
    endpoint: Endpoint,
    say: mpsc::Sender<ZmqMessage>,
}

impl Publisher {
    pub(crate) async fn start() -> Self {
        let (port, listeners) = neighbours();
        let (mut control, mut publish, mut collect) =
            (RouterSocket::new(), PubSocket::new(), PullSocket::new());
        let [first, second, third] = listeners;
        control.bind_listener(first).await.expect("it listens");
        publish.bind_listener(second).await.expect("it listens");
        collect.bind_listener(third).await.expect("it listens");
        let (say, mut told) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let relayed = tokio::select! {
                    hello = control.recv() => {
                        let mut answer = ZmqMessage::from(hello.expect("a peer").into_vec().swap_remove(0));
                        answer.push_back(Bytes::from_static(b"aiodistbus.eventbus.handshake"));
                        control.send(answer).await.expect("it is there");
                        continue;
                    }
                    event = collect.recv() => match event {
                        Ok(event) => event,
                        // A client has gone.
                        Err(_) => continue,
                    },
                    Some(message) = told.recv() => message,
                    else => return,
                };
                publish.send(relayed).await.expect("PUB never fails");
            }
        });
        Self {
            endpoint: Endpoint::tcp("127.0.0.1", port),
            say,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) async fn say<F: AsRef<[u8]>>(&self, frames: &[F]) {
        self.say.send(message(frames)).await.expect("it runs");
    }
}

/// Three neighbouring ports, the first of which is returned.
fn neighbours() -> (u16, [TcpListener; 3]) {
    for _ in 0..64 {
        let first = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = first.local_addr().expect("it is bound").port();
        let next = |offset| TcpListener::bind(("127.0.0.1", port.checked_add(offset)?)).ok();
        if let (Some(second), Some(third)) = (next(1), next(2)) {
            let listeners = [first, second, third];
            for listener in &listeners {
                listener.set_nonblocking(true).expect("it is open");
            }
            return (port, listeners);
        }
    }
    panic!("no three neighbouring ports are free");
}
