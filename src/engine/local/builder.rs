use super::bus::LocalBus;
use super::core::Core;
use crate::engine::payload::DynCodec;
use crate::{Codec, Host, SlowConsumer, SystemHost};
use std::sync::Arc;
use std::time::Duration;

/// How a [`LocalBus`] is made.
///
/// ```
/// use distbus::{LocalBus, SlowConsumer};
/// use std::time::Duration;
///
/// let bus = LocalBus::builder()
///     .queue_events(1_000)
///     .slow_consumer(SlowConsumer::DropOldest)
///     .drain(Duration::from_secs(1))
///     .build();
/// assert!(!bus.is_closed());
/// ```
#[must_use]
pub struct LocalBusBuilder {
    codec: Arc<dyn DynCodec>,
    host: Arc<dyn Host>,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Events waiting in a stream or a bridge.
    pub(crate) queue_events: usize,
    pub(crate) slow_consumer: SlowConsumer,
    /// Detached tasks at once.
    pub(crate) detached: usize,
    /// How long closing waits.
    pub(crate) drain: Duration,
}

impl LocalBusBuilder {
    /// A builder for a bus with this codec. Values are encoded only where they leave the process, and for a handler that wants another
    /// type than the emitted one.
    pub fn with_codec(codec: impl Codec) -> Self {
        Self {
            codec: Arc::new(codec),
            host: Arc::new(SystemHost),
            settings: Settings {
                queue_events: 16_384,
                slow_consumer: SlowConsumer::Block(Duration::from_secs(1)),
                detached: 1024,
                drain: Duration::from_secs(5),
            },
        }
    }

    /// Another codec.
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// Where ids and times come from. Default: the operating system.
    pub fn host(mut self, host: impl Host) -> Self {
        self.host = Arc::new(host);
        self
    }

    /// How many events wait for one stream, or for one bridge, before [`slow_consumer`](Self::slow_consumer) applies. Default 16,384.
    pub fn queue_events(mut self, events: usize) -> Self {
        self.settings.queue_events = events;
        self
    }

    /// What happens when a stream, a bridge, or the set of detached tasks is full. Default: whoever emits waits for up to one second.
    ///
    /// A handler cannot be disconnected: for detached ones, [`SlowConsumer::Disconnect`] and both kinds of dropping drop what is newest.
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.settings.slow_consumer = policy;
        self
    }

    /// How many detached handlers and emissions run at once. Default 1,024, at least 1.
    pub fn detached(mut self, tasks: usize) -> Self {
        self.settings.detached = tasks.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// How long [`LocalBus::close`] waits for handlers and streams. Default 5 s.
    pub fn drain(mut self, time: Duration) -> Self {
        self.settings.drain = time;
        self
    }

    /// The bus.
    pub fn build(self) -> LocalBus {
        LocalBus::from_core(Core::new(self.settings, self.codec, self.host))
    }
}

impl std::fmt::Debug for LocalBusBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("LocalBusBuilder");
        out.field("codec", &self.codec.name())
            .field("settings", &self.settings);
        out.finish_non_exhaustive()
    }
}
