use super::frame::{COMMAND, put_frame, put_head};
use bytes::BufMut;

/// A command, as far as this crate acts on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The end of the NULL handshake, with metadata.
    Ready(&'a [u8]),
    /// The peer gives up, for this reason.
    Error(&'a [u8]),
    /// Answer with [`put_pong`] and this context.
    Ping(&'a [u8]),
    /// The answer to our PING.
    Pong,
    /// The topics that begin so, from now on.
    Subscribe(&'a [u8]),
    /// No longer the topics that begin so.
    Cancel(&'a [u8]),
    /// Well formed, and nothing to us.
    Unknown,
    /// Not even a name.
    Broken,
}

impl<'a> Command<'a> {
    /// Reads a command without its frame header.
    pub fn parse(body: &'a [u8]) -> Self {
        let Some((name, data)) = body
            .split_first()
            .and_then(|(&len, rest)| rest.split_at_checked(len.into()))
        else {
            return Self::Broken;
        };
        match name {
            b"READY" => Self::Ready(data),
            b"ERROR" => match data.split_first() {
                Some((&len, reason)) => Self::Error(&reason[..reason.len().min(len.into())]),
                None => Self::Error(data),
            },
            // Two bytes of time to live, then a context of up to 16 bytes.
            b"PING" => match data.get(2..) {
                Some(context) => Self::Ping(&context[..context.len().min(16)]),
                None => Self::Broken,
            },
            b"PONG" => Self::Pong,
            b"SUBSCRIBE" => Self::Subscribe(data),
            b"CANCEL" => Self::Cancel(data),
            b"" => Self::Broken,
            _ => Self::Unknown,
        }
    }
}

fn put_command(out: &mut impl BufMut, name: &str, data: &[&[u8]]) {
    let len = 1 + name.len() + data.iter().map(|part| part.len()).sum::<usize>();
    put_head(out, COMMAND, len);
    out.put_u8(name.len() as u8);
    out.put_slice(name.as_bytes());
    for part in data {
        out.put_slice(part);
    }
}

pub(super) fn put_ready(out: &mut impl BufMut, metadata: &[u8]) {
    put_command(out, "READY", &[metadata]);
}

/// Writes ERROR; of a reason above 255 bytes, the first 255.
pub fn put_error(out: &mut impl BufMut, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(255)];
    put_command(out, "ERROR", &[&[reason.len() as u8], reason]);
}

/// Writes PING; the peer may hang up after `ttl` tenths of a second of silence, 0 for never.
pub fn put_ping(out: &mut impl BufMut, ttl: u16, context: &[u8]) {
    put_command(out, "PING", &[&ttl.to_be_bytes(), context]);
}

/// Writes PONG.
pub fn put_pong(out: &mut impl BufMut, context: &[u8]) {
    put_command(out, "PONG", &[context]);
}

/// Writes SUBSCRIBE, or CANCEL, as a command: for peers of version 3.1.
pub fn put_subscribe(out: &mut impl BufMut, on: bool, prefix: &[u8]) {
    put_command(out, if on { "SUBSCRIBE" } else { "CANCEL" }, &[prefix]);
}

/// Writes a subscription, or its end, as a message: for peers of version 3.0.
pub fn put_subscribe_message(out: &mut Vec<u8>, on: bool, prefix: &[u8]) {
    let mut body = Vec::with_capacity(prefix.len() + 1);
    body.push(u8::from(on));
    body.extend_from_slice(prefix);
    put_frame(out, 0, &body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Head;

    fn body(wire: &[u8]) -> &[u8] {
        let head = Head::parse(wire).unwrap().unwrap();
        assert!(head.is_command() && wire.len() == head.header + head.len as usize);
        &wire[head.header..]
    }

    #[test]
    fn commands_come_back() {
        let mut wire = Vec::new();
        put_ping(&mut wire, 300, b"context");
        assert_eq!(Command::parse(body(&wire)), Command::Ping(b"context"));
        wire.clear();
        put_pong(&mut wire, b"context");
        assert_eq!(Command::parse(body(&wire)), Command::Pong);
        wire.clear();
        put_error(&mut wire, "no room");
        assert_eq!(Command::parse(body(&wire)), Command::Error(b"no room"));
        wire.clear();
        put_subscribe(&mut wire, false, b"lab");
        assert_eq!(Command::parse(body(&wire)), Command::Cancel(b"lab"));
    }

    #[test]
    fn what_is_unknown_is_not_broken() {
        assert_eq!(Command::parse(b"\x05HELLOworld"), Command::Unknown);
        for broken in [&b""[..], b"\0", b"\x09READY", b"\x04PING\0"] {
            assert_eq!(Command::parse(broken), Command::Broken);
        }
    }
}
