use super::forward::Forwards;
use super::stats::Relayed;
use crate::codec::Codec;
use crate::engine::arena::Buffers;
use crate::engine::host::Host;
use crate::engine::rejects::reject;
use crate::engine::signal::signal;
use crate::engine::topic::{CLOSE, HANDSHAKE, HELLO, PULSE, RESERVED_PREFIX, is_probe};
use bytes::Bytes;
use distbus_transport::{
    Batch, BrokerInbound, BrokerInbox, BrokerOutbound, BrokerSignal, CloseReport, FrameRef, Limits, Reject,
    TransportError,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// What a broker's handles ask of its task.
pub(crate) enum Command {
    /// Answered once all that was received before is with the sinks and in the subscribers' queues.
    Barrier(oneshot::Sender<()>),
    Close {
        deadline: Instant,
        done: oneshot::Sender<CloseReport>,
    },
}

/// The one task of a broker: receives batches, verifies them, gives what is good to subscribers and sinks, and pulses.
/// When it ends, the pulses end with it.
pub(crate) struct Relay<C> {
    pub(crate) codec: C,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) limits: Limits,
    pub(crate) strict: bool,
    pub(crate) pulse: Duration,
    pub(crate) inbound: Box<dyn BrokerInbound>,
    pub(crate) outbound: Box<dyn BrokerOutbound>,
    pub(crate) forwards: Arc<Forwards>,
    pub(crate) counts: Arc<Relayed>,
    pub(crate) buffers: Buffers,
    /// The last topic that may be relayed: the next event is often of the same.
    pub(crate) last_topic: LastTopic,
}

/// A topic that was found good.
#[derive(Default)]
pub(crate) struct LastTopic {
    topic: Vec<u8>,
    is_probe: bool,
}

/// When closing, nothing new for this long means that all is in.
const QUIET: Duration = Duration::from_millis(20);

impl<C: Codec> Relay<C> {
    /// Until it is closed. `Err` when the transport ended first.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), TransportError> {
        let mut inbox = BrokerInbox::default();
        let mut pulses = interval(self.pulse);
        pulses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            inbox.clear();
            // Biased: commands and pulses are few, and must not wait for a lull.
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Barrier(done)) => drop(done.send(())),
                    Some(Command::Close { deadline, done }) => {
                        // Nobody waits for the report any more: it was only information.
                        let _ = done.send(self.close(deadline).await);
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                _ = pulses.tick() => {
                    self.announce(PULSE).await?;
                    self.counts.pulses.fetch_add(1, Relaxed);
                }
                received = self.inbound.recv(&mut inbox) => {
                    let relayed = self.take(&mut inbox).await;
                    received.and(relayed)?;
                }
            }
        }
    }

    /// Relays one batch.
    async fn take(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        for signal in inbox.signals.drain(..) {
            self.answer(signal).await;
        }
        let frames = &mut inbox.frames;
        if frames.is_empty() {
            return Ok(());
        }
        self.counts.received.fetch_add(frames.len() as u64, Relaxed);
        let (codec, limits, last) = (&self.codec, &self.limits, &mut self.last_topic);
        let mut probes = 0;
        frames.retain(|frame| match Self::fault(codec, limits, last, frame) {
            None => {
                probes += u64::from(last.is_probe);
                true
            }
            Some(reason) => {
                reject(&self.counts.rejected, reason, frame.topic());
                false
            }
        });
        if self.strict {
            self.keep_readable(frames);
            probes = frames.iter().filter(|frame| is_probe(frame.topic())).count() as u64;
        }
        self.outbound.publish(frames.all()).await?;
        self.counts.probes.fetch_add(probes, Relaxed);
        self.counts
            .relayed
            .fetch_add(frames.len() as u64 - probes, Relaxed);
        self.forwards.offer(frames.all()).await;
        Ok(())
    }

    /// Why a frame must not be relayed. A topic that has just been looked at is not looked at again.
    fn fault(codec: &C, limits: &Limits, last: &mut LastTopic, frame: FrameRef<'_>) -> Option<Reject> {
        let (topic, body) = (frame.topic(), frame.body());
        if !frame.is_intact() {
            return Some(Reject::Checksum);
        }
        if *topic != last.topic[..] {
            if std::str::from_utf8(topic).is_err() {
                return Some(Reject::NotUtf8);
            } else if topic.starts_with(RESERVED_PREFIX.as_bytes()) {
                return Some(Reject::Reserved);
            } else if topic.len() > limits.topic_bytes {
                return Some(Reject::TooLarge);
            }
            last.topic.clear();
            last.topic.extend_from_slice(topic);
            last.is_probe = is_probe(topic);
        }
        if body.len() > limits.event_bytes {
            Some(Reject::TooLarge)
        } else if !codec.admits(body) {
            Some(Reject::Undecodable)
        } else {
            None
        }
    }

    /// Strict: each event must be one in this broker's codec, and name the topic it comes under.
    fn keep_readable(&mut self, frames: &mut Batch) {
        let Self {
            codec,
            buffers,
            counts,
            ..
        } = self;
        frames.retain(|frame| {
            let topic = std::str::from_utf8(frame.topic()).unwrap_or_default();
            // Probes name another topic on purpose.
            let probe = is_probe(frame.topic());
            let opened = codec.read_event(topic, frame.body(), buffers.get().0);
            let good = opened.is_ok_and(|opened| opened.same_topic || probe);
            if !good {
                reject(&counts.rejected, Reject::Undecodable, frame.topic());
            }
            good
        });
    }

    async fn answer(&mut self, signal: BrokerSignal) {
        match signal {
            BrokerSignal::Control { peer, message } if message == HELLO => {
                self.counts.handshakes.fetch_add(1, Relaxed);
                let answer = Bytes::from_static(HANDSHAKE.as_bytes());
                if let Err(error) = self.outbound.reply(&peer, answer).await {
                    tracing::debug!(%peer, %error, "a client left before its handshake");
                }
            }
            BrokerSignal::Control { peer, message } => {
                let count = self.counts.rejected.add(Reject::Control, 1);
                if count.is_power_of_two() {
                    tracing::warn!(%peer, bytes = message.len(), count, "a control message that means nothing was ignored");
                }
            }
            other => tracing::debug!(?other, "presence"),
        }
    }

    /// Publishes an event of the broker's own, without data.
    async fn announce(&mut self, topic: &'static str) -> Result<(), TransportError> {
        let under = Bytes::from_static(topic.as_bytes());
        let frame = Batch::from(signal(&self.codec, &*self.host, under, topic));
        self.outbound.publish(frame.all()).await?;
        self.forwards.offer(frame.all()).await;
        Ok(())
    }

    /// Relays what is still coming in, announces the end, drains, closes.
    async fn close(mut self, deadline: Instant) -> CloseReport {
        let mut inbox = BrokerInbox::default();
        // Leaves half of the time for what is queued, should somebody never stop sending.
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        loop {
            inbox.clear();
            let quiet = (Instant::now() + QUIET).min(half);
            match timeout_at(quiet, self.inbound.recv(&mut inbox)).await {
                Ok(Ok(())) if Instant::now() < half => {
                    if self.take(&mut inbox).await.is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        if let Err(error) = self.announce(CLOSE).await {
            tracing::warn!(%error, "clients could not be told that the broker closes");
        }
        let waiting = timeout_at(deadline, self.forwards.idle()).await;
        if waiting.is_err() {
            tracing::warn!("a sink was still busy when the time to close was over");
        }
        let abandoned = self.forwards.close();
        let report = self.outbound.close(deadline).await;
        CloseReport::undelivered(report.undelivered + abandoned)
    }
}
