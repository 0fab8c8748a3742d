//! The server: relays events between clients, and into its own process.

mod builder;
mod forward;
mod relay;
mod stats;

pub use self::builder::BrokerBuilder;
pub use self::forward::{Forward, SinkOptions};
pub use self::stats::BrokerStats;

use self::forward::{Forwards, FrameReader};
use self::relay::Command;
use self::stats::Relayed;
use super::arena::Buffers;
use super::error::Error;
use super::payload::DynCodec;
use super::sink::LocalSink;
use super::topic::IntoPatterns;
use crate::DefaultCodec;
use crate::codec::Codec;
use distbus_transport::{CloseReport, Counters, Endpoint};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OnceCell, SetOnce, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// The server: clients connect to it; it verifies each event, relays it to the clients that subscribed to its topic, and forwards it
/// to sinks in its own process. Cloning shares it.
///
/// A checksum that is wrong, a topic that is not UTF-8 or reserved, an event that is too large: each is counted in
/// [`stats`](Broker::stats) and refused, and nobody else notices.
///
/// Closed with [`close`](Broker::close); when the last clone is dropped, its connections end without a word.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Broker, Memory};
///
/// let broker = Broker::builder().transport(Memory::new()).bind("mem://").await?;
/// println!("clients connect to {}", broker.endpoint());
/// assert_eq!(broker.close().await.undelivered, 0);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "DEventBus")]
pub struct Broker<C: Codec = DefaultCodec> {
    handle: Arc<Handle<C>>,
}

impl<C: Codec> Clone for Broker<C> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

struct Handle<C> {
    codec: C,
    shared_codec: Arc<dyn DynCodec>,
    endpoint: Endpoint,
    forwards: Arc<Forwards>,
    counts: Arc<Relayed>,
    link: Arc<Counters>,
    commands: mpsc::Sender<Command>,
    /// Not a `watch`: that one wakes those who wait in a random order, and a simulation must repeat.
    ended: Arc<SetOnce<Ended>>,
    task: JoinHandle<()>,
    report: OnceCell<CloseReport>,
}

#[derive(Clone, Debug)]
enum Ended {
    Closed,
    Lost(String),
}

/// How a flush ended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// client.emit("lab.temp", &21.5).await?;
/// assert_eq!(broker.flush().await?, distbus::Flushed::Quiet);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// All that had come is delivered, and nothing more came for a short time.
    Quiet,
    /// The time was over: events are still coming, or a sink is still busy.
    Deadline,
}

impl<C: Codec> Broker<C> {
    /// How long [`close`](Broker::close) lets things drain.
    pub const CLOSE_TIME: Duration = Duration::from_secs(5);
    /// How long [`flush`](Broker::flush) waits for quiet.
    pub const FLUSH_TIME: Duration = Duration::from_secs(5);
    /// A broker to which nothing came for so long is quiet.
    const QUIET: Duration = Duration::from_millis(50);

    /// Where clients connect; with the real port, when port 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.handle.endpoint
    }

    /// Gives the events of some topics to a sink in this process: [`ALL`](crate::ALL) for every one. The returned [`Forward`] undoes it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{ALL, Broker, LocalBus, Memory};
    ///
    /// let broker = Broker::builder().transport(Memory::new()).bind("mem://").await?;
    /// let bus = LocalBus::new();
    /// let forward = broker.forward(bus.clone(), ALL)?;
    /// forward.end().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Topic`] for a pattern that is none; [`Error::Closed`].
    pub fn forward(&self, sink: impl LocalSink, patterns: impl IntoPatterns) -> Result<Forward, Error> {
        self.forward_with(sink, patterns, SinkOptions::default())
    }

    /// As [`forward`](Broker::forward), with a queue of your own choice.
    ///
    /// # Errors
    /// As [`forward`](Broker::forward).
    pub fn forward_with(
        &self,
        sink: impl LocalSink,
        patterns: impl IntoPatterns,
        options: SinkOptions,
    ) -> Result<Forward, Error> {
        let handle = &self.handle;
        let reader = FrameReader {
            codec: handle.codec.clone(),
            shared_codec: Arc::clone(&handle.shared_codec),
            endpoint: handle.endpoint.clone(),
            buffers: Buffers::default(),
        };
        let outlet = handle
            .forwards
            .add(sink, patterns.into_patterns()?, options, reader)?;
        Ok(Forward {
            forwards: Arc::clone(&handle.forwards),
            outlet,
        })
    }

    /// Waits until all that has come is with the sinks and in the subscribers' queues and nothing more comes for a short time, at most
    /// [`FLUSH_TIME`](Broker::FLUSH_TIME).
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn flush(&self) -> Result<Flushed, Error> {
        self.flush_within(Self::FLUSH_TIME).await
    }

    /// As [`flush`](Broker::flush), with a time of its own. Returns under steady load, too.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn flush_within(&self, within: Duration) -> Result<Flushed, Error> {
        let deadline = Instant::now() + within;
        match timeout_at(deadline, self.until_quiet()).await {
            Ok(quiet) => quiet.map(|()| Flushed::Quiet),
            Err(_) => Ok(Flushed::Deadline),
        }
    }

    async fn until_quiet(&self) -> Result<(), Error> {
        loop {
            let before = self.handle.counts.received.load(Relaxed);
            let (done, passed) = oneshot::channel();
            self.handle
                .commands
                .send(Command::Barrier(done))
                .await
                .map_err(|_| Error::Closed)?;
            passed.await.map_err(|_| Error::Closed)?;
            self.handle.forwards.idle().await;
            // Quiet is a stretch of time by its nature: this wait is the thing itself.
            sleep(Self::QUIET).await;
            if self.handle.counts.received.load(Relaxed) == before {
                return Ok(());
            }
        }
    }

    /// What it has done so far.
    pub fn stats(&self) -> BrokerStats {
        self.handle
            .counts
            .stats(self.handle.forwards.stats(), self.handle.link.snapshot())
    }

    /// Waits until it has ended: closed, or its transport failed, which this then says.
    ///
    /// # Errors
    /// What the transport said.
    pub async fn closed(&self) -> Result<(), crate::BoxError> {
        match self.handle.ended.wait().await {
            Ended::Lost(why) => Err(why.clone().into()),
            Ended::Closed => Ok(()),
        }
    }

    /// Relays what is still coming in, publishes the close event, hands over what is queued and closes; all within
    /// [`CLOSE_TIME`](Broker::CLOSE_TIME). Reports the copies that were not delivered. Again: the same report.
    pub async fn close(&self) -> CloseReport {
        self.close_within(Self::CLOSE_TIME).await
    }

    /// As [`close`](Broker::close), with a time of its own.
    pub async fn close_within(&self, within: Duration) -> CloseReport {
        let shut_down = || async {
            let (done, report) = oneshot::channel();
            let close = Command::Close {
                deadline: Instant::now() + within,
                done,
            };
            // Either fails only when the task has ended already: then nothing is left to deliver.
            let _ = self.handle.commands.send(close).await;
            report.await.unwrap_or_default()
        };
        *self.handle.report.get_or_init(shut_down).await
    }
}

impl<C> Drop for Handle<C> {
    fn drop(&mut self) {
        // The halves of the link go with the task: that closes its connections.
        self.task.abort();
        self.forwards.close();
    }
}

impl<C: Codec> std::fmt::Debug for Broker<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("endpoint", self.endpoint())
            .finish_non_exhaustive()
    }
}
