use crate::gate::{Load, Ticket, guarded};
use bytes::Bytes;
use distbus_transport::{Counters, Frame, FrameRef, Frames, Limits, Reject};
use std::sync::atomic::Ordering::Relaxed;
use zeromq::ZmqMessage;

/// Frames that share one [`Ticket`]: the memory of their checksums is one allocation.
const CHUNK_FRAMES: usize = 256;
/// A chunk ends early when its frames are this large together.
const CHUNK_BYTES: usize = 256 << 10;

/// Splits off the next frames that go together, with what they weigh.
pub(crate) fn next_chunk<'f>(frames: &mut Frames<'f>) -> Option<(Frames<'f>, Load)> {
    if frames.is_empty() {
        return None;
    }
    let mut bytes = 0;
    let fits = |frame: &FrameRef<'_>| {
        bytes += frame.cost();
        bytes <= CHUNK_BYTES
    };
    let count = frames.iter().take(CHUNK_FRAMES).take_while(fits).count().max(1);
    let chunk = frames.slice(..count);
    *frames = frames.slice(count..);
    Some((chunk, Load::of(chunk)))
}

/// The messages of a chunk: topic, body, checksum. The ticket falls with the last of them.
pub(crate) fn messages(chunk: Frames<'_>, ticket: Ticket) -> impl Iterator<Item = ZmqMessage> {
    let sums: Vec<u8> = chunk
        .iter()
        .flat_map(|frame| frame.checksum().to_be_bytes())
        .collect();
    let mut sums = guarded(sums, ticket);
    chunk.iter().filter_map(move |frame| {
        let sum = sums.split_to(size_of::<u32>());
        let frame = frame.to_frame();
        ZmqMessage::try_from(vec![frame.topic().clone(), frame.body().clone(), sum]).ok()
    })
}

/// Reads what peers send, counts what is not an event, and says so once a kind.
pub(crate) struct Reader {
    limits: Limits,
    said: Vec<Reject>,
}

impl Reader {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            said: Vec::new(),
        }
    }

    /// The event in a message, if it is one.
    pub(crate) fn event(&mut self, message: ZmqMessage, counters: &Counters) -> Option<Frame> {
        counters.received.fetch_add(1, Relaxed);
        let frames = message.len();
        let mut parts = message.into_vecdeque().into_iter();
        let (Some(topic), Some(body), Some(sum), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            self.reject(
                counters,
                Reject::Malformed,
                &format_args!("{frames} frames instead of 3"),
            );
            return None;
        };
        let Ok(sum) = <[u8; 4]>::try_from(&sum[..]) else {
            let what = format_args!("a checksum of {} bytes instead of 4", sum.len());
            self.reject(counters, Reject::Malformed, &what);
            return None;
        };
        if topic.len() > self.limits.topic_bytes || body.len() > self.limits.event_bytes {
            let what = format_args!("a topic of {} and a body of {} bytes", topic.len(), body.len());
            self.reject(counters, Reject::TooLarge, &what);
            return None;
        }
        Some(Frame::new(topic, body, u32::from_be_bytes(sum)))
    }

    /// The control message in what is left of a message, if there is exactly one.
    pub(crate) fn control(
        &mut self,
        mut parts: impl ExactSizeIterator<Item = Bytes>,
        counters: &Counters,
    ) -> Option<Bytes> {
        let frames = parts.len();
        let message = parts.next().filter(|_| frames == 1);
        if message.is_none() {
            let what = format_args!("{frames} frames instead of 1");
            self.reject(counters, Reject::Control, &what);
        }
        message
    }

    pub(crate) fn reject(&mut self, counters: &Counters, reason: Reject, what: &dyn std::fmt::Display) {
        counters.rejected.add(reason, 1);
        if self.said.contains(&reason) {
            tracing::debug!(%reason, %what, "refused");
        } else {
            self.said.push(reason);
            tracing::warn!(%reason, %what, "refused what a peer sent; more of this kind are only counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gate;
    use distbus_transport::Batch;

    fn frames(bodies: &[usize]) -> Batch {
        bodies
            .iter()
            .map(|&len| Frame::sealed("topic", vec![7; len]))
            .collect()
    }

    #[test]
    fn chunks_are_bounded_and_complete() {
        for bodies in [vec![1; 1000], vec![300 << 10; 3], vec![100 << 10, 200 << 10, 1]] {
            let frames = frames(&bodies);
            let (mut rest, mut count) = (frames.all(), 0);
            while let Some((chunk, load)) = next_chunk(&mut rest) {
                assert!(chunk.len() <= CHUNK_FRAMES);
                assert!(chunk.len() == 1 || load.bytes <= CHUNK_BYTES as u64);
                count += chunk.len();
            }
            assert_eq!(count, frames.len());
        }
    }

    #[tokio::test]
    async fn what_is_written_reads_back_even_corrupt() {
        let counters = std::sync::Arc::new(Counters::default());
        let gate = Gate::new(1 << 20, counters.clone());
        let sent = Batch::from([Frame::sealed("a", "1"), Frame::new("", "", 0xDEAD_BEEF)]);
        let ticket = gate.admit(Load::of(sent.all())).await;
        let mut reader = Reader::new(Limits::default());
        let read: Vec<_> = messages(sent.all(), ticket)
            .filter_map(|message| reader.event(message, &counters))
            .collect();
        assert_eq!(sent, read[..]);
        assert_eq!(
            (counters.snapshot().received, counters.snapshot().in_flight()),
            (2, 0)
        );
    }

    #[test]
    fn anything_else_is_counted() {
        let counters = Counters::default();
        let mut reader = Reader::new(Limits::default().with_event_bytes(3).with_topic_bytes(3));
        for (parts, reason) in [
            (vec!["t"], Reject::Malformed),
            (vec!["t", "b", "sum4", "x"], Reject::Malformed),
            (vec!["t", "b", "5byte"], Reject::Malformed),
            (vec!["t", "long", "sum4"], Reject::TooLarge),
            (vec!["long", "b", "sum4"], Reject::TooLarge),
        ] {
            let before = counters.rejected.get(reason);
            let parts: Vec<_> = parts.into_iter().map(Bytes::from).collect();
            assert_eq!(
                reader.event(ZmqMessage::try_from(parts).unwrap(), &counters),
                None
            );
            assert_eq!(counters.rejected.get(reason), before + 1);
        }
        assert_eq!(counters.snapshot().received, 5);
    }
}
