//! How values become payloads and events become bodies.

mod json;
mod msgpack;

pub use json::Json;
pub use msgpack::MessagePack;

use crate::{EventId, Timestamp};
use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeSeed;
use std::borrow::Cow;

/// A format: the payload rules (how a value becomes bytes) and the envelope (how an event becomes a frame's body).
///
/// Generic and synchronous, so that a typed handler costs no virtual call. Both ends of a connection must use the same one.
///
/// A payload is either a *value*, anything that `serde` can write, or *bytes*, which go as they are. Which of the two the receiver
/// wants is decided by the type of its handler.
pub trait Codec: Clone + Send + Sync + 'static {
    /// Its name: lower case, unique; events cross from one codec to another by re-encoding only when the names differ.
    fn name(&self) -> &'static str;

    /// Appends the payload of a value.
    ///
    /// # Errors
    /// [`CodecError::Encode`] or [`CodecError::NotFinite`]; what was appended is then of no use.
    fn encode<T: Serialize + ?Sized>(&self, value: &T, payload: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Appends the payload of raw bytes.
    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>);

    /// Reads a value from a payload: all of it, nothing may follow. MUST NOT panic, recurse without bound or reserve by what a length
    /// field claims. An empty payload reads as that of `()`.
    ///
    /// # Errors
    /// [`CodecError::Decode`].
    fn decode<'de, S: DeserializeSeed<'de>>(
        &self,
        payload: &'de [u8],
        seed: S,
    ) -> Result<S::Value, CodecError>;

    /// Reads raw bytes from a payload.
    ///
    /// # Errors
    /// [`CodecError::Decode`] when the payload is not one of raw bytes and the codec can tell.
    fn decode_bytes<'p>(&self, payload: &'p [u8]) -> Result<Cow<'p, [u8]>, CodecError>;

    /// Appends the body of an event. A payload larger than the format can say makes a body that no reader takes: the limits of events, far below
    /// that, are checked by the caller.
    fn write_event(&self, event: &Envelope<'_>, body: &mut BytesMut);

    /// Whether a broker may relay this body at all. It is asked for every event, so the answer has to be cheap: a veto for what is known to break
    /// peers of this format, not a check. A strict broker reads the whole event instead.
    fn admits(&self, body: &[u8]) -> bool {
        let _ = body;
        true
    }

    /// Reads the body of an event that came under `topic`. MUST take any bytes: the network is hostile.
    ///
    /// A payload that is not a part of the body is written to `scratch`; what was in there before is of no use to anybody.
    ///
    /// # Errors
    /// [`CodecError::NotAnEvent`].
    fn read_event<'a>(
        &self,
        topic: &str,
        body: &'a [u8],
        scratch: &'a mut BytesMut,
    ) -> Result<Opened<'a>, CodecError>;
}

/// What a payload is, as far as one can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// The sender did not say.
    #[default]
    Unknown,
    /// A value, written by [`Codec::encode`].
    Value,
    /// Raw bytes, written by [`Codec::encode_bytes`].
    Bytes,
}

/// An event about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload; `None` for an event without data.
    pub data: Option<&'a [u8]>,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The event's id.
    pub id: &'a EventId,
    /// When it was emitted.
    pub timestamp: Timestamp,
}

/// An event as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Whether the topic written in the body is the one the frame came under. The frame's counts: brokers route by it.
    pub same_topic: bool,
    /// The payload; `None` for an event without data.
    pub data: Option<&'a [u8]>,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The event's id.
    pub id: EventId,
    /// When it was emitted.
    pub timestamp: Timestamp,
}

/// What a codec could not do.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A value that the format cannot express, or whose own `Serialize` failed.
    #[error("the value cannot be written as {codec}: {reason}")]
    Encode {
        /// The codec.
        codec: &'static str,
        /// Why, in the format's words.
        reason: String,
    },
    /// A float that is infinite or not a number, in a format that has none.
    #[error("{codec} has no infinite or not-a-number floats; send an Option, or a string")]
    NotFinite {
        /// The codec.
        codec: &'static str,
    },
    /// A payload that is not the type that was asked for.
    #[error("the payload is not {wanted} in {codec}: {reason}")]
    Decode {
        /// The codec.
        codec: &'static str,
        /// The type that was asked for.
        wanted: &'static str,
        /// Why, in the format's words.
        reason: String,
    },
    /// A body that is not an event.
    #[error("the body is not an event in {codec}: {reason}")]
    NotAnEvent {
        /// The codec.
        codec: &'static str,
        /// Why, in the format's words.
        reason: String,
    },
}
