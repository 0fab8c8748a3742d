//! What goes over a connection, the same on both sides, and what both sides limit.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use distbus_transport::{Frame, Limits, TransportError};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{Decoder, Encoder, FramedRead, FramedWrite, LengthDelimitedCodec};

pub(crate) type Reader = FramedRead<OwnedReadHalf, Wire>;
pub(crate) type Writer = FramedWrite<OwnedWriteHalf, Wire>;

/// The first message of a client is a `Control` with its peer id, the first of a broker a `Control`: empty, or the reason of a refusal.
pub(crate) enum Message {
    Frame(Frame),
    Control(Bytes),
    Subscribe(Bytes),
    Unsubscribe(Bytes),
}

/// A message on the wire: a length of four bytes, a byte that says what it is, and the rest.
#[derive(Clone)]
pub(crate) struct Wire(LengthDelimitedCodec);

/// What a frame takes besides topic and body: what it is, its checksum, the length of its topic.
const HEAD: usize = 1 + 4 + 4;

pub(crate) fn split(stream: UnixStream, limits: &Limits) -> (Reader, Writer) {
    // Checked as soon as a length has been read, before anything is reserved for it.
    let longest = HEAD
        .saturating_add(limits.topic_bytes)
        .saturating_add(limits.event_bytes);
    let wire = Wire(
        LengthDelimitedCodec::builder()
            .max_frame_length(longest)
            .new_codec(),
    );
    let (read, write) = stream.into_split();
    (FramedRead::new(read, wire.clone()), FramedWrite::new(write, wire))
}

impl Encoder<Message> for Wire {
    type Error = io::Error;

    fn encode(&mut self, message: Message, out: &mut BytesMut) -> io::Result<()> {
        let (kind, rest) = match message {
            Message::Frame(frame) => {
                let (topic, body) = (frame.topic(), frame.body());
                out.reserve(4 + HEAD + topic.len() + body.len());
                out.put_u32((HEAD + topic.len() + body.len()) as u32);
                out.put_u8(b'f');
                out.put_u32(frame.checksum());
                out.put_u32(topic.len() as u32);
                out.put_slice(topic);
                out.put_slice(body);
                return Ok(());
            }
            Message::Control(message) => (b'c', message),
            Message::Subscribe(prefix) => (b's', prefix),
            Message::Unsubscribe(prefix) => (b'u', prefix),
        };
        out.put_u32(1 + rest.len() as u32);
        out.put_u8(kind);
        out.put_slice(&rest);
        Ok(())
    }
}

impl Decoder for Wire {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Message>> {
        let Some(bytes) = self.0.decode(buffer)? else {
            return Ok(None);
        };
        // The peer may have written anything.
        parse(bytes.freeze())
            .map(Some)
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

/// A frame's parts are slices of what was read: no copy.
fn parse(mut bytes: Bytes) -> Option<Message> {
    Some(match bytes.try_get_u8().ok()? {
        b'f' => {
            let checksum = bytes.try_get_u32().ok()?;
            let topic = bytes.try_get_u32().ok()? as usize;
            let topic = (topic <= bytes.len()).then(|| bytes.split_to(topic))?;
            Message::Frame(Frame::new(topic, bytes, checksum))
        }
        b'c' => Message::Control(bytes),
        b's' => Message::Subscribe(bytes),
        b'u' => Message::Unsubscribe(bytes),
        _ => return None,
    })
}

/// The subscriptions of one client. It keeps them as well as its broker, so that a limit is an error at once, and at home.
#[derive(Default)]
pub(crate) struct Prefixes {
    set: BTreeSet<Bytes>,
    bytes: usize,
}

impl Prefixes {
    /// Whether it is new.
    pub(crate) fn insert(&mut self, prefix: &Bytes, limits: &Limits) -> Result<bool, TransportError> {
        let (size, limit) = (prefix.len(), limits.topic_bytes);
        if size > limit {
            return Err(TransportError::TooLarge {
                what: "a subscription",
                size,
                limit,
            });
        }
        if self.set.contains(prefix) {
            return Ok(false);
        }
        let number = ("subscriptions", self.set.len() + 1, limits.subscriptions);
        let bytes = (
            "bytes of subscriptions",
            self.bytes + size,
            limits.subscription_bytes,
        );
        for (what, size, limit) in [number, bytes] {
            if size > limit {
                return Err(TransportError::LimitReached { what, limit });
            }
        }
        self.bytes += size;
        // A copy: these bytes may be a slice of a large read buffer.
        Ok(self.set.insert(Bytes::copy_from_slice(prefix)))
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, prefix: &Bytes) -> bool {
        let removed = self.set.remove(prefix);
        self.bytes -= if removed { prefix.len() } else { 0 };
        removed
    }

    /// Whether one is a prefix of this topic. With thousands of subscriptions you would want an index.
    pub(crate) fn take(&self, topic: &[u8]) -> bool {
        self.set.iter().any(|prefix| topic.starts_with(prefix))
    }
}
