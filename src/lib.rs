//! A typed event bus whose engine knows no socket and no format.
//!
//! You write handlers for your own types. The same program runs in one process, in a deterministic test, over ZeroMQ beside Python's
//! `aiodistbus`, and over whatever transport you plug in.
//!
//! ```
//! use distbus::{Broker, Client, Event};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Temperature {
//!     celsius: f64,
//! }
//!
//! # #[cfg(feature = "zeromq")]
//! #[tokio::main]
//! async fn main() -> Result<(), distbus::Error> {
//!     let broker = Broker::bind("tcp://127.0.0.1:0").await?; // ZeroMQ + JSON
//!     let client = Client::connect(broker.endpoint()).await?;
//!
//!     // Live at the broker when this returns: no sleeps, no lost first event.
//!     client.on("lab.temp", |t: Temperature| async move { println!("{} °C", t.celsius) }).await?;
//!     client.on_event("lab.*", |event: Event| async move { println!("{}", event.topic()) }).await?;
//!     let mut temps = client.subscribe::<Temperature>("lab.temp").await?;
//!
//!     client.emit("lab.temp", &Temperature { celsius: 21.5 }).await?;
//!     let temp = temps.next().await.expect("the client is open");
//!     assert_eq!(temp.celsius, 21.5);
//!
//!     client.close().await;
//!     broker.close().await;
//!     Ok(())
//! }
//! # #[cfg(not(feature = "zeromq"))]
//! # fn main() {}
//! ```
//!
//! # The parts
//!
//! | here | in Python | is |
//! | --- | --- | --- |
//! | [`Broker`] | `DEventBus` | the server: relays, forwards to sinks, pulses |
//! | [`Client`] | `DEntryPoint` | one connection: handlers, streams, events to emit |
//! | [`LocalBus`] | `EventBus` | a bus inside one process, typed, without serialization |
//! | [`EntryPoint`] | `EntryPoint` | one participant of a [`LocalBus`] |
//! | [`Registry`] | `registry` | handlers declared apart, attached later |
//! | [`Evented`] | `make_evented` | a value that announces its changes |
//!
//! Three traits separate the engine from the world: [`Transport`] carries frames, [`Codec`] writes values and events, [`LocalSink`] takes
//! events inside a broker's process. A fourth, [`Host`], is where the wall clock and randomness come from, so that a program can repeat exactly.
//!
//! # What is promised
//!
//! * **Readiness.** `on` and `subscribe` return when the broker really sends what they asked for.
//! * **Barriers.** [`Client::flush`] returns when the broker has relayed what was emitted before.
//! * **Nothing is lost in silence.** What is not delivered is counted by reason, in the `stats()` of whoever dropped it; and a subscriber finds gaps
//!   in the sequence that event ids carry, wherever they came about. Delivery is at most once.
//! * **Isolation.** A handler or sink that is slow, fails or panics is felt by no other client.
//! * **Bad input** from the network is counted and refused. It never panics and never ends a loop.
//!
//! What a transport adds to that, or cannot promise, is in its [`Guarantees`].
//!
//! # Topics
//!
//! Words joined by dots. `lab.*` matches everything below `lab`, `lab.+.on` exactly one word in between; see [`Pattern`].
//!
//! # Payloads
//!
//! `Vec<u8>`, `[u8]` and `bytes::Bytes` travel as raw bytes. Every other type is written by the codec: with [`Json`] as its JSON text. An event without
//! data reads as `()` or `None`.
//!
//! # Features
//!
//! * `zmtp` (default): `tcp://` and `ipc://` endpoints over [`Zmtp`], our own engine for ZeroMQ's protocol: bounded and fast.
//! * `zeromq` (default): [`ZeroMq`], the same wire on the independent `zeromq` crate: one `.transport(ZeroMq::new())` away, and what
//!   `tcp://` means without `zmtp`.
#![deny(unsafe_code)]

pub mod codec;
mod engine;
mod facade;

pub use codec::{Codec, CodecError, Envelope, Json, MessagePack, Opened, PayloadKind};
pub use engine::host::{Host, SystemHost};
pub use engine::id::{EventId, Origin};
pub use engine::index::TopicIndex;
pub use engine::timestamp::{Timestamp, TimestampError};
pub use engine::topic::{ALL, CLOSE, IntoPatterns, PULSE, Pattern, TopicError};

pub use distbus_memory::Memory;
pub use distbus_transport::{
    CloseReport, Counters, DropReason, Endpoint, EndpointError, Guarantees, Limits, Reject, SlowConsumer,
    Snapshot, Transport, TransportError,
};
#[cfg(feature = "zeromq")]
pub use distbus_zeromq::ZeroMq;
#[cfg(feature = "zmtp")]
pub use distbus_zmtp::Zmtp;
pub use engine::broker::{Broker, BrokerBuilder, BrokerStats, Flushed, Forward, SinkOptions};
pub use engine::client::{Client, ClientBuilder, ClientStats, ClosedBy};
pub use engine::error::{BoxError, Error};
pub use engine::event::Event;
pub use engine::evented::{Emitter, Evented, EventedBuilder};
pub use engine::handler::Outcome;
pub use facade::DefaultCodec;

pub(crate) use engine::host;
pub use engine::local::{EntryPoint, LocalBus, LocalBusBuilder};
pub use engine::registry::Registry;
pub use engine::sink::LocalSink;
pub use engine::stream::{EventStream, Received, Subscription};

// The programs in the README compile, and those without `no_run` run.
#[cfg(all(doctest, feature = "zeromq"))]
#[doc = include_str!("../README.md")]
struct Readme;
