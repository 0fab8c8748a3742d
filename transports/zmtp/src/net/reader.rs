use super::outlet::Outlet;
use super::session::{End, answer};
use super::stream::ReadHalf;
use crate::chunk::Chunk;
use crate::proto::{Command, Decoder, Item, Rules};
use crate::refuse::refuse;
use bytes::{Bytes, BytesMut};
use distbus_transport::{Batch, Counters, FrameAt, Reject};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// Bytes of a shared buffer. Frames are slices of it; it is used again once they are dropped. As many as a chunk has, so that what a client writes at
/// once is read and passed on at once.
const BUFFER: usize = Chunk::BYTES;
/// The least room for one read.
const READ: usize = 64 << 10;
/// An incomplete message up to this size goes back to the shared buffer for the next read; a longer one is collected in a
/// buffer of its own.
const SMALL: usize = 16 << 10;

/// What all connections of one side read with: a thousand idle peers hold no buffers.
#[derive(Default)]
pub(crate) struct Scratch {
    buffer: BytesMut,
    places: Vec<FrameAt>,
}

impl Scratch {
    /// To be called when the frames of the last batch have probably been dropped: begins at the start of the buffer
    /// again, where the processor's cache still has it.
    pub(crate) fn rewind(&mut self) {
        // A refusal means that frames still live in it; the room behind them is used then.
        let _ = self.buffer.try_reclaim(BUFFER);
    }

    /// Whether the next read would need another buffer: what has been read had better be dealt with first, while the cache has it.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.capacity() - self.buffer.len() < READ + SMALL
    }
}

/// The receiving side of a connection that carries events: many at a read.
pub(crate) struct EventReader {
    read: ReadHalf,
    outlet: Arc<Outlet>,
    decoder: Decoder,
    /// The beginning of a message whose end has not come yet.
    kept: BytesMut,
    /// Why it is over, once what came before that has been returned.
    end: Option<End>,
    /// Something came since this was last cleared.
    pub(crate) heard: bool,
}

impl EventReader {
    /// `rest` is what came after the handshake.
    pub(crate) fn new(read: ReadHalf, outlet: Arc<Outlet>, rules: Rules, rest: BytesMut) -> Self {
        Self {
            read,
            outlet,
            decoder: Decoder::new(rules),
            kept: rest,
            end: None,
            heard: true,
        }
    }

    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Reads once, and appends the events that are complete by then: perhaps none.
    pub(crate) fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        frames: &mut Batch,
        counters: &Counters,
    ) -> Poll<Result<(), End>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        let own = self.kept.len() > SMALL;
        let mut buffer = if own {
            let mut buffer = std::mem::take(&mut self.kept);
            // Twice what came, at most: what a peer announces reserves nothing.
            let missing = self.decoder.wants().saturating_sub(buffer.len());
            buffer.reserve(missing.clamp(READ, buffer.len().max(READ)));
            buffer
        } else {
            let mut buffer = std::mem::take(&mut scratch.buffer);
            if buffer.capacity() - buffer.len() < READ + SMALL {
                buffer.reserve(BUFFER);
            }
            buffer.extend_from_slice(&self.kept);
            self.kept.clear();
            buffer
        };
        match self.read.poll_read(cx, &mut buffer) {
            Poll::Pending => {
                self.keep(buffer, scratch, own);
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::gone(!buffer.is_empty()))),
            Poll::Ready(Ok(_)) => self.heard = true,
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(End::from_io(error, !buffer.is_empty())));
            }
        }
        if own && buffer.len() < self.decoder.wants() {
            self.kept = buffer;
            return Poll::Ready(Ok(()));
        }
        let block = buffer.split().freeze();
        if !own {
            scratch.buffer = buffer;
        }
        let rest = self.plain_events(&block, frames, counters);
        if rest < block.len() {
            self.kept.extend_from_slice(&block[rest..]);
            self.odd_items(scratch, frames, counters);
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing was read: what is in `buffer` is the beginning of a message.
    fn keep(&mut self, mut buffer: BytesMut, scratch: &mut Scratch, own: bool) {
        if own {
            self.kept = buffer;
            return;
        }
        self.kept.extend_from_slice(&buffer);
        buffer.clear();
        scratch.buffer = buffer;
    }

    /// Whole events as any honest peer sends them, in one pass. Returns where something else begins.
    fn plain_events(&self, block: &Bytes, frames: &mut Batch, counters: &Counters) -> usize {
        let (before, mut at) = (frames.len(), 0);
        let events = std::iter::from_fn(|| {
            let (event, len) = self.decoder.plain_event(&block[at..])?;
            let start = at;
            at += len;
            Some(FrameAt {
                topic: start + event.topic.start..start + event.topic.end,
                body: start + event.body.start..start + event.body.end,
                checksum: event.checksum,
            })
        });
        frames.carve(block.clone(), events);
        let received = (frames.len() - before) as u64;
        counters.received.fetch_add(received, Relaxed);
        at
    }

    /// Whatever else is in `kept`: a command, a malformed message, or, most often, half an event.
    fn odd_items(&mut self, scratch: &mut Scratch, frames: &mut Batch, counters: &Counters) {
        let mut kept = std::mem::take(&mut self.kept);
        if let Err(end) = self.decode(&mut kept, &mut scratch.places, counters) {
            self.end = Some(end);
        }
        let block = self.decoder.take(&mut kept);
        self.kept = kept;
        frames.carve(block, scratch.places.drain(..));
    }

    fn decode(
        &mut self,
        buffer: &mut BytesMut,
        places: &mut Vec<FrameAt>,
        counters: &Counters,
    ) -> Result<(), End> {
        let (mut received, mut malformed) = (0, 0);
        let result = loop {
            match self.decoder.next(buffer) {
                Ok(Some(Item::Message(message))) => {
                    received += 1;
                    match message.event(buffer) {
                        Some(event) => places.push(event),
                        None => malformed += 1,
                    }
                }
                Ok(Some(Item::Command(body))) => {
                    if let Err(end) = answer(&self.outlet, Command::parse(&buffer[body])) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(violation) => break Err(End::Violation(violation)),
            }
        };
        counters.received.fetch_add(received, Relaxed);
        refuse(
            counters,
            Reject::Malformed,
            malformed,
            "it is no event of three frames",
        );
        result
    }
}

/// The rules for connections that carry events.
pub(crate) fn event_rules(topic_bytes: usize, event_bytes: usize) -> Rules {
    let event_bytes = event_bytes.min(MAX_EVENT);
    Rules {
        first_bytes: topic_bytes.min(MAX_EVENT),
        frame_bytes: event_bytes,
        message_bytes: topic_bytes.min(MAX_EVENT) + event_bytes.max(4) + 4,
        ..Rules::default()
    }
}

/// Whatever the limits say, no event is larger: lengths in queues take 31 bits.
pub(crate) const MAX_EVENT: usize = 512 << 20;

impl End {
    fn from_io(error: io::Error, truncated: bool) -> Self {
        if truncated {
            Self::gone(true)
        } else {
            Self::Io(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::stream::Stream;
    use crate::proto::put_event;
    use distbus_transport::SlowConsumer;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    async fn pair() -> (EventReader, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (read, write) = Stream::tcp(listener.accept().await.unwrap().0).unwrap().split();
        let policy = SlowConsumer::DropNewest;
        let outlet = Outlet::new(Some(write), Arc::default(), 1 << 20, policy, Arc::default());
        let rules = event_rules(255, 1 << 20);
        let reader = EventReader::new(read, Arc::new(outlet), rules, BytesMut::new());
        (reader, peer)
    }

    #[tokio::test]
    async fn half_an_event_keeps_no_buffer() {
        let (mut reader, mut peer) = pair().await;
        let (mut scratch, mut frames, counters) = (Scratch::default(), Batch::new(), Counters::default());
        let mut wire = Vec::new();
        put_event(&mut wire, b"lab.temp", &[7; 12_000], 0);
        for piece in wire.chunks(500) {
            assert!(frames.is_empty());
            peer.write_all(piece).await.unwrap();
            let reading = poll_fn(|cx| {
                reader
                    .poll_events(cx, &mut scratch, &mut frames, &counters)
                    .map(|read| assert!(read.is_ok()))
            });
            timeout(Duration::from_secs(30), reading)
                .await
                .expect("it was sent");
            let free = scratch.buffer.try_reclaim(BUFFER);
            assert_eq!(free, frames.is_empty(), "a frame alone holds on to the buffer");
        }
        assert_eq!(frames.get(0).unwrap().body(), [7; 12_000]);
    }
}
