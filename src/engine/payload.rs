//! What a payload is to the engine: the raw bytes rule, and codecs behind a pointer.

use crate::codec::{Codec, CodecError, PayloadKind};
use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::ser::{Impossible, SerializeSeq, Serializer};
use serde::{Serialize, forward_to_deserialize_any};
use std::marker::PhantomData;

/// Whether a `T` travels as raw bytes: `Vec<u8>`, `[u8]`, `&[u8]`, [`Bytes`] and [`BytesMut`] do. Everything else is a value, which the codec writes.
///
/// The answer is a constant for each `T`.
pub(crate) fn is_bytes<T: ?Sized>() -> bool {
    let this = typeid::of::<T>();
    this == typeid::of::<Vec<u8>>()
        || this == typeid::of::<[u8]>()
        || this == typeid::of::<&[u8]>()
        || this == typeid::of::<Bytes>()
        || this == typeid::of::<BytesMut>()
}

/// Appends the payload of `value`, by the raw bytes rule or through the codec.
pub(crate) fn encode<C: Codec, T: Serialize + ?Sized>(
    codec: &C,
    value: &T,
    payload: &mut Vec<u8>,
) -> Result<PayloadKind, CodecError> {
    if !is_bytes::<T>() {
        codec.encode(value, payload)?;
        return Ok(PayloadKind::Value);
    }
    // Cannot fail: the types of `is_bytes` write nothing but bytes.
    value
        .serialize(RawBytes(&mut |raw| codec.encode_bytes(raw, payload)))
        .map_err(|_| not_bytes(codec.name()))?;
    Ok(PayloadKind::Bytes)
}

/// Reads a `T` from a payload; `None` is an event without data.
pub(crate) fn decode<C: Codec, T: DeserializeOwned>(
    codec: &C,
    payload: Option<&[u8]>,
) -> Result<T, CodecError> {
    let Some(payload) = payload else {
        return nothing(codec.name());
    };
    if is_bytes::<T>() {
        let raw = codec.decode_bytes(payload)?;
        return T::deserialize(RawBytesDeserializer(&raw)).map_err(|_| not_bytes(codec.name()));
    }
    codec.decode(payload, PhantomData::<T>)
}

/// What an event without data is: `()`, `None`, or whatever else takes a unit.
fn nothing<T: DeserializeOwned>(codec: &'static str) -> Result<T, CodecError> {
    T::deserialize(().into_deserializer()).map_err(|error: serde::de::value::Error| CodecError::Decode {
        codec,
        wanted: std::any::type_name::<T>(),
        reason: format!("the event has no data ({error})"),
    })
}

fn not_bytes(codec: &'static str) -> CodecError {
    CodecError::Decode {
        codec,
        wanted: "raw bytes",
        reason: "it is something else".into(),
    }
}

/// A [`Codec`] behind a pointer, for events whose codec is known only as the program runs.
pub(crate) trait DynCodec: Send + Sync {
    fn name(&self) -> &'static str;
    fn encode_value(
        &self,
        value: &dyn erased_serde::Serialize,
        payload: &mut Vec<u8>,
    ) -> Result<(), CodecError>;
    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>);
    fn decode_bytes(&self, payload: &[u8]) -> Result<Bytes, CodecError>;
    /// Shows the payload to `visit` as a deserializer.
    fn decode_value(&self, payload: &[u8], visit: &mut Visit<'_>) -> Result<(), CodecError>;
}

/// What [`DynCodec::decode_value`] calls.
pub(crate) type Visit<'a> =
    dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> + 'a;

impl<C: Codec> DynCodec for C {
    fn name(&self) -> &'static str {
        Codec::name(self)
    }

    fn encode_value(
        &self,
        value: &dyn erased_serde::Serialize,
        payload: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        self.encode(value, payload)
    }

    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>) {
        Codec::encode_bytes(self, value, payload);
    }

    fn decode_bytes(&self, payload: &[u8]) -> Result<Bytes, CodecError> {
        Codec::decode_bytes(self, payload).map(|raw| Bytes::copy_from_slice(&raw))
    }

    fn decode_value(&self, payload: &[u8], visit: &mut Visit<'_>) -> Result<(), CodecError> {
        self.decode(payload, Seed(visit))
    }
}

struct Seed<'a, 'v>(&'a mut Visit<'v>);

impl<'de> serde::de::DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        (self.0)(&mut erased).map_err(serde::de::Error::custom)
    }
}

/// As [`decode`], through a pointer.
pub(crate) fn decode_dyn<T: DeserializeOwned>(
    codec: &dyn DynCodec,
    payload: Option<&[u8]>,
) -> Result<T, CodecError> {
    let Some(payload) = payload else {
        return nothing(codec.name());
    };
    if is_bytes::<T>() {
        let raw = codec.decode_bytes(payload)?;
        return T::deserialize(RawBytesDeserializer(&raw)).map_err(|_| not_bytes(codec.name()));
    }
    let mut value = None;
    codec.decode_value(payload, &mut |deserializer| {
        value = Some(erased_serde::deserialize(deserializer)?);
        Ok(())
    })?;
    // A codec that returns `Ok` without driving its seed has broken its contract; that is an error, not a panic.
    value.ok_or(CodecError::Decode {
        codec: codec.name(),
        wanted: std::any::type_name::<T>(),
        reason: "the codec read nothing".into(),
    })
}

/// Writes in `to` what `from` wrote.
pub(crate) fn transcode(
    from: &dyn DynCodec,
    payload: &[u8],
    kind: PayloadKind,
    to: &dyn DynCodec,
) -> Result<(Vec<u8>, PayloadKind), CodecError> {
    let mut out = Vec::with_capacity(payload.len());
    if kind != PayloadKind::Bytes {
        let mut encoded = Ok(());
        let decoded = from.decode_value(payload, &mut |deserializer| {
            encoded = to.encode_value(&serde_transcode::Transcoder::new(deserializer), &mut out);
            Ok(())
        });
        match (decoded.and(encoded), kind) {
            (Ok(()), _) => return Ok((out, PayloadKind::Value)),
            (Err(error), PayloadKind::Value) => return Err(error),
            // Its sender did not say what it is, and it is no value: then it is raw bytes.
            (Err(_), _) => out.clear(),
        }
    }
    to.encode_bytes(&from.decode_bytes(payload)?, &mut out);
    Ok((out, PayloadKind::Bytes))
}

/// Takes bytes, or a sequence of `u8`, and nothing else; hands them on in one piece.
pub(crate) struct RawBytes<'a>(pub(crate) &'a mut dyn FnMut(&[u8]));

/// A sequence of `u8` on its way to [`RawBytes`].
pub(crate) struct RawSequence<'a> {
    to: RawBytes<'a>,
    bytes: Vec<u8>,
}

type Never = Impossible<(), serde::de::value::Error>;
type RawResult<T = ()> = Result<T, serde::de::value::Error>;

fn other<T>() -> RawResult<T> {
    Err(serde::ser::Error::custom("not bytes"))
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> RawResult<$ok> { other() })*
    };
}

impl<'a> Serializer for RawBytes<'a> {
    type Ok = ();
    type Error = serde::de::value::Error;
    type SerializeSeq = RawSequence<'a>;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_bytes(self, bytes: &[u8]) -> RawResult {
        (self.0)(bytes);
        Ok(())
    }

    fn serialize_u8(self, byte: u8) -> RawResult {
        (self.0)(&[byte]);
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> RawResult<RawSequence<'a>> {
        Ok(RawSequence {
            to: self,
            bytes: Vec::with_capacity(len.unwrap_or(0)),
        })
    }

    refuse! {
        serialize_bool(bool) -> (); serialize_i8(i8) -> (); serialize_i16(i16) -> (); serialize_i32(i32) -> (); serialize_i64(i64) -> ();
        serialize_u16(u16) -> (); serialize_u32(u32) -> (); serialize_u64(u64) -> (); serialize_f32(f32) -> (); serialize_f64(f64) -> ();
        serialize_char(char) -> (); serialize_str(&str) -> (); serialize_none() -> (); serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> (); serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple(usize) -> Never; serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never; serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never; serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> RawResult {
        other()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> RawResult {
        other()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> RawResult {
        other()
    }
}

impl SerializeSeq for RawSequence<'_> {
    type Ok = ();
    type Error = serde::de::value::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, byte: &T) -> RawResult {
        byte.serialize(RawBytes(&mut |byte| self.bytes.extend_from_slice(byte)))
    }

    fn end(self) -> RawResult {
        (self.to.0)(&self.bytes);
        Ok(())
    }
}

/// Hands bytes to whichever of the byte types asks: `Vec<u8>` wants a sequence, [`Bytes`] wants bytes.
struct RawBytesDeserializer<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for RawBytesDeserializer<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> RawResult<V::Value> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> RawResult<V::Value> {
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(self.0.iter().copied()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        assert!(is_bytes::<T>());
        let mut out = Vec::new();
        value
            .serialize(RawBytes(&mut |raw| out.extend_from_slice(raw)))
            .unwrap();
        out
    }

    #[test]
    fn byte_types_travel_raw_and_come_back() {
        let bytes = [0_u8, 255, 34];
        assert_eq!(raw(&bytes.to_vec()), bytes);
        assert_eq!(raw(&bytes[..]), bytes);
        assert_eq!(raw(&&bytes[..]), bytes);
        assert_eq!(raw(&Bytes::copy_from_slice(&bytes)), bytes);
        assert_eq!(raw(&BytesMut::from(&bytes[..])), bytes);

        fn back<T: DeserializeOwned>(bytes: &[u8]) -> T {
            T::deserialize(RawBytesDeserializer(bytes)).unwrap()
        }
        assert_eq!(back::<Vec<u8>>(&bytes), bytes);
        assert_eq!(back::<Bytes>(&bytes), &bytes[..]);
        assert_eq!(back::<BytesMut>(&bytes), &bytes[..]);
    }

    #[test]
    fn other_types_are_values() {
        assert!(
            !is_bytes::<Vec<i8>>()
                && !is_bytes::<str>()
                && !is_bytes::<Option<Vec<u8>>>()
                && !is_bytes::<u8>()
        );
    }
}
