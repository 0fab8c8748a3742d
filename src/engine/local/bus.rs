use super::builder::LocalBusBuilder;
use super::core::{Core, lock};
use super::delivery::Pending;
use super::entry::EntryPoint;
use super::source::{Empty, Source, Typed};
use crate::engine::error::{BoxError, Error};
use crate::engine::event::{Event, Value};
use crate::engine::sink::LocalSink;
use crate::{Codec, EventId, Reject, Snapshot};
use async_trait::async_trait;
use serde::Serialize;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

/// An in-process bus: typed, no serialization. Cloning gives another handle to the same bus.
///
/// Participants are [`EntryPoint`]s. A handler of the emitted type is handed a reference to the very value, or an `Arc` of it; one of another
/// type gets it through the bus's codec. An event, with its id and time, is made only when a handler, a stream or a bridge wants one.
///
/// Emitting waits for all handlers, which run concurrently. One that fails or panics is counted and logged, and nobody else feels it. No
/// lock is held while handlers run: they may emit, to their own topic too, and register.
///
/// Synchronous handlers need no runtime. Emit within Tokio where there are streams, bridges or detached handlers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::LocalBus;
/// use serde::{Deserialize, Serialize};
/// use std::sync::Arc;
///
/// #[derive(Serialize, Deserialize)]
/// struct Temperature {
///     celsius: f64,
/// }
///
/// let bus = LocalBus::new();
/// let lab = bus.entry("lab");
/// lab.on("lab.temp", |t: Arc<Temperature>| async move { println!("{} °C", t.celsius) })?;
/// bus.entry("guard").on_sync("lab.temp", |t: &Temperature| assert!(t.celsius > -273.15))?;
/// bus.emit("lab.temp", Temperature { celsius: 21.5 }).await?;
/// assert_eq!(bus.stats().delivered, 2);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "EventBus")]
#[derive(Clone)]
pub struct LocalBus(Arc<Core>);

impl LocalBus {
    /// A bus with this codec, and everything else as [`LocalBusBuilder`] has it by default.
    pub fn with_codec(codec: impl Codec) -> Self {
        LocalBusBuilder::with_codec(codec).build()
    }

    pub(crate) fn from_core(core: Arc<Core>) -> Self {
        Self(core)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    /// A new participant; the name is for logs. Two with the same name are two.
    ///
    /// ```
    /// use distbus::LocalBus;
    ///
    /// assert_eq!(LocalBus::new().entry("lab").name(), "lab");
    /// ```
    pub fn entry(&self, name: &str) -> EntryPoint {
        EntryPoint::new(self.clone(), name)
    }

    /// Emits a value, and waits until every handler has had it. The future of a dropped call drops the handlers that have not finished;
    /// they count as failed.
    ///
    /// # Errors
    /// [`Error::Topic`] for a topic that cannot be emitted to; [`Error::Closed`]. What handlers do is no error of the emitter's.
    // Not an `async fn`: that would hand its result on through its own state, and copying the room for an `Error` takes longer than the rest.
    pub fn emit<T>(&self, topic: &str, value: T) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        let (mut value, mut rest) = (Some(value), None);
        poll_fn(move |cx| {
            if let Some(value) = value.take() {
                if self.0.dispatch_ref(topic, &value) {
                    return Poll::Ready(Ok(()));
                }
                match self.send(topic, Typed::new(value, Value::new)) {
                    Ok(Pending::None) => return Poll::Ready(Ok(())),
                    Ok(pending) => rest = Some(Box::pin(self.0.run(pending))),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            match &mut rest {
                Some(rest) => rest.as_mut().poll(cx),
                // Polled after it was ready.
                None => Poll::Pending,
            }
        })
    }

    /// As [`emit`](Self::emit), for a value that is shared already.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_shared<T>(&self, topic: &str, value: Arc<T>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let pending = self.send(topic, Typed::shared(value, Value::new))?;
        self.finish(pending).await
    }

    /// Emits a value and does not wait for asynchronous handlers. Those that are synchronous are done when this returns.
    ///
    /// It waits only while too many detached tasks run: see [`LocalBusBuilder::detached`].
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    #[doc(alias = "block")]
    pub async fn emit_detached<T>(&self, topic: &str, value: T) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let pending = self.send(topic, Typed::new(value, Value::new))?;
        self.finish(self.0.detach(pending)).await
    }

    /// Emits a value that stays in this process. Handlers of another type, and bridges, cannot have it: that is counted and logged.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::LocalBus;
    ///
    /// struct Handle(std::sync::mpsc::SyncSender<u32>);
    ///
    /// let bus = LocalBus::new();
    /// bus.entry("lab").on_local_sync("lab.handle", |handle: &Handle| handle.0.send(7))?;
    /// let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    /// bus.emit_local("lab.handle", Handle(sender)).await?;
    /// assert_eq!(receiver.recv(), Ok(7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_local<T>(&self, topic: &str, value: T) -> Result<(), Error>
    where
        T: Send + Sync + 'static,
    {
        let pending = self.send(topic, Typed::new(value, Value::local))?;
        self.finish(pending).await
    }

    /// Emits an event without data: handlers get a `()`, or a `None`.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_empty(&self, topic: &str) -> Result<(), Error> {
        let pending = self.send(topic, Empty::default())?;
        self.finish(pending).await
    }

    /// As [`emit`](Self::emit), under an id of your own. A bridge lets each id cross once.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_with_id<T>(&self, topic: &str, value: T, id: impl Into<EventId>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let pending = self.send(topic, Typed::new(value, Value::new).with_id(id.into()))?;
        self.finish(pending).await
    }

    /// Emits an event that exists, with its id, its time and where it came from.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_event(&self, event: &Event) -> Result<(), Error> {
        let pending = self.send(event.topic(), event)?;
        self.finish(pending).await
    }

    /// What was offered to handlers, streams and bridges, delivered, dropped and refused, so far:
    /// `offered = delivered + dropped + in flight` whenever nothing moves.
    ///
    /// `received` and `rejected` count events from brokers; `clients` are the bridges there are now.
    pub fn stats(&self) -> Snapshot {
        self.0.ledger.snapshot()
    }

    fn send(&self, topic: &str, mut source: impl Source) -> Result<Pending, Error> {
        self.0.dispatch(topic, &mut source)
    }

    /// Waits for what is left. Boxed, so that an emission is a small future: most have nothing to wait for, and each is moved about.
    fn finish(&self, pending: Pending) -> impl Future<Output = Result<(), Error>> + Send {
        let rest = match pending {
            Pending::None => None,
            pending => Some(Box::pin(self.0.run(pending))),
        };
        async move {
            match rest {
                Some(rest) => rest.await,
                None => Ok(()),
            }
        }
    }

    /// Takes an event from outside, unless it has crossed the border before.
    pub(crate) async fn enter(&self, event: &Event) -> Result<(), Error> {
        let counters = &self.0.ledger.counters;
        counters.received.fetch_add(1, Relaxed);
        if !lock(&self.0.border).enter(event.id()) {
            counters.rejected.add(Reject::Loop, 1);
            return Ok(());
        }
        match self.emit_event(event).await {
            Err(Error::Topic(error)) => {
                counters.rejected.add(Reject::Reserved, 1);
                tracing::warn!(topic = event.topic(), %error, "an event from a broker was refused");
                Ok(())
            }
            other => other,
        }
    }
}

/// A broker forwards events into the bus. One that has been here before, or left from here, is refused and counted.
#[async_trait]
impl LocalSink for LocalBus {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        for event in events {
            self.enter(event).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalBus")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
