//! Under construction.
#![deny(unsafe_code)]

pub mod codec;
mod engine;

pub use codec::{Codec, CodecError, Envelope, Json, MessagePack, Opened, PayloadKind};
pub use engine::host::{Host, SystemHost};
pub use engine::id::{EventId, Origin};
pub use engine::timestamp::{Timestamp, TimestampError};

pub(crate) use engine::host;
