use super::decoder::Message;
use super::frame::{MORE, head_len, is_head, put_head};
use bytes::BufMut;
use distbus_transport::FrameAt;
use std::ops::Range;

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
    head_len(topic) + topic + head_len(body) + body + TAIL
}

/// The bytes of the last frame, with its header.
const TAIL: usize = 6;

#[inline]
fn tail(checksum: u32) -> [u8; TAIL] {
    let [a, b, c, d] = checksum.to_be_bytes();
    [0, 4, a, b, c, d]
}

/// Writes an event: three frames.
#[inline]
pub fn put_event(out: &mut impl BufMut, topic: &[u8], body: &[u8], checksum: u32) {
    put_head(out, MORE, topic.len());
    out.put_slice(topic);
    put_head(out, MORE, body.len());
    out.put_slice(body);
    out.put_slice(&tail(checksum));
}

/// Where in `block` the event is that [`put_event`] would write for what lies at `at`, if it is there.
#[inline]
pub fn written_event(block: &[u8], at: &FrameAt) -> Option<Range<usize>> {
    let start = at.topic.start.checked_sub(head_len(at.topic.len()))?;
    let between = at.topic.end..at.body.start;
    let same = is_head(block.get(start..at.topic.start)?, MORE, at.topic.len())
        && is_head(block.get(between)?, MORE, at.body.len())
        && block.get(at.body.end..)?.starts_with(&tail(at.checksum));
    same.then_some(start..at.body.end + TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_found_where_it_was_written() {
        for (topic, body) in [(0, 0), (11, 64), (255, 256), (300, 70_000)] {
            let mut wire = vec![9; 20];
            put_event(&mut wire, &vec![1; topic], &vec![2; body], 7);
            let topic_start = 20 + head_len(topic);
            let body_start = topic_start + topic + head_len(body);
            let at = FrameAt {
                topic: topic_start..topic_start + topic,
                body: body_start..body_start + body,
                checksum: 7,
            };
            assert_eq!(written_event(&wire, &at), Some(20..wire.len()));
            assert_eq!(written_event(&wire[..wire.len() - 1], &at), None);
            let other = FrameAt {
                checksum: 8,
                ..at.clone()
            };
            assert_eq!(written_event(&wire, &other), None);
            let headers = (20..topic_start).chain(topic_start + topic..body_start);
            for odd in headers.chain(wire.len() - 6..wire.len()) {
                let mut wire = wire.clone();
                wire[odd] ^= 1;
                assert_eq!(written_event(&wire, &at), None, "{odd}");
            }
        }
        let apart = FrameAt {
            topic: 5..7,
            body: 2..4,
            checksum: 0,
        };
        assert_eq!(written_event(&[0; 20], &apart), None);
    }

    #[test]
    fn the_length_is_known_before_writing() {
        for (topic, body) in [(0, 0), (11, 64), (255, 256), (256, 255), (300, 70_000)] {
            let mut wire = Vec::new();
            put_event(&mut wire, &vec![1; topic], &vec![2; body], 7);
            assert_eq!(wire.len(), event_len(topic, body));
        }
    }
}
