use crate::engine::topic::PROBE_PREFIX;
use bytes::Bytes;
use distbus_transport::PeerId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Frames that a client sends to itself through the broker, to know that what went before them has passed.
///
/// Each has a topic of its own, `distbus.probe.<client>.<number>.`; the last dot keeps one from being the prefix of another.
/// Flush markers travel under `distbus.probe.<client>.flush.`, to which the client is subscribed as long as it lives.
pub(crate) struct Probes {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<Bytes, oneshot::Sender<()>>>,
}

/// One that is on its way. Dropping it forgets it.
pub(crate) struct Probe<'a> {
    probes: &'a Probes,
    pub(crate) topic: Bytes,
    pub(crate) echo: oneshot::Receiver<()>,
}

impl Probes {
    pub(crate) fn new(peer: &PeerId) -> Self {
        Self {
            prefix: format!("{PROBE_PREFIX}{peer}."),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// What a client stays subscribed to, for its flush markers.
    pub(crate) fn flush_topic(&self) -> Bytes {
        format!("{}flush.", self.prefix).into()
    }

    pub(crate) fn subscription(&self) -> Probe<'_> {
        self.start("")
    }

    pub(crate) fn flush(&self) -> Probe<'_> {
        self.start("flush.")
    }

    fn start(&self, kind: &str) -> Probe<'_> {
        let number = self.next.fetch_add(1, Relaxed);
        let topic = Bytes::from(format!("{}{kind}{number}.", self.prefix));
        let (sender, echo) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic.clone(), sender);
        Probe {
            probes: self,
            topic,
            echo,
        }
    }

    /// One has come back: ours, or another client's, which a wildcard let in.
    pub(crate) fn came(&self, topic: &[u8]) {
        if let Some(sender) = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(topic)
        {
            // Nobody waits any more: its deadline has just passed.
            let _ = sender.send(());
        }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.probes
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.topic);
    }
}
