//! A broker, a sink in its process, two well-behaved clients, and a peer that sends what it likes.

use crate::logs::Logs;
use crate::raw::{Dealer, Push};
use async_trait::async_trait;
use bytes::Bytes;
use distbus::{
    ALL, BoxError, Broker, Client, Event, EventStream, LocalSink, Memory, Reject, Snapshot, Transport,
};
use distbus_transport::{Batch, ClientInbox, ClientLink, ClientSignal, Frame, Limits, PeerId};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<F: Future>(what: &str, wanted: F) -> F::Output {
    match timeout(PATIENCE, wanted).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come within {PATIENCE:?}"),
    }
}

/// Over what.
#[derive(Clone)]
pub(crate) enum Net {
    Memory(Memory),
    #[cfg(feature = "zeromq")]
    ZeroMq,
    #[cfg(feature = "zmtp")]
    Zmtp,
}

impl Net {
    pub(crate) fn memory() -> Self {
        Self::Memory(Memory::new())
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Self::Memory(network) => Arc::new(network.clone()),
            #[cfg(feature = "zeromq")]
            Self::ZeroMq => Arc::new(distbus::ZeroMq::new()),
            #[cfg(feature = "zmtp")]
            Self::Zmtp => Arc::new(distbus::Zmtp::new()),
        }
    }

    pub(crate) fn anywhere(&self) -> &'static str {
        match self {
            Self::Memory(_) => "mem://",
            _ => "tcp://127.0.0.1:0",
        }
    }

    pub(crate) async fn client(&self, broker: &distbus::Endpoint) -> Client {
        Client::builder()
            .transport(self.transport())
            .connect_timeout(PATIENCE)
            .confirm_timeout(PATIENCE)
            .connect(broker.clone())
            .await
            .expect("the broker is there")
    }
}

/// Runs each case over every transport.
macro_rules! on_each {
    ($($case:ident),* $(,)?) => {
        mod memory {$(
            #[tokio::test]
            async fn $case() {
                super::$case(crate::lab::Net::memory()).await;
            }
        )*}
        crate::lab::on_the_wire!($($case),*);
    };
}
pub(crate) use on_each;

/// Runs each case over the transports that speak ZeroMQ.
macro_rules! on_the_wire {
    ($($case:ident),* $(,)?) => {
        #[cfg(feature = "zeromq")]
        mod zeromq {$(
            #[tokio::test]
            async fn $case() {
                super::$case(crate::lab::Net::ZeroMq).await;
            }
        )*}
        #[cfg(feature = "zmtp")]
        mod zmtp {$(
            #[tokio::test]
            async fn $case() {
                super::$case(crate::lab::Net::Zmtp).await;
            }
        )*}
    };
}
pub(crate) use on_the_wire;

/// Takes everything.
struct Sink;

#[async_trait]
impl LocalSink for Sink {
    async fn deliver(&self, _: &[Event]) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) struct Lab {
    pub(crate) net: Net,
    pub(crate) broker: Broker,
    pub(crate) raw: Raw,
    /// Sends good events.
    pub(crate) sender: Client,
    /// Sees everything through `all`.
    pub(crate) witness: Client,
    pub(crate) all: EventStream,
    pub(crate) logs: Logs,
}

impl Lab {
    pub(crate) async fn new(net: Net) -> Self {
        Self::with(net, false).await
    }

    /// A raw peer in the place of one that was cut off.
    #[cfg(feature = "zmtp")]
    pub(crate) async fn connect_raw_again(&mut self) {
        self.raw = Raw::connect(&self.net, self.broker.endpoint()).await;
    }

    pub(crate) async fn strict(net: Net) -> Self {
        Self::with(net, true).await
    }

    async fn with(net: Net, strict: bool) -> Self {
        let logs = Logs::capture().await;
        let broker = Broker::builder()
            .transport(net.transport())
            .strict(strict)
            .bind(net.anywhere())
            .await
            .expect("it can be bound");
        broker.forward(Sink, ALL).expect("it is open");
        let raw = Raw::connect(&net, broker.endpoint()).await;
        let sender = net.client(broker.endpoint()).await;
        let witness = net.client(broker.endpoint()).await;
        let all = witness.subscribe_events(ALL).await.expect("it is open");
        Self {
            net,
            broker,
            raw,
            sender,
            witness,
            all,
            logs,
        }
    }

    /// The next event that the witness sees.
    pub(crate) async fn next(&mut self) -> Event {
        soon("an event", self.all.next())
            .await
            .expect("the client is open")
    }

    /// Nothing of what was sent before comes out, and what is sent now does: from the same peer, and from another.
    ///
    /// One peer's frames keep their order, so that what came before is settled when this returns.
    pub(crate) async fn still_works(&mut self) {
        self.raw.event("after", &body("after")).await;
        let after = self.next().await;
        assert_eq!((after.topic(), *after.get::<u8>().unwrap()), ("after", 7));
        self.sender.emit("good", &8).await.unwrap();
        let good = self.next().await;
        assert_eq!((good.topic(), *good.get::<u8>().unwrap()), ("good", 8));
        assert_eq!(
            soon("quiet", self.broker.flush()).await.unwrap(),
            distbus::Flushed::Quiet
        );
        assert!(!self.witness.is_closed() && !self.sender.is_closed());
        let stats = self.broker.stats();
        let refused: u64 = stats
            .rejected
            .iter()
            .filter(|(why, _)| *why != Reject::Control)
            .map(|(_, n)| n)
            .sum();
        assert_eq!(
            stats.received,
            stats.relayed + stats.probes + refused,
            "{stats:?}"
        );
    }

    /// What the broker has refused, in the engine or before it.
    pub(crate) fn refused(&self) -> Vec<(Reject, u64)> {
        let stats = self.broker.stats();
        [stats.rejected, stats.transport.rejected].concat()
    }

    /// What the witness has refused, in the engine or before it.
    pub(crate) fn witness_refused(&self) -> Vec<(Reject, u64)> {
        let stats = self.witness.stats();
        [stats.rejected, stats.transport.rejected].concat()
    }

    pub(crate) fn sink(&self) -> Snapshot {
        self.broker.stats().sinks.swap_remove(0)
    }

    /// There is exactly one line with this in it.
    pub(crate) fn said_once(&self, text: &str) {
        let lines = self.logs.about(text);
        assert_eq!(lines.len(), 1, "about {text}: {lines:#?}");
    }
}

/// A good event with the data 7, as somebody else might write it.
pub(crate) fn body(topic: &str) -> String {
    format!(r#"{{"type": "{topic}", "data": [55], "id": "1", "timestamp": "2026-11-22T17:23:16.123456"}}"#)
}

/// A peer below the engine.
pub(crate) enum Raw {
    Memory(ClientLink),
    /// Sockets of the `zeromq` crate, whichever side they talk to.
    Wire {
        push: Push,
        dealer: Dealer,
    },
}

impl Raw {
    async fn connect(net: &Net, broker: &distbus::Endpoint) -> Self {
        match net {
            Net::Memory(network) => {
                let peer = PeerId::new("raw").expect("a short name");
                let link = network.connect(broker, &peer, &Limits::default()).await;
                Self::Memory(link.expect("the broker is there"))
            }
            _ => Self::Wire {
                push: Push::connect(broker).await,
                dealer: Dealer::connect(broker).await,
            },
        }
    }

    /// Sends topic and body with the right checksum.
    pub(crate) async fn event(&mut self, topic: impl AsRef<[u8]>, body: impl AsRef<[u8]>) {
        let sum = crc32fast::hash(body.as_ref());
        self.frame(topic, body, sum).await;
    }

    pub(crate) async fn frame(&mut self, topic: impl AsRef<[u8]>, body: impl AsRef<[u8]>, sum: u32) {
        let (topic, body) = (topic.as_ref(), body.as_ref());
        match self {
            Self::Memory(link) => {
                let frame = Frame::new(topic.to_vec(), body.to_vec(), sum);
                link.outbound
                    .push(Batch::from([frame]).all())
                    .await
                    .expect("the broker is there");
            }
            Self::Wire { push, .. } => push.send(&[topic, body, &sum.to_be_bytes()]).await,
        }
    }

    pub(crate) async fn control(&mut self, message: &[u8]) {
        match self {
            Self::Memory(link) => {
                let message = Bytes::copy_from_slice(message);
                link.outbound.control(message).await.expect("the broker is there");
            }
            Self::Wire { dealer, .. } => dealer.send(&[message]).await,
        }
    }

    /// The broker's next control message.
    pub(crate) async fn answer(&mut self) -> Bytes {
        match self {
            Self::Memory(link) => loop {
                let mut inbox = ClientInbox::default();
                soon("an answer", link.inbound.recv(&mut inbox))
                    .await
                    .expect("the broker is there");
                if let Some(ClientSignal::Control(message)) = inbox.signals.pop() {
                    return message;
                }
            },
            Self::Wire { dealer, .. } => soon("an answer", dealer.next()).await.swap_remove(0),
        }
    }
}
