//! A broker that relays, two honest clients that notice when it stops, and raw sockets for the others.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::{Bytes, BytesMut};
use distbus_transport::{
    Batch, BrokerInbox, BrokerSignal, ClientInbox, ClientLink, Counters, Endpoint, Frame, Limits, PeerId,
    Reject, Transport,
};
use distbus_zmtp::Zmtp;
use distbus_zmtp::proto::{COMMAND, Greeting, Head, Metadata, put_frame};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for `future`, and says what it waited for when that does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}

/// Looks again and again until `what` is true.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !is_so() {
            tick.tick().await;
        }
    })
    .await;
}

/// The memory of this process that is in use, in bytes; 0 where that cannot be told.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

pub(crate) fn id(name: impl Into<Bytes>) -> PeerId {
    PeerId::new(name).unwrap()
}

/// A broker that relays every intact frame and answers every control message with itself.
pub(crate) struct Broker {
    pub(crate) endpoint: Endpoint,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Limits,
    pub(crate) signals: mpsc::Receiver<BrokerSignal>,
    task: tokio::task::JoinHandle<()>,
}

impl Broker {
    pub(crate) async fn start(limits: &Limits) -> Self {
        Self::start_with(Zmtp::new(), "tcp://127.0.0.1:0", limits).await
    }

    pub(crate) async fn start_with(zmtp: Zmtp, endpoint: &str, limits: &Limits) -> Self {
        let mut link = zmtp.bind(&endpoint.parse().unwrap(), limits).await.unwrap();
        let (tell, signals) = mpsc::channel(4096);
        let (endpoint, counters) = (link.endpoint.clone(), link.counters.clone());
        let task = tokio::spawn(async move {
            let mut inbox = BrokerInbox::default();
            while link.inbound.recv(&mut inbox).await.is_ok() {
                inbox.frames.retain(|frame| frame.is_intact());
                link.outbound.publish(inbox.frames.all()).await.unwrap();
                for signal in inbox.signals.drain(..) {
                    if let BrokerSignal::Control { peer, message } = &signal {
                        let _ = link.outbound.reply(peer, message.clone()).await;
                    }
                    // Nobody has to listen.
                    let _ = tell.try_send(signal);
                }
                inbox.clear();
            }
        });
        Self {
            endpoint,
            counters,
            limits: limits.clone(),
            signals,
            task,
        }
    }

    pub(crate) fn port(&self, offset: u16) -> u16 {
        self.endpoint.port().unwrap() + offset
    }

    pub(crate) fn rejected(&self, reject: Reject) -> u64 {
        self.counters.rejected.get(reject)
    }

    pub(crate) async fn until_rejected(&self, reject: Reject, times: u64) {
        eventually(&format!("{times} times {reject}"), || {
            self.rejected(reject) >= times
        })
        .await;
    }

    /// Ends it; its place is free when this returns.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let ended = within("the broker ending", &mut self.task).await;
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "the broker had ended before"
        );
    }

    pub(crate) async fn signal(&mut self, what: &str, mut is_it: impl FnMut(&BrokerSignal) -> bool) {
        within(what, async {
            while let Some(signal) = self.signals.recv().await {
                if is_it(&signal) {
                    return;
                }
            }
            panic!("the broker ended");
        })
        .await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Two clients that do what clients do.
pub(crate) struct Others {
    publisher: ClientLink,
    subscriber: ClientLink,
    sent: u32,
}

impl Others {
    pub(crate) async fn join(broker: &Broker) -> Self {
        let join = async |name: &'static str| {
            let (zmtp, me) = (Zmtp::new(), id(name));
            let connecting = zmtp.connect(&broker.endpoint, &me, &broker.limits);
            within("connecting", connecting).await.unwrap()
        };
        let mut others = Self {
            publisher: join("honest publisher").await,
            subscriber: join("honest subscriber").await,
            sent: 0,
        };
        others
            .subscriber
            .outbound
            .subscribe("honest".into())
            .await
            .unwrap();
        // Until one comes through, the subscription may not be there.
        let mut inbox = ClientInbox::default();
        within("a first event", async {
            while inbox.frames.is_empty() {
                let probe = Frame::sealed("honest", u32::MAX.to_be_bytes().to_vec());
                others
                    .publisher
                    .outbound
                    .push(Batch::from([probe]).all())
                    .await
                    .unwrap();
                let waiting = others.subscriber.inbound.recv(&mut inbox);
                let _ = timeout(Duration::from_millis(20), waiting).await;
            }
        })
        .await;
        others
    }

    /// Some events go all the way, in order, none missing.
    pub(crate) async fn are_served(&mut self) {
        let frames: Batch = (self.sent..self.sent + 100)
            .map(|n| Frame::sealed("honest", n.to_be_bytes().to_vec()))
            .collect();
        within("pushing", self.publisher.outbound.push(frames.all()))
            .await
            .unwrap();
        let mut inbox = ClientInbox::default();
        let mut next = self.sent;
        self.sent += 100;
        while next < self.sent {
            within("the others' events", self.subscriber.inbound.recv(&mut inbox))
                .await
                .unwrap();
            for frame in inbox.frames.drain().into_iter() {
                let n = u32::from_be_bytes(frame.body()[..].try_into().unwrap());
                if n != u32::MAX {
                    assert_eq!(n, next, "an event of the others was lost");
                    next += 1;
                }
            }
        }
    }
}

/// A socket that does as it is told.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port));
        Self {
            stream: within("connecting", stream).await.unwrap(),
            buffer: BytesMut::new(),
        }
    }

    /// Connects and shakes hands as a socket of that type.
    pub(crate) async fn greet(port: u16, socket: &str, identity: &[u8]) -> Self {
        let mut raw = Self::connect(port).await;
        raw.send(&greeting("NULL")).await;
        raw.send(&ready(socket, identity)).await;
        raw.skip_greeting().await;
        let (flags, answer) = raw.frame().await.expect("an answer to READY");
        assert!(
            flags & COMMAND != 0 && answer.starts_with(b"\x05READY"),
            "{answer:?}"
        );
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("sending", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends for as long as the peer takes it.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("sending", self.stream.write_all(bytes)).await.is_ok()
    }

    pub(crate) async fn skip_greeting(&mut self) {
        within("a greeting", async {
            while self.buffer.len() < 64 {
                assert_ne!(
                    self.stream.read_buf(&mut self.buffer).await.unwrap(),
                    0,
                    "no greeting"
                );
            }
        })
        .await;
        let _ = self.buffer.split_to(64);
    }

    /// The next frame, or `None` at the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Bytes)> {
        within("a frame, or the end", async {
            loop {
                if let Some(head) = Head::parse(&self.buffer).unwrap() {
                    let end = head.header + head.len as usize;
                    if self.buffer.len() >= end {
                        let whole = self.buffer.split_to(end).freeze();
                        return Some((head.flags, whole.slice(head.header..)));
                    }
                }
                if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(n) if n > 0) {
                    return None;
                }
            }
        })
        .await
    }

    /// Whatever still comes, the end comes too.
    pub(crate) async fn until_closed(&mut self) {
        within("being disconnected", async {
            while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(n) if n > 0) {
                self.buffer.clear();
            }
        })
        .await;
    }
}

pub(crate) fn greeting(mechanism: &str) -> [u8; 64] {
    Greeting::new(mechanism, false).to_bytes()
}

pub(crate) fn ready(socket: &str, identity: &[u8]) -> Vec<u8> {
    let metadata = Metadata {
        socket_type: socket.to_owned().into(),
        identity: identity.to_vec().into(),
    };
    let mut body = b"\x05READY".to_vec();
    metadata.put(&mut body);
    let mut wire = Vec::new();
    put_frame(&mut wire, COMMAND, &body);
    wire
}

/// A frame header with a length of eight bytes.
pub(crate) fn long_header(flags: u8, len: u64) -> Vec<u8> {
    let mut wire = vec![flags | 2];
    wire.extend(len.to_be_bytes());
    wire
}
