//! JSON text, token by token.

use crate::codec::json::scan;
use serde::de::{Error, IgnoredAny, Unexpected, Visitor};
use std::fmt;

/// Deeper nesting is refused, as `serde_json` refuses it.
const DEPTH: u8 = 127;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];

/// Why a text is not the value that it should be. Small, since every step of the way returns it.
#[derive(Debug)]
pub(super) struct Unreadable(Box<str>);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

impl Error for Unreadable {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string().into())
    }
}

impl From<serde_json::Error> for Unreadable {
    /// Without the place, which is one in the token.
    #[cold]
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(message, _)| message);
        Self(message.into())
    }
}

/// A number, or the text of one that is too long or too odd to be read at once: or that is none.
pub(super) enum Number<'de> {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Odd(&'de str),
}

/// A string without an escape, or the text of one that has any, with its quotes.
pub(super) enum Text<'de> {
    Plain(&'de str),
    Odd(&'de str),
}

/// A text, and how far it has been read.
pub(super) struct Tokens<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

impl<'de> Tokens<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Where it stands, for people.
    pub(super) fn place(&self) -> String {
        let read = &self.text.as_bytes()[..self.at];
        let line = 1 + read.iter().filter(|&&byte| byte == b'\n').count();
        let column = read.iter().rev().take_while(|&&byte| byte != b'\n').count();
        format!("line {line} column {column}")
    }

    /// The byte that the next token begins with.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.eat(byte) {
            return Ok(());
        }
        Err(self.failed(&format!("expected `{}`", char::from(byte))))
    }

    #[inline]
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// That nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Unreadable> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.failed("trailing characters")),
        }
    }

    /// `wanted` is not what follows, or there is no more.
    #[cold]
    pub(super) fn failed(&mut self, wanted: &str) -> Unreadable {
        match self.peek() {
            None => Error::custom("the text ends too early"),
            Some(_) => Error::custom(wanted),
        }
    }

    /// Goes into a list or an object, of which the first byte has been seen.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Error::custom(format_args!("it is nested deeper than {DEPTH}")));
        }
        Ok(())
    }

    /// Goes out again, past `last`.
    #[inline]
    pub(super) fn leave(&mut self, last: u8) -> Result<(), Unreadable> {
        self.depth -= 1;
        if self.eat(last) {
            return Ok(());
        }
        Err(self.failed("trailing characters"))
    }

    /// Goes past the quote that has been seen and the rest of the string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'de>, Unreadable> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        if let Some(len) = scan::end_of_string(&bytes[start..])
            && bytes[start + len] == b'"'
        {
            self.at = start + len + 1;
            return Ok(Text::Plain(&self.text[start..start + len]));
        }
        self.odd_string().map(Text::Odd)
    }

    /// As it is written, with its quotes.
    #[cold]
    fn odd_string(&mut self) -> Result<&'de str, Unreadable> {
        let (first, bytes) = (self.at, self.text.as_bytes());
        let mut at = first + 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            at += match scan::end_of_string(rest) {
                None => return Err(Error::custom("a string has no end")),
                Some(len) => len,
            };
            match bytes[at] {
                b'"' => break,
                b'\\' => at += 2,
                _ => return Err(Error::custom("a control character in a string is not escaped")),
            }
        }
        self.at = at + 1;
        Ok(&self.text[first..self.at])
    }

    /// A string as it is written, without its quotes.
    pub(super) fn raw_string(&mut self) -> Result<&'de str, Unreadable> {
        Ok(match self.string()? {
            Text::Plain(text) => text,
            Text::Odd(text) => &text[1..text.len() - 1],
        })
    }

    /// A number whose first byte has been seen.
    #[inline]
    pub(super) fn number(&mut self) -> Number<'de> {
        let rest = &self.text.as_bytes()[self.at..];
        let (negative, text) = match rest {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        match quick_number(negative, text) {
            Some((number, len)) => {
                self.at += usize::from(negative) + len;
                number
            }
            None => self.odd_number(),
        }
    }

    /// As [`number`](Self::number), but any is odd.
    pub(super) fn odd_number(&mut self) -> Number<'de> {
        let start = self.at;
        self.at += number_len(&self.text.as_bytes()[start..]);
        Number::Odd(&self.text[start..self.at])
    }

    /// As [`number`](Self::number), but one with a fraction is odd.
    pub(super) fn integer(&mut self) -> Number<'de> {
        let start = self.at;
        match self.number() {
            Number::Float(_) => Number::Odd(&self.text[start..self.at]),
            other => other,
        }
    }

    /// Goes past any value, however deep. Returns its text.
    pub(super) fn skip(&mut self) -> Result<&'de str, Unreadable> {
        self.peek();
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let len = values.byte_offset();
                self.at += len;
                Ok(&rest[..len])
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(self.failed("expected a value")),
        }
    }

    /// What follows is not what the visitor wants.
    #[cold]
    pub(super) fn unexpected<'v, V: Visitor<'v>>(&mut self, wanted: &V) -> Unreadable {
        let found = match self.peek() {
            _ if self.eat_word("null") => Unexpected::Unit,
            _ if self.eat_word("true") => Unexpected::Bool(true),
            _ if self.eat_word("false") => Unexpected::Bool(false),
            Some(b'[') => Unexpected::Seq,
            Some(b'{') => Unexpected::Map,
            Some(b'"') => match self.raw_string() {
                Ok(text) => Unexpected::Str(text),
                Err(error) => return error,
            },
            Some(b'-' | b'0'..=b'9') => match self.number() {
                Number::Unsigned(value) => Unexpected::Unsigned(value),
                Number::Negative(value) => Unexpected::Signed(value),
                Number::Float(value) => Unexpected::Float(value),
                Number::Odd(_) => Unexpected::Other("a number"),
            },
            _ => return self.failed("expected a value"),
        };
        Error::invalid_type(found, wanted)
    }
}

/// Numbers whose value is certain: integers of 64 bits, and floats that are one exact float divided by another, which rounds once
/// (W. D. Clinger, How to read floating point numbers accurately, 1990). `None` for all else.
#[inline]
fn quick_number(negative: bool, text: &[u8]) -> Option<(Number<'static>, usize)> {
    const EXACT: u64 = 1 << 53;
    let (mut value, whole) = digits(0, text);
    let (mut len, mut places) = (whole, 0);
    if let Some((b'.', fraction)) = text[whole..].split_first() {
        (value, places) = digits(value, fraction);
        len += 1 + places;
        if places == 0 {
            return None;
        }
    }
    let zeros = whole == 0 || (whole > 1 && text[0] == b'0');
    if zeros || whole + places > 19 || matches!(text.get(len), Some(b'e' | b'E')) {
        return None;
    }
    let number = match (places, negative) {
        (0, false) => Number::Unsigned(value),
        (0, true) if value > 0 => Number::Negative(0_i64.checked_sub_unsigned(value)?),
        (0, true) => return None,
        _ if value > EXACT => return None,
        (_, false) => Number::Float(value as f64 / POWERS[places]),
        (_, true) => Number::Float(-(value as f64 / POWERS[places])),
    };
    Some((number, len))
}

/// Appends decimal digits to a value, and says how many there were. With more than 19 in all the value is of no use.
#[inline]
fn digits(mut value: u64, text: &[u8]) -> (u64, usize) {
    let mut len = 0;
    while let Some(eight) = text[len..].first_chunk()
        && let Some(digits) = eight_digits(*eight)
    {
        value = value.wrapping_mul(100_000_000).wrapping_add(digits);
        len += 8;
    }
    while let Some(digit @ b'0'..=b'9') = text.get(len) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        len += 1;
    }
    (value, len)
}

/// Eight decimal digits at once: pairs, then fours, then all.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let text = u64::from_le_bytes(text);
    // A high half of 3, also with 6 added: from `0` to `9`.
    if text & HIGH != ZEROS || text.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let ones = text & !HIGH;
    let pairs = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// How much at the start of a text could be a number.
pub(super) fn number_len(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_are_a_number() {
        for (text, number) in [
            (b"00000000", Some(0)),
            (b"12345678", Some(12_345_678)),
            (b"99999999", Some(99_999_999)),
        ] {
            assert_eq!(eight_digits(*text), number);
        }
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"12345678";
                text[at] = byte;
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let plain = number.filter(|_| byte != b'+');
                assert_eq!(eight_digits(text), plain, "{text:?}");
            }
        }
    }
}
