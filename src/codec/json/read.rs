//! Reading the body of an event, twice: as it is nearly always spelled, and as JSON may be spelled.
//!
//! [`usual`] takes what we and Python write: the keys in their order, no escape in a string, no white space or one space after
//! each `,` and `:`. It reads left to right in one pass and leaves at the first surprise; [`any`] then starts over and decides. So
//! `usual` may never take what `any` would not, nor read it differently; a test holds one against the other.

use super::{digits, dtype, scan, tail, uuid};
use crate::codec::{Opened, PayloadKind};
use crate::{EventId, Timestamp};
use bytes::BytesMut;
use serde::Deserialize;
use std::borrow::Cow;

/// An event as read, but for its payload, which is in the scratch buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    same_topic: bool,
    has_data: bool,
    kind: PayloadKind,
    id: EventId,
    timestamp: Timestamp,
}

impl Read {
    pub(super) fn opened(self, scratch: &[u8]) -> Opened<'_> {
        Opened {
            same_topic: self.same_topic,
            data: self.has_data.then_some(scratch),
            kind: self.kind,
            id: self.id,
            timestamp: self.timestamp,
        }
    }
}

pub(super) fn usual(topic: &str, body: &[u8], scratch: &mut BytesMut) -> Option<Read> {
    scratch.clear();
    Scan(body).event(topic, scratch)
}

/// What is left of the body.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn event(mut self, topic: &str, scratch: &mut BytesMut) -> Option<Read> {
        self.eat(b"{\"type\":")?;
        let same_topic = {
            let text = self.string()?;
            let same = text == topic.as_bytes();
            (same || std::str::from_utf8(text).is_ok()).then_some(same)?
        };
        self.key(b",", b"\"data\":")?;
        let has_data = self.data(scratch)?;
        let kind = self.kind()?;
        let (id, timestamp) = self.id_and_time()?;
        Some(Read {
            same_topic,
            has_data,
            kind,
            id,
            timestamp,
        })
    }

    /// Whether there is data; it is then in the scratch buffer.
    fn data(&mut self, scratch: &mut BytesMut) -> Option<bool> {
        self.space();
        if self.eat(b"null").is_some() {
            return Some(false);
        }
        self.eat(b"[")?;
        let taken = digits::read(self.0, scratch)?;
        self.0 = self.0.get(taken..)?;
        Some(true)
    }

    /// The key may be missing; then nothing is taken.
    fn kind(&mut self) -> Option<PayloadKind> {
        let before = self.0;
        if self.key(b",", b"\"dtype\":").is_none() {
            self.0 = before;
            return Some(PayloadKind::Unknown);
        }
        self.space();
        if self.eat(b"null").is_some() {
            return Some(PayloadKind::Unknown);
        }
        std::str::from_utf8(self.string()?).ok().map(dtype::kind)
    }

    /// All that is left: at once where it is spelled as we do it, else key by key.
    fn id_and_time(&mut self) -> Option<(EventId, Timestamp)> {
        if let Some((id, timestamp)) = self.0.try_into().ok().and_then(tail::read) {
            return Some((id.into(), timestamp));
        }
        self.key(b",", b"\"id\":")?;
        let id = self.id()?;
        self.key(b",", b"\"timestamp\":")?;
        let timestamp = Timestamp::from_text(self.string()?).ok()?;
        (self.0 == b"}").then_some((id, timestamp))
    }

    fn id(&mut self) -> Option<EventId> {
        self.space();
        if let [b'"', text @ ..] = self.0
            && let Some((text, [b'"', rest @ ..])) = text.split_first_chunk()
            && let Some(uuid) = uuid::read(text)
        {
            self.0 = rest;
            return Some(uuid.into());
        }
        Some(EventId::from(std::str::from_utf8(self.string()?).ok()?))
    }

    #[inline(always)]
    fn eat(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    #[inline(always)]
    fn space(&mut self) {
        if let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    #[inline(always)]
    fn key(&mut self, before: &[u8], key: &[u8]) -> Option<()> {
        self.eat(before)?;
        self.space();
        self.eat(key)
    }

    /// A string without an escape; what it holds need not be UTF-8.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.space();
        let [b'"', text @ ..] = self.0 else { return None };
        let end = scan::end_of_string(text)?;
        let (text, rest) = text.split_at(end);
        let [b'"', rest @ ..] = rest else { return None };
        self.0 = rest;
        Some(text)
    }
}

/// Deeper nesting is refused, in keys that are skipped too.
const DEPTH: usize = 128;

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(rename = "type", borrow)]
    topic: Cow<'a, str>,
    data: Option<Vec<u8>>,
    dtype: Option<String>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
}

pub(super) fn any(topic: &str, body: &[u8], scratch: &mut BytesMut) -> Result<Read, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    // The derived reader would take an array of the five values as well.
    if !text.trim_ascii_start().starts_with('{') {
        return Err("it is not a JSON object".into());
    }
    if nesting(body) > DEPTH {
        return Err(format!("it is nested deeper than {DEPTH}"));
    }
    let event: Written<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let timestamp = Timestamp::from_text(event.timestamp.as_bytes()).map_err(|e| e.to_string())?;
    scratch.clear();
    scratch.extend_from_slice(event.data.as_deref().unwrap_or_default());
    Ok(Read {
        same_topic: event.topic == topic,
        has_data: event.data.is_some(),
        kind: event
            .dtype
            .map_or(PayloadKind::Unknown, |name| dtype::kind(&name)),
        id: EventId::from(&*event.id),
        timestamp,
    })
}

/// The deepest nesting of brackets outside strings.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}
