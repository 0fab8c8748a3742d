use crate::FrameRef;
use bytes::Bytes;
use std::fmt;

/// One event as it travels: a topic, a body, and the body's checksum.
///
/// A transport carries all three verbatim, corrupt ones too, and looks at the topic alone (subscriptions are
/// byte prefixes of it). Cloning copies no bytes.
///
/// The checksum is CRC-32 as in zlib (ISO-HDLC: polynomial 0x04C11DB7, reflected) of the body.
///
/// ```
/// use distbus_transport::Frame;
///
/// let frame = Frame::sealed("lab.temp", "21.5");
/// assert!(frame.is_intact());
/// assert!(!Frame::new("lab.temp", "21.6", frame.checksum()).is_intact());
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Frame {
    topic: Bytes,
    body: Bytes,
    checksum: u32,
}

impl Frame {
    /// A frame with the checksum that came with it, right or wrong.
    pub fn new(topic: impl Into<Bytes>, body: impl Into<Bytes>, checksum: u32) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            checksum,
        }
    }

    /// A frame with the checksum of its body.
    pub fn sealed(topic: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let checksum = crc32fast::hash(&body);
        Self {
            topic: topic.into(),
            body,
            checksum,
        }
    }

    /// The frame, to be looked at as those of a [`Batch`](crate::Batch) are.
    pub fn view(&self) -> FrameRef<'_> {
        FrameRef::of(self)
    }

    pub(crate) fn into_parts(self) -> (Bytes, Bytes, u32) {
        (self.topic, self.body, self.checksum)
    }

    /// The topic: UTF-8 when an honest peer sent it.
    pub fn topic(&self) -> &Bytes {
        &self.topic
    }

    /// The body, as the codec wrote it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The checksum that came with the body.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Whether the checksum is the body's.
    pub fn is_intact(&self) -> bool {
        self.view().is_intact()
    }

    /// The bytes of topic, body and checksum: what queues and limits count.
    pub fn cost(&self) -> usize {
        Self::cost_of(self.topic.len(), self.body.len())
    }

    /// The [`cost`](Self::cost) of a frame whose topic and body have so many bytes.
    pub const fn cost_of(topic: usize, body: usize) -> usize {
        topic + body + size_of::<u32>()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("topic", &self.topic)
            .field("body_bytes", &self.body.len())
            .field("checksum", &format_args!("{:08x}", self.checksum))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_one_of_zlib() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(Frame::sealed("t", "123456789").checksum(), 0xCBF4_3926);
    }

    #[test]
    fn cloning_copies_no_bytes() {
        let frame = Frame::sealed("topic", vec![7; 100]);
        let copy = frame.clone();
        assert_eq!(frame.body().as_ptr(), copy.body().as_ptr());
        assert_eq!(frame.topic().as_ptr(), copy.topic().as_ptr());
    }
}
