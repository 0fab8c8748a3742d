//! Under construction.
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
