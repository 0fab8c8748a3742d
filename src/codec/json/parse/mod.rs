//! JSON text as a value: what `serde_json` reads, and nothing else. Written anew because strings and numbers are looked at many bytes at once
//! here. Whatever is spelled oddly (an escape, an exponent, more digits than 64 bits hold) is left to `serde_json`, token by token.

mod key;
mod token;
mod variant;

use key::Key;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use token::{Number, Text, Tokens, Unreadable};
use variant::{Named, Unit};

/// Reads one value; nothing may follow. The error says where.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, String> {
    let mut tokens = Tokens::new(text);
    let value = seed.deserialize(Value(&mut tokens));
    value
        .and_then(|value| tokens.end().map(|()| value))
        .map_err(|error| format!("{error} at {}", tokens.place()))
}

/// A value by itself, as `serde_json` reads it.
#[cold]
fn apart<'de, T>(
    token: &'de str,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> serde_json::Result<T>,
) -> Result<T, Unreadable> {
    let mut reader = serde_json::Deserializer::from_str(token);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// `serde_json`'s own: a `RawValue`.
fn is_private(name: &str) -> bool {
    name.starts_with("$serde_json::private::")
}

/// The value that follows.
struct Value<'p, 'de>(&'p mut Tokens<'de>);

impl<'de> Value<'_, 'de> {
    /// What is between brackets, of which the first has been seen.
    #[inline]
    fn nested<T>(
        self,
        last: u8,
        read: impl FnOnce(&mut Tokens<'de>) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        self.0.enter()?;
        let value = read(self.0)?;
        self.0.leave(last)?;
        Ok(value)
    }

    #[inline]
    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.nested(b']', |tokens| visitor.visit_seq(Items::new(tokens)))
    }

    #[inline]
    fn object<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.nested(b'}', |tokens| visitor.visit_map(Items::new(tokens)))
    }

    #[inline]
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.string()? {
            Text::Plain(text) => visitor.visit_borrowed_str(text),
            Text::Odd(token) => apart(token, |reader| reader.deserialize_str(visitor)),
        }
    }
}

macro_rules! visit_number {
    ($number:expr, $visitor:ident, $method:ident) => {
        match $number {
            Number::Unsigned(value) => $visitor.visit_u64(value),
            Number::Negative(value) => $visitor.visit_i64(value),
            Number::Float(value) => $visitor.visit_f64(value),
            Number::Odd(token) => apart(token, |reader| reader.$method($visitor)),
        }
    };
}

macro_rules! numbers {
    ($read:ident: $($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            match self.0.peek() {
                Some(b'-' | b'0'..=b'9') => visit_number!(self.0.$read(), visitor, $method),
                _ => Err(self.0.unexpected(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Unreadable;

    numbers! { number:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f64
    }

    // Of a kind that `serde_json` reads in a way of its own.
    numbers! { odd_number: deserialize_i128 deserialize_u128 deserialize_f32 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'"') => self.text(visitor),
            Some(b'[') => self.list(visitor),
            Some(b'{') => self.object(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'-' | b'0'..=b'9') => {
                // Fractions as text, since `serde_json` may have been built to keep all their digits.
                visit_number!(self.0.integer(), visitor, deserialize_any)
            }
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.0.eat_word("true") {
            return visitor.visit_bool(true);
        }
        if self.0.eat_word("false") {
            return visitor.visit_bool(false);
        }
        Err(self.0.unexpected(&visitor))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'"') => self.text(visitor),
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'"') => match self.0.string()? {
                Text::Plain(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                Text::Odd(token) => apart(token, |reader| reader.deserialize_bytes(visitor)),
            },
            Some(b'[') => self.list(visitor),
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.0.eat_word("null") {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.0.eat_word("null") {
            return visitor.visit_unit();
        }
        Err(self.0.unexpected(&visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        if is_private(name) {
            let text = self.0.skip()?;
            return apart(text, |reader| reader.deserialize_newtype_struct(name, visitor));
        }
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'[') => self.list(visitor),
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'{') => self.object(visitor),
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.list(visitor),
            _ => Err(self.0.unexpected(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        match self.0.peek() {
            Some(b'"') => visitor.visit_enum(Unit(self.0)),
            Some(b'{') => self.nested(b'}', |tokens| visitor.visit_enum(Named(tokens))),
            _ => Err(self.0.failed("expected the name of a variant, or an object")),
        }
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.0.skip()?;
        visitor.visit_unit()
    }
}

/// What a list or an object holds.
struct Items<'p, 'de> {
    tokens: &'p mut Tokens<'de>,
    first: bool,
}

impl<'p, 'de> Items<'p, 'de> {
    fn new(tokens: &'p mut Tokens<'de>) -> Self {
        Self { tokens, first: true }
    }

    /// Whether there is another. The bracket that ends it stays.
    #[inline]
    fn next(&mut self, last: u8) -> Result<bool, Unreadable> {
        let first = std::mem::take(&mut self.first);
        if self.tokens.peek() == Some(last) {
            return Ok(false);
        }
        if first {
            return Ok(true);
        }
        if !self.tokens.eat(b',') {
            return Err(self.tokens.failed("expected a comma or the end"));
        }
        if self.tokens.peek() == Some(last) {
            return Err(Error::custom("trailing comma"));
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        if !self.next(b']')? {
            return Ok(None);
        }
        seed.deserialize(Value(self.tokens)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unreadable> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        if self.tokens.peek() != Some(b'"') {
            return Err(self.tokens.failed("a key must be a string"));
        }
        seed.deserialize(Key(self.tokens)).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unreadable> {
        self.tokens.expect(b':')?;
        seed.deserialize(Value(self.tokens))
    }
}

#[cfg(test)]
mod tests;
