use super::decoder::Message;
use super::frame::{MORE, put_head};
use bytes::BufMut;
use distbus_transport::FrameAt;

impl Message {
    /// The event that this message is, or `None` if it is not three frames of which the last has four bytes.
    #[inline]
    pub fn event(&self, buffer: &[u8]) -> Option<FrameAt> {
        if self.frames != 3 {
            return None;
        }
        let [topic, body, checksum] = &self.parts;
        let checksum: [u8; 4] = buffer.get(checksum.clone())?.try_into().ok()?;
        Some(FrameAt {
            topic: topic.clone(),
            body: body.clone(),
            checksum: u32::from_be_bytes(checksum),
        })
    }
}

/// How many bytes [`put_event`] writes.
#[inline]
pub fn event_len(topic: usize, body: usize) -> usize {
    let header = |len: usize| if len <= 255 { 2 } else { 9 };
    header(topic) + topic + header(body) + body + 6
}

/// Writes an event: three frames.
#[inline]
pub fn put_event(out: &mut impl BufMut, topic: &[u8], body: &[u8], checksum: u32) {
    put_head(out, MORE, topic.len());
    out.put_slice(topic);
    put_head(out, MORE, body.len());
    out.put_slice(body);
    let [a, b, c, d] = checksum.to_be_bytes();
    out.put_slice(&[0, 4, a, b, c, d]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before_writing() {
        for (topic, body) in [(0, 0), (11, 64), (255, 256), (256, 255), (300, 70_000)] {
            let mut wire = Vec::new();
            put_event(&mut wire, &vec![1; topic], &vec![2; body], 7);
            assert_eq!(wire.len(), event_len(topic, body));
        }
    }
}
