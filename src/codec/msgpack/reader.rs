//! Payloads are written by `rmp-serde` and read here, because its reader does not bound how deep enums nest: three bytes of input a level are
//! enough to run any stack out. This one counts every level, says where it stopped, and borrows what it can.

use super::token::{self, Token};
use serde::de::value::{BorrowedStrDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// How many levels of arrays, maps and enums; as many as in JSON.
const DEPTH: u8 = 128;

/// Why a payload is not what was asked for.
#[derive(Debug)]
pub(super) struct Error(Box<str>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(reason.to_string().into())
    }
}

pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: u8,
}

impl<'de> Reader<'de> {
    pub(super) fn new(payload: &'de [u8]) -> Self {
        Self {
            rest: payload,
            depth: DEPTH,
        }
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::custom("something follows the value"))
        }
    }

    #[inline]
    fn next(&mut self) -> Result<Token<'de>, Error> {
        token::next(&mut self.rest).ok_or_else(|| Error::custom("it ends within a value"))
    }

    fn peek(&self) -> Option<Token<'de>> {
        token::next(&mut { self.rest })
    }

    #[inline]
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth = (self.depth.checked_sub(1))
            .ok_or_else(|| Error::custom(format_args!("it is nested deeper than {DEPTH}")))?;
        let value = read(self);
        self.depth += 1;
        value
    }

    fn array<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Error> {
        self.nested(|reader| {
            let mut left = Left { reader, left: len };
            let value = visitor.visit_seq(&mut left)?;
            left.none(value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Error> {
        self.nested(|reader| {
            let mut left = Left { reader, left: len };
            let value = visitor.visit_map(&mut left)?;
            left.none(value)
        })
    }

    /// An integer of 128 bits: one that fits 64, or 16 bytes.
    fn wide(&mut self) -> Result<[u8; 16], Error> {
        match self.next()? {
            Token::Int(value) => Ok(i128::from(value).to_be_bytes()),
            Token::Large(value) => Ok(u128::from(value).to_be_bytes()),
            Token::Bin(bytes) => bytes
                .try_into()
                .map_err(|_| Error::invalid_length(bytes.len(), &"16 bytes")),
            _ => Err(Error::custom("it is not an integer")),
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(Error::custom)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Token::Nil => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Int(value) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            },
            Token::Large(value) => visitor.visit_u64(value),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Str(bytes) => visitor.visit_borrowed_str(text(bytes)?),
            Token::Bin(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Array(len) => self.array(len, visitor),
            Token::Map(len) => self.map(len, visitor),
            Token::Ext => Err(Error::custom(
                "it holds an extension type, and none is known here",
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rest {
            [0xc0, rest @ ..] => {
                self.rest = rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A struct without fields is written as an array without elements.
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(Token::Array(0)) => {
                self.next()?;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// Some types write themselves as bytes and read themselves as a sequence.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(Token::Bin(bytes)) => {
                self.next()?;
                let mut elements = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut elements)?;
                elements.end()?;
                Ok(value)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i128(i128::from_be_bytes(self.wide()?))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(Token::Int(value)) if value < 0 => {
                Err(Error::invalid_value(Unexpected::Signed(value), &visitor))
            }
            _ => visitor.visit_u128(u128::from_be_bytes(self.wide()?)),
        }
    }

    /// A variant without content is its name; one with content is a map of one, from its name to that.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.next()? {
            Token::Str(name) => visitor.visit_enum(BorrowedStrDeserializer::new(text(name)?)),
            Token::Map(1) => self.nested(|reader| visitor.visit_enum(Variant(reader))),
            _ => Err(Error::custom("an enum is a text, or a map of one")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit map struct identifier ignored_any
    }
}

/// What is left of an array or a map.
struct Left<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: u32,
}

impl Left<'_, '_> {
    /// Gives the value if all was taken.
    fn none<T>(&self, value: T) -> Result<T, Error> {
        match self.left {
            0 => Ok(value),
            left => Err(Error::custom(format_args!("{left} elements more than expected"))),
        }
    }

    /// Not more than there are bytes, since each takes at least one: a claim alone must not reserve memory.
    fn bound(&self) -> usize {
        self.reader.rest.len().min(self.left as usize)
    }
}

impl<'de> SeqAccess<'de> for &mut Left<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bound())
    }
}

impl<'de> MapAccess<'de> for &mut Left<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bound())
    }
}

struct Variant<'r, 'de>(&'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.0)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }
}
