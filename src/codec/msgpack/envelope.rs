//! The body of an event: an array of five.

use super::token::{self, Token};
use crate::codec::{Envelope, Opened, PayloadKind};
use crate::{EventId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// More than all that is neither topic nor payload, unless the id is not a UUID.
const FIXED: usize = 40;

pub(super) fn write(event: &Envelope<'_>, body: &mut BytesMut) {
    body.reserve(FIXED + event.topic.len() + event.data.map_or(0, <[u8]>::len));
    body.put_u8(0x95);
    token::put_str(event.topic, |bytes| body.extend_from_slice(bytes));
    match event.data {
        Some(data) => token::put_bin(data, |bytes| body.extend_from_slice(bytes)),
        None => body.put_u8(0xc0),
    }
    body.put_u8(match (event.kind, event.data) {
        (PayloadKind::Unknown, _) | (_, None) => 0,
        (PayloadKind::Value, _) => 1,
        (PayloadKind::Bytes, _) => 2,
    });
    if let Some(uuid) = event.id.as_uuid() {
        token::put_bin(uuid.as_bytes(), |bytes| body.extend_from_slice(bytes));
    } else if let Some(text) = event.id.as_text() {
        token::put_str(text, |bytes| body.extend_from_slice(bytes));
    }
    body.put_u8(0xd3);
    body.put_i64(event.timestamp.as_micros());
}

pub(super) fn read(topic: &str, body: &Bytes) -> Result<Opened, &'static str> {
    let mut rest = &body[..];
    let mut next = || token::next(&mut rest).ok_or("it ends too early");
    let Token::Array(5) = next()? else {
        return Err("it is not an array of five");
    };
    let Token::Str(written) = next()? else {
        return Err("the topic is not a text");
    };
    let same_topic = written == topic.as_bytes();
    if !same_topic && std::str::from_utf8(written).is_err() {
        return Err("the topic is not UTF-8");
    }
    let data = match next()? {
        Token::Bin(data) => Some(body.slice_ref(data)),
        Token::Nil => None,
        _ => return Err("the payload is neither bin nor nil"),
    };
    let kind = match next()? {
        Token::Int(0) => PayloadKind::Unknown,
        Token::Int(1) => PayloadKind::Value,
        Token::Int(2) => PayloadKind::Bytes,
        _ => return Err("the kind is not 0, 1 or 2"),
    };
    let id = match next()? {
        Token::Bin(id) => Uuid::from_slice(id)
            .map(EventId::from)
            .map_err(|_| "the id is not a UUID")?,
        Token::Str(id) => EventId::from(std::str::from_utf8(id).map_err(|_| "the id is not UTF-8")?),
        _ => return Err("the id is neither a UUID nor a text"),
    };
    let Token::Int(micros) = next()? else {
        return Err("the timestamp is not an integer");
    };
    if !rest.is_empty() {
        return Err("something follows the event");
    }
    Ok(Opened {
        same_topic,
        data,
        kind,
        id,
        timestamp: Timestamp::from_micros(micros),
    })
}
