mod digits;
mod dtype;
mod key;
mod parse;
mod read;
mod scan;
mod tail;
mod text;
mod uuid;
mod value;
mod write;

use super::{Codec, CodecError, Envelope, Opened};
use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeSeed;
use std::any::type_name;
use std::borrow::Cow;
use value::Reason;

/// JSON, as Python's `aiodistbus` speaks it. The default.
///
/// A value's payload is its JSON text in UTF-8, as `serde_json` writes it; raw bytes go as they are. The body of an event:
///
/// | key | is | read as well |
/// | --- | --- | --- |
/// | `type` | the topic | |
/// | `data` | the payload's bytes as an array of integers, or `null` | missing: `null` |
/// | `dtype` | `"builtins.` and one of `str int float bool list dict NoneType bytes"`, or `null` | missing: `null`; any other name: a value |
/// | `id` | the event's id | any string |
/// | `timestamp` | `"2026-11-22T17:23:16.123456"`, UTC | as [`Timestamp::from_text`](crate::Timestamp::from_text) |
///
/// It writes compact JSON with the keys in this order, and reads any JSON: white space, any order, escapes, and keys it does not
/// know, which are ignored. A known key that comes twice is an error, and so is nesting deeper than 128.
/// `dtype` says whether the payload is raw bytes; no name is ever looked up.
///
/// JSON has no infinite or not-a-number floats: encoding one, however deep inside a value, is [`CodecError::NotFinite`].
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use distbus::{Codec, Envelope, EventId, Json, PayloadKind, Timestamp};
///
/// let mut payload = Vec::new();
/// Json.encode("hi", &mut payload)?;
/// let mut body = BytesMut::new();
/// let id = EventId::from("7");
/// Json.write_event(
///     &Envelope {
///         topic: "greeting",
///         data: Some(&payload),
///         kind: PayloadKind::Value,
///         id: &id,
///         timestamp: Timestamp::from_micros(0),
///     },
///     &mut body,
/// );
/// assert_eq!(
///     body,
///     r#"{"type":"greeting","data":[34,104,105,34],"dtype":"builtins.str","id":"7","timestamp":"1970-01-01T00:00:00.000000"}"#
/// );
///
/// let mut scratch = BytesMut::new();
/// let event = Json.read_event("greeting", &body, &mut scratch)?;
/// assert_eq!(event.data, Some(&br#""hi""#[..]));
/// # Ok::<(), distbus::CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

const NAME: &str = "json";

impl Codec for Json {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T, payload: &mut Vec<u8>) -> Result<(), CodecError> {
        value::write(value, payload).map_err(|error| match error.reason() {
            Reason::NotFinite => CodecError::NotFinite { codec: NAME },
            other => CodecError::Encode {
                codec: NAME,
                reason: other.to_string(),
            },
        })
    }

    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>) {
        payload.extend_from_slice(value);
    }

    fn decode<'de, S: DeserializeSeed<'de>>(
        &self,
        payload: &'de [u8],
        seed: S,
    ) -> Result<S::Value, CodecError> {
        let fail = |reason: String| CodecError::Decode {
            codec: NAME,
            wanted: type_name::<S::Value>(),
            reason,
        };
        let text = std::str::from_utf8(payload).map_err(|error| fail(error.to_string()))?;
        parse::read(if text.is_empty() { "null" } else { text }, seed).map_err(fail)
    }

    fn decode_bytes<'p>(&self, payload: &'p [u8]) -> Result<Cow<'p, [u8]>, CodecError> {
        Ok(Cow::Borrowed(payload))
    }

    fn write_event(&self, event: &Envelope<'_>, body: &mut BytesMut) {
        write::event(event, body);
    }

    /// An object that is not UTF-8 ends the receive loop of every Python client that gets it. Bodies of other codecs pass.
    fn admits(&self, body: &[u8]) -> bool {
        body.first() != Some(&b'{') || text::is_ascii(body) || std::str::from_utf8(body).is_ok()
    }

    fn read_event<'a>(
        &self,
        topic: &str,
        body: &'a [u8],
        scratch: &'a mut BytesMut,
    ) -> Result<Opened<'a>, CodecError> {
        let read = match read::usual(topic, body, scratch) {
            Some(event) => Ok(event),
            None => read::any(topic, body, scratch),
        };
        read.map(|read| read.opened(scratch))
            .map_err(|reason| CodecError::NotAnEvent { codec: NAME, reason })
    }
}

#[cfg(test)]
mod tests;
