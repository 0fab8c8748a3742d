//! The body of an event: an array of five.

use super::token::{self, Token};
use crate::codec::{Envelope, Opened, PayloadKind};
use crate::{EventId, Timestamp};
use bytes::{BufMut, BytesMut};
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

pub(super) fn read<'a>(topic: &str, body: &'a [u8]) -> Result<Opened<'a>, &'static str> {
    match read_usual(topic, body) {
        Some(opened) => Ok(opened),
        None => read_any(topic, body),
    }
}

/// An event exactly as [`write`] spells it, about this topic, with data and a UUID: nearly all are. `None` says nothing about any other.
#[inline]
fn read_usual<'a>(topic: &str, body: &'a [u8]) -> Option<Opened<'a>> {
    let rest = match *body {
        [0x95, marker @ 0xa0..=0xbf, ref rest @ ..] if usize::from(marker & 0x1f) == topic.len() => rest,
        [0x95, 0xd9, len, ref rest @ ..] if usize::from(len) == topic.len() => rest,
        _ => return None,
    };
    let rest = rest.strip_prefix(topic.as_bytes())?;
    let (len, rest) = match *rest {
        [0xc4, len, ref rest @ ..] => (usize::from(len), rest),
        [0xc5, a, b, ref rest @ ..] => (usize::from(u16::from_be_bytes([a, b])), rest),
        _ => return None,
    };
    let (data, end) = rest.split_at_checked(len)?;
    let &[kind, 0xc4, 16, ref end @ ..] = end else {
        return None;
    };
    let (id, end) = end.split_first_chunk::<16>()?;
    let &[0xd3, a, b, c, d, e, f, g, h] = end else {
        return None;
    };
    let kind = match kind {
        0 => PayloadKind::Unknown,
        1 => PayloadKind::Value,
        2 => PayloadKind::Bytes,
        _ => return None,
    };
    Some(Opened {
        same_topic: true,
        data: Some(data),
        kind,
        id: Uuid::from_bytes(*id).into(),
        timestamp: Timestamp::from_micros(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
    })
}

fn read_any<'a>(topic: &str, body: &'a [u8]) -> Result<Opened<'a>, &'static str> {
    let mut rest = body;
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
        Token::Bin(data) => Some(data),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventId;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn written(topic: &str, data: Option<&[u8]>, kind: PayloadKind, id: u128, micros: i64) -> Bytes {
        let mut body = BytesMut::new();
        let id = EventId::from(Uuid::from_u128(id));
        let timestamp = Timestamp::from_micros(micros);
        write(
            &Envelope {
                topic,
                data,
                kind,
                id: &id,
                timestamp,
            },
            &mut body,
        );
        body.freeze()
    }

    proptest! {
        #[test]
        fn the_quick_way_reads_what_the_long_way_reads(
            topic in "[a-z.]{1,300}",
            data in proptest::collection::vec(any::<u8>(), 0..70_000),
            id: u128,
            micros: i64,
        ) {
            let body = written(&topic, Some(&data), PayloadKind::Bytes, id, micros);
            let quick = read_usual(&topic, &body);
            prop_assert_eq!(quick.is_some(), topic.len() < 256 && data.len() <= 0xffff);
            let long = read_any(&topic, &body).unwrap();
            if let Some(quick) = quick {
                prop_assert_eq!(quick, long);
            }
        }

        #[test]
        fn neither_way_is_fooled(
            data in proptest::collection::vec(any::<u8>(), 0..40),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut: prop::sample::Index,
        ) {
            let mut body = written("lab.temp", Some(&data), PayloadKind::Value, 7, 8).to_vec();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(cut.index(body.len() + 1));
            let body = Bytes::from(body);
            if let Some(quick) = read_usual("lab.temp", &body) {
                prop_assert_eq!(Ok(quick), read_any("lab.temp", &body));
            }
        }
    }
}
