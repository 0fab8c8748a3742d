//! A value as JSON text: what `serde_json` writes, byte for byte, but for floats that JSON has not, which it would write as `null`
//! and this refuses. Written anew because strings are copied whole here, where that looks at each of their bytes.

use super::key::Key;
use super::text::{is_plain, string};
use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use std::fmt;

/// Appends a value.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    value.serialize(Value(out))
}

/// Why a value cannot be written. One word, since every step of the way returns it.
#[derive(Debug)]
pub(super) struct Unwritable(Box<Reason>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("a float is infinite or not a number")]
    NotFinite,
    #[error("a key of a map must be a string, a number, a bool or the name of a variant")]
    Key,
    #[error("{0}")]
    Other(String),
}

impl Unwritable {
    pub(super) fn reason(self) -> Reason {
        *self.0
    }
}

impl From<Reason> for Unwritable {
    #[cold]
    fn from(reason: Reason) -> Self {
        Self(Box::new(reason))
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Reason::Other(message.to_string()).into()
    }
}

/// Where a value goes.
struct Value<'a>(&'a mut Vec<u8>);

pub(super) fn float<F: zmij::Float>(value: F, is_finite: bool, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    if !is_finite {
        return Err(Reason::NotFinite.into());
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    Ok(())
}

pub(super) fn integer<I: itoa::Integer>(value: I, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A list or an object that is being written.
struct Open<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    /// What ends it, or nothing for text that is JSON already.
    end: &'static str,
}

impl<'a> Open<'a> {
    fn new(out: &'a mut Vec<u8>, start: u8, end: &'static str) -> Self {
        out.push(start);
        Self {
            out,
            empty: true,
            end,
        }
    }

    /// As the only value of an object, whose key is the variant's name.
    fn variant(out: &'a mut Vec<u8>, variant: &str, start: u8, end: &'static str) -> Self {
        out.push(b'{');
        string(variant, out);
        out.push(b':');
        Self::new(out, start, end)
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.next();
        value.serialize(Value(self.out))
    }

    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unwritable> {
        if self.end.is_empty() {
            return value.serialize(Key::verbatim(self.out));
        }
        self.next();
        name(key, self.out);
        value.serialize(Value(self.out))
    }

    fn finish(self) -> Result<(), Unwritable> {
        self.out.extend_from_slice(self.end.as_bytes());
        Ok(())
    }
}

/// A field's name and a colon. Small enough to be worked out when the field is known, at compile time: then it is a copy of fixed length.
#[inline(always)]
fn name(key: &'static str, out: &mut Vec<u8>) {
    const SHORT: usize = 16;
    let mut text = [b'"'; SHORT + 3];
    match text.get_mut(1..=key.len()) {
        Some(place) if key.len() <= SHORT && is_plain(key.as_bytes()) => {
            place.copy_from_slice(key.as_bytes());
            text[key.len() + 2] = b':';
            out.extend_from_slice(&text[..key.len() + 3]);
        }
        _ => {
            string(key, out);
            out.push(b':');
        }
    }
}

macro_rules! integers {
    ($($method:ident($type:ty))*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Unwritable> {
            integer(value, self.0);
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for Value<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    integers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Unwritable> {
        float(value, value.is_finite(), self.0)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        float(value, value.is_finite(), self.0)
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        string(value, self.0);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        let mut open = Open::new(self.0, b'{', "}");
        open.field(variant, value)?;
        open.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, Unwritable> {
        Ok(Open::new(self.0, b'[', "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, Unwritable> {
        Ok(Open::new(self.0, b'[', "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Unwritable> {
        Ok(Open::new(self.0, b'[', "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Unwritable> {
        Ok(Open::variant(self.0, variant, b'[', "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, Unwritable> {
        Ok(Open::new(self.0, b'{', "}"))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Open<'a>, Unwritable> {
        // `serde_json`'s own `RawValue`, and its numbers of any precision.
        if name.starts_with("$serde_json::private::") {
            return Ok(Open {
                out: self.0,
                empty: true,
                end: "",
            });
        }
        Ok(Open::new(self.0, b'{', "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Unwritable> {
        Ok(Open::variant(self.0, variant, b'{', "}}"))
    }
}

macro_rules! compound {
    ($($trait:ident: $method:ident as $as:ident($($key:ident: $type:ty)?);)*) => {$(
        impl $trait for Open<'_> {
            type Ok = ();
            type Error = Unwritable;

            // So that a field's name is known where it is written: see `name`.
            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $type,)? value: &T) -> Result<(), Unwritable> {
                self.$as($($key,)? value)
            }

            #[inline]
            fn end(self) -> Result<(), Unwritable> {
                self.finish()
            }
        }
    )*};
}

compound! {
    SerializeSeq: serialize_element as element();
    SerializeTuple: serialize_element as element();
    SerializeTupleStruct: serialize_field as element();
    SerializeTupleVariant: serialize_field as element();
    SerializeStruct: serialize_field as field(key: &'static str);
    SerializeStructVariant: serialize_field as field(key: &'static str);
}

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.next();
        key.serialize(Key::quoted(self.out))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.out.push(b':');
        value.serialize(Value(self.out))
    }

    fn end(self) -> Result<(), Unwritable> {
        self.finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    pub(in crate::codec::json) fn any_value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            "\\PC{0,200}|(?s).{0,20}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
                prop::collection::btree_map("(?s).{0,8}", inner, 0..8)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_written_as_serde_json_writes_it(value in any_value()) {
            let mut out = Vec::new();
            write(&value, &mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }
}
