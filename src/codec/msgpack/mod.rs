mod envelope;
mod reader;
mod token;

use super::{Codec, CodecError, Envelope, Opened};
use bytes::BytesMut;
use reader::Reader;
use serde::Serialize;
use serde::de::DeserializeSeed;
use std::any::type_name;
use std::borrow::Cow;
use token::Token;

/// MessagePack: compact, and reading copies nothing. For buses without Python's `aiodistbus`.
///
/// A value's payload is its MessagePack as `rmp-serde` writes it, structs as maps with field names, so that a struct may gain a
/// field without breaking receivers; types that have a form for humans (addresses, UUIDs) use it, so that they survive being
/// re-encoded as [`Json`](crate::Json). Raw bytes are a MessagePack `bin`, so any reader can tell them from a value.
///
/// The body of an event is an array of five:
///
/// | at | is | as |
/// | --- | --- | --- |
/// | 0 | the topic | `str` |
/// | 1 | the payload | `bin`, or `nil` for an event without data |
/// | 2 | what the payload is: 0 unknown, 1 value, 2 raw bytes | `int` |
/// | 3 | the id | `bin` of 16 for a UUID, else `str` |
/// | 4 | the timestamp, microseconds since 1970 | `int` |
///
/// It writes an `int` of 64 bits for the timestamp and the shortest form of all else, and reads any form. The value `true` under the
/// topic `a`, sent at 1970-01-01T00:00:01 UTC with the id `7`:
///
/// ```text
/// 95                              five
///    a1 61                        "a"
///    c4 01 c3                     one byte: true
///    01                           a value
///    a1 37                        "7"
///    d3 00 00 00 00 00 0f 42 40   1,000,000
/// ```
///
/// Nesting deeper than 128 is an error, and so are extension types.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use distbus::{Codec, Envelope, EventId, MessagePack, PayloadKind, Timestamp};
///
/// let mut payload = Vec::new();
/// MessagePack.encode(&true, &mut payload)?;
/// let mut body = BytesMut::new();
/// let id = EventId::from("7");
/// MessagePack.write_event(
///     &Envelope {
///         topic: "a",
///         data: Some(&payload),
///         kind: PayloadKind::Value,
///         id: &id,
///         timestamp: Timestamp::from_micros(1_000_000),
///     },
///     &mut body,
/// );
/// assert_eq!(&body[..], b"\x95\xa1a\xc4\x01\xc3\x01\xa17\xd3\0\0\0\0\0\x0f\x42\x40");
///
/// let mut scratch = BytesMut::new();
/// let event = MessagePack.read_event("a", &body, &mut scratch)?;
/// assert_eq!(event.data, Some(&b"\xc3"[..]));
/// # Ok::<(), distbus::CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

const NAME: &str = "msgpack";

impl Codec for MessagePack {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T, payload: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut serializer = rmp_serde::Serializer::new(payload)
            .with_struct_map()
            .with_human_readable();
        value
            .serialize(&mut serializer)
            .map_err(|error| CodecError::Encode {
                codec: NAME,
                reason: error.to_string(),
            })
    }

    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>) {
        token::put_bin(value, |bytes| payload.extend_from_slice(bytes));
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
        let payload = if payload.is_empty() { b"\xc0" } else { payload };
        let mut reader = Reader::new(payload);
        let value = seed.deserialize(&mut reader).map_err(|e| fail(e.to_string()))?;
        reader.end().map_err(|e| fail(e.to_string()))?;
        Ok(value)
    }

    fn decode_bytes<'p>(&self, payload: &'p [u8]) -> Result<Cow<'p, [u8]>, CodecError> {
        // Short ones first, without the reader of tokens: most are.
        if let [0xc4, len, bytes @ ..] = payload
            && bytes.len() == usize::from(*len)
        {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut rest = payload;
        match token::next(&mut rest) {
            Some(Token::Bin(bytes)) if rest.is_empty() => Ok(Cow::Borrowed(bytes)),
            _ => Err(CodecError::Decode {
                codec: NAME,
                wanted: "raw bytes",
                reason: "it is not one bin".into(),
            }),
        }
    }

    fn write_event(&self, event: &Envelope<'_>, body: &mut BytesMut) {
        envelope::write(event, body);
    }

    fn read_event<'a>(
        &self,
        topic: &str,
        body: &'a [u8],
        _scratch: &'a mut BytesMut,
    ) -> Result<Opened<'a>, CodecError> {
        envelope::read(topic, body).map_err(|reason| CodecError::NotAnEvent {
            codec: NAME,
            reason: reason.into(),
        })
    }
}

#[cfg(test)]
mod tests;
