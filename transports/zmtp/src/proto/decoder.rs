use super::{Head, LONG, MORE, Violation};
use bytes::{Bytes, BytesMut};
use distbus_transport::FrameAt;
use std::ops::Range;

/// What a peer may send once its handshake is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The longest first frame of a message, in bytes.
    pub first_bytes: usize,
    /// The longest frame after the first, in bytes.
    pub frame_bytes: usize,
    /// The longest message, all frames together without headers, in bytes.
    pub message_bytes: usize,
    /// The most frames of one message.
    pub frames: usize,
    /// The longest command, in bytes.
    pub command_bytes: usize,
    /// The most commands inside one message: none should be there, but libzmq sends heartbeats between any two frames.
    pub embedded: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            first_bytes: 1024,
            frame_bytes: 16 << 20,
            message_bytes: (16 << 20) + 1024 + 4,
            frames: 8,
            command_bytes: 4096,
            embedded: 16,
        }
    }
}

/// A message's place in a buffer. Of a message of more than three frames only the first three are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first three frames, without headers.
    pub parts: [Range<usize>; 3],
    /// How many frames there are.
    pub frames: usize,
}

/// One thing that a peer sent; ranges are places in the buffer that it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message, of any number of frames.
    Message(Message),
    /// A command, without its header.
    Command(Range<usize>),
}

enum Scan {
    /// So many bytes are needed, from where the scan began, to learn more.
    Partial(usize),
    Message(Message, usize),
    Command(Range<usize>, usize),
}

/// Finds messages and commands in a stream of bytes, however it is cut.
///
/// It keeps no bytes: the caller's buffer does. Call [`next`](Self::next) until it returns `None`,
/// then [`take`](Self::take) what was found, or [`discard`](Self::discard) it.
#[derive(Debug)]
pub struct Decoder {
    rules: Rules,
    at: usize,
    embedded: usize,
    wants: usize,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            at: 0,
            embedded: 0,
            wants: 0,
        }
    }

    /// The next thing in `buffer`, or `None` until more bytes come.
    ///
    /// # Errors
    /// A [`Violation`]; the connection is over then.
    #[inline]
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, Violation> {
        match self.scan(&buffer[self.at..])? {
            Scan::Message(mut message, len) => {
                for part in &mut message.parts {
                    part.start += self.at;
                    part.end += self.at;
                }
                self.at += len;
                self.embedded = 0;
                Ok(Some(Item::Message(message)))
            }
            Scan::Partial(wants) => {
                self.wants = wants;
                Ok(None)
            }
            Scan::Command(body, start) => self.command(buffer, body, start).map(Some),
        }
    }

    /// A command inside a message is taken out from between its frames: the frames before it move up, so
    /// that the message is whole afterwards.
    fn command(
        &mut self,
        buffer: &mut BytesMut,
        body: Range<usize>,
        start: usize,
    ) -> Result<Item, Violation> {
        let (from, to) = (self.at + start, self.at + body.end);
        if start == 0 {
            self.at = to;
            return Ok(Item::Command(self.at - body.len()..self.at));
        }
        self.embedded += 1;
        if self.embedded > self.rules.embedded {
            return Err(Violation::Malformed("too many commands inside one message"));
        }
        buffer[self.at..to].rotate_right(to - from);
        self.at += to - from;
        Ok(Item::Command(self.at - body.len()..self.at))
    }

    /// The event at the start of `bytes`, and its length, if it is all there, short of topic, and nothing is odd about it:
    /// what nearly all traffic is, found with a fraction of the work. `None` says nothing; [`next`](Self::next) does.
    #[inline]
    pub fn plain_event(&self, bytes: &[u8]) -> Option<(FrameAt, usize)> {
        let &[MORE, topic, ..] = bytes else {
            return None;
        };
        let topic = usize::from(topic);
        let (start, body) = match *bytes.get(2 + topic..)? {
            [MORE, len, ..] => (topic + 4, usize::from(len)),
            [flags, a, b, c, d, e, f, g, h, ..] if flags == MORE | LONG => {
                let len = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                (topic + 11, usize::try_from(len).ok()?)
            }
            _ => return None,
        };
        let within = topic <= self.rules.first_bytes
            && body <= self.rules.frame_bytes
            && topic + body + 4 <= self.rules.message_bytes;
        let end = start.checked_add(body).filter(|_| within)?;
        let &[0, 4, a, b, c, d, ..] = bytes.get(end..)? else {
            return None;
        };
        let event = FrameAt {
            topic: 2..2 + topic,
            body: start..end,
            checksum: u32::from_be_bytes([a, b, c, d]),
        };
        Some((event, end + 6))
    }

    #[inline]
    fn scan(&self, bytes: &[u8]) -> Result<Scan, Violation> {
        let mut parts = [0..0, 0..0, 0..0];
        let (mut at, mut frames, mut total) = (0usize, 0usize, 0u64);
        loop {
            let Some(head) = Head::parse(&bytes[at..])? else {
                return Ok(Scan::Partial(at + 9));
            };
            let start = at + head.header;
            if head.is_command() {
                self.fits("command", head.len, self.rules.command_bytes)?;
                let end = start + head.len as usize;
                return Ok(if bytes.len() < end {
                    Scan::Partial(end)
                } else {
                    Scan::Command(start..end, at)
                });
            }
            let allowed = if frames == 0 {
                self.rules.first_bytes
            } else {
                self.rules.frame_bytes
            };
            self.fits("frame", head.len, allowed)?;
            total += head.len;
            self.fits("message", total, self.rules.message_bytes)?;
            if frames == self.rules.frames {
                return Err(Violation::TooManyFrames(frames));
            }
            let end = start + head.len as usize;
            if bytes.len() < end {
                return Ok(Scan::Partial(end));
            }
            if let Some(part) = parts.get_mut(frames) {
                *part = start..end;
            }
            frames += 1;
            at = end;
            if !head.more() {
                return Ok(Scan::Message(Message { parts, frames }, at));
            }
        }
    }

    #[inline]
    fn fits(&self, what: &'static str, size: u64, limit: usize) -> Result<(), Violation> {
        if size > limit as u64 {
            return Err(Violation::TooLarge { what, size, limit });
        }
        Ok(())
    }

    /// Splits off what has been decoded; places found so far are places in it.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Bytes {
        buffer.split_to(std::mem::take(&mut self.at)).freeze()
    }

    /// Throws away what has been decoded.
    pub fn discard(&mut self, buffer: &mut BytesMut) {
        bytes::Buf::advance(buffer, std::mem::take(&mut self.at));
    }

    /// After [`next`](Self::next) returned `None`: how many bytes, from the first not decoded, are known to be
    /// needed. Never more than the rules allow.
    pub fn wants(&self) -> usize {
        self.wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{COMMAND, put_frame};

    #[test]
    fn a_command_between_frames_leaves_the_message_whole() {
        let mut wire = BytesMut::new();
        put_frame(&mut wire, MORE, b"first");
        put_frame(&mut wire, COMMAND, b"\x04PING\0\x01ctx");
        put_frame(&mut wire, 0, b"second");
        put_frame(&mut wire, 0, b"third");
        let mut decoder = Decoder::new(Rules::default());
        let Some(Item::Command(body)) = decoder.next(&mut wire).unwrap() else {
            panic!("a command first");
        };
        assert_eq!(&wire[body], b"\x04PING\0\x01ctx");
        let Some(Item::Message(message)) = decoder.next(&mut wire).unwrap() else {
            panic!("then the message");
        };
        assert_eq!(message.frames, 2);
        assert_eq!(&wire[message.parts[0].clone()], b"first");
        assert_eq!(&wire[message.parts[1].clone()], b"second");
        let Some(Item::Message(message)) = decoder.next(&mut wire).unwrap() else {
            panic!("and the next");
        };
        assert_eq!(&wire[message.parts[0].clone()], b"third");
        assert_eq!(decoder.next(&mut wire), Ok(None));
    }

    #[test]
    fn sizes_are_judged_by_the_header_alone() {
        let header = |flags: u8, len: u64| {
            let mut wire = BytesMut::from(&[flags | 2][..]);
            wire.extend_from_slice(&len.to_be_bytes());
            wire
        };
        let next = |mut wire: BytesMut| Decoder::new(Rules::default()).next(&mut wire);
        for len in [64 << 30, 1 << 62, 1 << 63, u64::MAX] {
            for flags in [0, MORE, COMMAND] {
                assert!(next(header(flags, len)).is_err(), "{flags} {len}");
            }
        }
        assert!(next(header(0, 1025)).is_err(), "a first frame is a topic");
        let mut long_body = BytesMut::new();
        put_frame(&mut long_body, MORE, b"topic");
        long_body.extend_from_slice(&header(MORE, (16 << 20) + 1));
        assert!(next(long_body).is_err());
    }

    #[test]
    fn endless_frames_end() {
        let mut wire = BytesMut::new();
        for _ in 0..9 {
            put_frame(&mut wire, MORE, b"");
        }
        assert_eq!(
            Decoder::new(Rules::default()).next(&mut wire),
            Err(Violation::TooManyFrames(8))
        );
    }

    #[test]
    fn endless_commands_inside_a_message_end() {
        let mut wire = BytesMut::new();
        put_frame(&mut wire, MORE, b"");
        for _ in 0..17 {
            put_frame(&mut wire, COMMAND, b"\x04PING\0\0");
        }
        let mut decoder = Decoder::new(Rules::default());
        for _ in 0..16 {
            assert!(matches!(decoder.next(&mut wire), Ok(Some(Item::Command(_)))));
        }
        assert!(decoder.next(&mut wire).is_err());
    }
}
