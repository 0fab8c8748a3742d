use super::harness::{peer_id, within};
use super::relay::is_probe;
use crate::{Batch, Frame, PeerId, TransportError};
use crate::{ClientInbound, ClientInbox, ClientLink, ClientOutbound, ClientSignal, Counters};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A client as the suite drives it: both halves, and what has been received and not looked at.
pub struct Peer {
    /// Who it is.
    pub id: PeerId,
    /// The half that receives.
    pub inbound: Box<dyn ClientInbound>,
    /// The half that sends.
    pub outbound: Box<dyn ClientOutbound>,
    /// The link's counters.
    pub counters: Arc<Counters>,
    inbox: ClientInbox,
    frames: VecDeque<Frame>,
    controls: VecDeque<Bytes>,
    probe: Bytes,
    probes: u32,
    echo: Option<u32>,
}

impl Peer {
    /// Drives this link.
    pub fn new(name: &str, link: ClientLink) -> Self {
        Self {
            id: peer_id(name),
            inbound: link.inbound,
            outbound: link.outbound,
            counters: link.counters,
            inbox: ClientInbox::default(),
            frames: VecDeque::new(),
            controls: VecDeque::new(),
            probe: Bytes::new(),
            probes: 0,
            echo: None,
        }
    }

    /// Subscribes; effective after [`Peer::ready`].
    pub async fn subscribe(&mut self, prefix: &str) {
        let subscribe = self.outbound.subscribe(Bytes::copy_from_slice(prefix.as_bytes()));
        within(format!("subscribing to {prefix:?}"), subscribe)
            .await
            .unwrap_or_else(|error| panic!("subscribing to {prefix:?}: {error}"));
    }

    /// Unsubscribes; effective after [`Peer::ready`].
    pub async fn unsubscribe(&mut self, prefix: &str) {
        let unsubscribe = self
            .outbound
            .unsubscribe(Bytes::copy_from_slice(prefix.as_bytes()));
        within(format!("unsubscribing from {prefix:?}"), unsubscribe)
            .await
            .unwrap_or_else(|error| panic!("unsubscribing from {prefix:?}: {error}"));
    }

    /// Pushes.
    pub async fn push(&mut self, frames: &[Frame]) {
        within(
            "a push to a broker that reads",
            self.outbound.push(Batch::from(frames).all()),
        )
        .await
        .unwrap_or_else(|error| panic!("pushing: {error}"));
    }

    /// Returns when the broker has every subscription and unsubscription asked for so far, and nothing of this peer is
    /// on its way: subscribes to a topic of its own after them, and pushes there until the relay has sent it back.
    pub async fn ready(&mut self) {
        self.probes += 1;
        self.probe = super::relay::probe_topic(&self.id, self.probes);
        self.echo = None;
        let topic = String::from_utf8_lossy(&self.probe).into_owned();
        self.subscribe(&topic).await;
        within(
            format!("a subscription of {} taking effect", self.id),
            self.probing(),
        )
        .await;
    }

    async fn probing(&mut self) {
        let mut patience = Duration::from_millis(10);
        for sent in 1.. {
            let probe = super::numbered(&String::from_utf8_lossy(&self.probe), sent, 4);
            self.push(&[probe]).await;
            // A probe that was pushed too early is gone for good, so another is sent after a while.
            // Waiting for the last one sent leaves none behind.
            let echoed = async {
                while self.echo != Some(sent) {
                    self.fill()
                        .await
                        .unwrap_or_else(|error| panic!("waiting for an echo: {error}"));
                }
            };
            if timeout(patience, echoed).await.is_ok() {
                return;
            }
            patience = (patience * 2).min(Duration::from_secs(1));
        }
    }

    /// Receives once.
    async fn fill(&mut self) -> Result<(), TransportError> {
        self.inbound.recv(&mut self.inbox).await?;
        assert!(!self.inbox.is_empty(), "recv returned Ok and brought nothing");
        for frame in std::mem::take(&mut self.inbox.frames) {
            if frame.topic() == &self.probe {
                self.echo = Some(super::number(&frame));
            } else if !is_probe(frame.topic()) {
                self.frames.push_back(frame);
            }
        }
        for signal in self.inbox.signals.drain(..) {
            let ClientSignal::Control(message) = signal;
            self.controls.push_back(message);
        }
        Ok(())
    }

    /// The next frame that is no probe.
    ///
    /// # Errors
    /// What `recv` answered.
    pub async fn try_frame(&mut self) -> Result<Frame, TransportError> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next so many frames that are no probes.
    pub async fn frames(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        let receiving = async {
            while frames.len() < count {
                match self.try_frame().await {
                    Ok(frame) => frames.push(frame),
                    Err(error) => panic!("receiving: {error}"),
                }
            }
        };
        if timeout(super::STEP, receiving).await.is_err() {
            panic!(
                "{} received {} frames of {count} within {:?}",
                self.id,
                frames.len(),
                super::STEP
            );
        }
        frames
    }

    /// Expects these [`numbered`](super::numbered) frames next, one after the other.
    pub async fn expect(&mut self, numbers: &[u32], why: &str) {
        for (at, &number) in numbers.iter().enumerate() {
            let next = super::number(&self.frames(1).await[0]);
            assert_eq!(next, number, "{why}: frame {at} of {numbers:?} at {}", self.id);
        }
    }

    /// Whatever else has been sent to it by now.
    pub async fn rest(&mut self) -> Vec<Frame> {
        self.ready().await;
        self.frames.drain(..).collect()
    }

    /// The next control message.
    pub async fn control(&mut self) -> Bytes {
        let step = format!("a control message for {}", self.id);
        let receiving = async {
            loop {
                if let Some(message) = self.controls.pop_front() {
                    return message;
                }
                self.fill()
                    .await
                    .unwrap_or_else(|error| panic!("receiving: {error}"));
            }
        };
        within(step, receiving).await
    }

    /// Receives until the link has ended; what came before that.
    pub async fn until_ended(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let step = format!("the link of {} ending", self.id);
        let receiving = async {
            loop {
                match self.try_frame().await {
                    Ok(frame) => frames.push(frame),
                    Err(error) => return error,
                }
            }
        };
        let error = within(step, receiving).await;
        assert!(error.is_closed(), "the link of {} ended with: {error}", self.id);
        frames
    }
}
