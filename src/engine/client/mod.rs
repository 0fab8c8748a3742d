//! One connection to a broker.

mod builder;
mod core;
mod dispatch;
mod incoming;
mod outbox;
mod probe;
mod reader;
mod stats;
mod table;
mod writer;

pub use self::builder::ClientBuilder;
pub(crate) use self::builder::DefaultTransport;
pub use self::core::ClosedBy;
pub use self::stats::ClientStats;

use self::core::{Core, DETACHED, Status};
use self::incoming::{ClientHandler, OfEvents, typed, typed_sync};
use self::outbox::Draft;
use super::error::Error;
use super::event::Event;
use super::handler::{Outcome, event_handler};
use super::payload;
use super::stream::{EventStream, Subscription};
use super::topic::check_emit;
use crate::codec::{Codec, PayloadKind};
use crate::{DefaultCodec, EventId, Pattern, Timestamp};
use distbus_transport::{CloseReport, Endpoint, TransportError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A connection to a broker: handlers, streams, and events to emit. Cloning shares the connection.
///
/// Handlers of one event run together, and the next event waits for them, unless they are detached. There is one handler a
/// pattern, the newest; streams are as many as you like.
///
/// The connection ends with [`close`](Client::close), with the broker, when no pulse comes for too long, or when the last clone is dropped; a
/// handler that holds a clone keeps it open until `close`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Broker, Client, Memory};
///
/// let network = Memory::new();
/// let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// let client = Client::builder().transport(network).connect("mem://lab").await?;
///
/// let mut temps = client.subscribe::<f64>("lab.temp").await?;
/// client.emit("lab.temp", &21.5).await?;
/// let temp = temps.next().await.expect("the client is open");
/// assert_eq!(*temp, 21.5);
///
/// client.close().await;
/// broker.close().await;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "DEntryPoint")]
pub struct Client<C: Codec = DefaultCodec> {
    handle: Arc<Handle<C>>,
}

impl<C: Codec> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

/// What the last clone takes down with it.
struct Handle<C: Codec> {
    core: Arc<Core<C>>,
    confirm_timeout: Duration,
    tasks: Mutex<Option<Tasks>>,
    report: OnceCell<CloseReport>,
}

struct Tasks {
    reader: JoinHandle<()>,
    dispatcher: JoinHandle<()>,
    writer: JoinHandle<CloseReport>,
    close: oneshot::Sender<Instant>,
}

thread_local! {
    /// Payloads are written here, so that emitting allocates nothing of its own.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer above this size is given back.
const SCRATCH_KEPT: usize = 1 << 20;

impl<C: Codec> Client<C> {
    /// How long [`close`](Client::close) lets things drain.
    pub const CLOSE_TIME: Duration = Duration::from_secs(5);

    const GRACE: Duration = Duration::from_millis(100);

    fn core(&self) -> &Arc<Core<C>> {
        &self.handle.core
    }

    /// The broker's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.core().endpoint
    }

    /// Calls `handler` with the data of each event of a topic, or of each whose topic matches a pattern; returns once the broker really
    /// sends them. Takes the place of an older handler of the same pattern.
    ///
    /// An event without data is a `()` or a `None`; raw bytes are a `Vec<u8>` or a `bytes::Bytes`. An event that is no `T` is counted and logged.
    /// What the handler returns, see [`Outcome`]. Do not wait for `on`, `subscribe` or `flush` inside a handler that is not detached: their answer
    /// may be behind the events that wait for it.
    ///
    /// # Errors
    /// [`Error::Topic`]; [`Error::NotConfirmed`]; [`Error::Closed`]; [`Error::Transport`] at a limit. The older handler is gone then, too.
    pub async fn on<T, F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern, typed(handler), false).await
    }

    /// As [`on`](Client::on), for a handler that has nothing to wait for: it costs no future.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    pub async fn on_sync<T, F, O>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        self.add(pattern, typed_sync(handler), false).await
    }

    /// As [`on`](Client::on), but the next event does not wait for it. At most 1,024 such handlers run at once; then the next waits.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    #[doc(alias = "create_task")]
    pub async fn on_detached<T, F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern, typed(handler), true).await
    }

    /// As [`on`](Client::on), with the whole event: its topic, id and time, and its data undecoded.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    pub async fn on_event<F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern, Arc::new(OfEvents(event_handler(handler))), false)
            .await
    }

    /// As [`on_event`](Client::on_event), detached.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    pub async fn on_event_detached<F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern, Arc::new(OfEvents(event_handler(handler))), true)
            .await
    }

    pub(crate) async fn add(
        &self,
        pattern: &str,
        handler: Arc<dyn ClientHandler<C>>,
        detached: bool,
    ) -> Result<(), Error> {
        let route = Core::route(pattern.parse()?, handler, detached);
        self.core().attach(route, self.handle.confirm_timeout).await
    }

    /// Takes a handler off: no call of it begins once this has returned.
    ///
    /// # Errors
    /// [`Error::NotRegistered`].
    pub async fn off(&self, pattern: &str) -> Result<(), Error> {
        let parsed: Pattern = pattern.parse()?;
        let route = self.core().table().handler(&parsed);
        let removed = route.is_some_and(|route| self.core().detach(&route));
        self.core().settle_calls();
        if removed {
            Ok(())
        } else {
            Err(Error::NotRegistered(pattern.to_owned()))
        }
    }

    /// A stream of the events of a topic, or of all whose topic matches a pattern; returns once the broker really sends them.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    pub async fn subscribe<T>(&self, pattern: &str) -> Result<Subscription<T>, Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        Ok(Subscription::new(self.subscribe_events(pattern).await?))
    }

    /// As [`subscribe`](Client::subscribe), undecoded.
    ///
    /// # Errors
    /// As [`on`](Client::on).
    pub async fn subscribe_events(&self, pattern: &str) -> Result<EventStream, Error> {
        let (route, queue) = self.core().stream_route(pattern.parse()?);
        self.core()
            .attach(Arc::clone(&route), self.handle.confirm_timeout)
            .await?;
        let core: Arc<Core<C>> = Arc::clone(self.core());
        let counters = Arc::clone(&core.counters);
        let end = move || {
            core.detach(&route);
        };
        Ok(EventStream::new(queue, counters, end))
    }

    /// Sends a value to whoever wants the topic. Waits for room when events are emitted faster than the broker takes them; returns when it is queued.
    /// See [`flush`](Client::flush) for more. Cancel-safe: dropped before it returns, nothing was emitted.
    ///
    /// Raw bytes are a `[u8]`, a `Vec<u8>` or, quickest, a `bytes::Bytes`; everything else is written by the codec.
    ///
    /// # Errors
    /// [`Error::Topic`] for a topic that is empty, reserved or a pattern; [`Error::Codec`] for a value that cannot be written;
    /// [`Error::Transport`] for one that is too large; [`Error::Closed`].
    pub async fn emit<T: Serialize + ?Sized>(&self, topic: &str, value: &T) -> Result<EventId, Error> {
        self.emit_value(topic, value, None).await
    }

    /// As [`emit`](Client::emit), under an id of yours. Such events are outside the sequence in which gaps are looked for, unless the id is of a
    /// [`distbus`](crate) publisher.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub async fn emit_with_id<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        value: &T,
        id: impl Into<EventId>,
    ) -> Result<EventId, Error> {
        let identity = Some((id.into(), self.core().host.now()));
        self.emit_value(topic, value, identity).await
    }

    fn emit_value<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        value: &T,
        identity: Option<(EventId, Timestamp)>,
    ) -> impl Future<Output = Result<EventId, Error>> + Send {
        // Written at once: the future holds bytes, and is `Send` whatever `T` is.
        let mut payload = SCRATCH.take();
        payload.clear();
        let kind = self
            .check(topic)
            .and_then(|()| payload::encode(&self.core().codec, value, &mut payload).map_err(Error::from));
        async move {
            let done = match kind {
                Ok(kind) => self.send(topic, Some(&payload), kind, identity).await,
                Err(error) => Err(error),
            };
            if payload.capacity() <= SCRATCH_KEPT {
                SCRATCH.set(payload);
            }
            done
        }
    }

    /// Sends an event without data.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub async fn emit_empty(&self, topic: &str) -> Result<EventId, Error> {
        self.check(topic)?;
        self.send(topic, None, PayloadKind::Unknown, None).await
    }

    /// Passes an event on, with its id and time. It is written anew only when it came in another codec.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub async fn emit_event(&self, event: &Event) -> Result<EventId, Error> {
        self.check(event.topic())?;
        let (data, kind) = event.payload_in(&*self.core().shared_codec)?;
        let identity = Some((event.id().clone(), event.timestamp()));
        self.send(event.topic(), data.as_deref(), kind, identity).await
    }

    fn check(&self, topic: &str) -> Result<(), Error> {
        check_emit(topic)?;
        let limit = self.core().limits.topic_bytes;
        if topic.len() > limit {
            return Err(TransportError::TooLarge {
                what: "topic",
                size: topic.len(),
                limit,
            }
            .into());
        }
        Ok(())
    }

    async fn send(
        &self,
        topic: &str,
        data: Option<&[u8]>,
        kind: PayloadKind,
        identity: Option<(EventId, Timestamp)>,
    ) -> Result<EventId, Error> {
        let core = self.core();
        core.outbox
            .emit(
                Draft {
                    topic,
                    data,
                    kind,
                    identity,
                },
                core.limits.event_bytes,
            )
            .await
    }

    /// A barrier: returns when the broker has relayed all that this client had emitted.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`]; [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.core().flush(self.handle.confirm_timeout).await
    }

    /// As [`flush`](Client::flush), with a time of its own.
    ///
    /// # Errors
    /// As [`flush`](Client::flush).
    pub async fn flush_within(&self, within: Duration) -> Result<(), Error> {
        self.core().flush(within).await
    }

    /// What it has done so far.
    pub fn stats(&self) -> ClientStats {
        let core = self.core();
        core.inbound
            .stats(core.outbox.counts(), &core.counters, &core.link)
    }

    /// Waits until it has ended; by whom.
    pub async fn closed(&self) -> ClosedBy {
        let mut status = self.core().status.subscribe();
        let closed = status
            .wait_for(|status| matches!(status, Status::Closed(_)))
            .await;
        match closed.as_deref() {
            Ok(Status::Closed(by)) => by.clone(),
            _ => ClosedBy::User,
        }
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        matches!(*self.core().status.borrow(), Status::Closed(_))
    }

    /// Refuses new events, sends what is queued, lets handlers finish, and disconnects; all within [`CLOSE_TIME`](Client::CLOSE_TIME). Reports
    /// the events that did not reach the broker. Again: the same report. Not from within a handler, which it would wait for: spawn it there.
    pub async fn close(&self) -> CloseReport {
        self.close_within(Self::CLOSE_TIME).await
    }

    /// As [`close`](Client::close), with a time of its own.
    pub async fn close_within(&self, within: Duration) -> CloseReport {
        *self
            .handle
            .report
            .get_or_init(|| self.shut_down(Instant::now() + within))
            .await
    }

    async fn shut_down(&self, deadline: Instant) -> CloseReport {
        let core = self.core();
        let tasks = self
            .handle
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut tasks) = tasks else {
            return CloseReport::default();
        };
        // The writer has ended already when the client did.
        let _ = tasks.close.send(deadline);
        core.end(ClosedBy::User);
        // A broker that does not read can hold the writer in the middle of a batch: then it is let go, a little after its own deadline.
        let report = match timeout_at(deadline + Self::GRACE, &mut tasks.writer).await {
            Ok(report) => report.unwrap_or_default(),
            Err(_) => {
                tasks.writer.abort();
                CloseReport::undelivered(self.stats().queued)
            }
        };
        let handled = async {
            // Each ends by itself once the link is closed; a panic of theirs would have been logged.
            let _ = (&mut tasks.reader).await;
            let _ = (&mut tasks.dispatcher).await;
            let _ = core.detached.acquire_many(DETACHED as u32).await;
        };
        if timeout_at(deadline, handled).await.is_err() {
            tracing::warn!(endpoint = %core.endpoint, "handlers were still running when the time to close was over");
            tasks.reader.abort();
            tasks.dispatcher.abort();
        }
        for stream in core.table().clear() {
            stream.close();
        }
        report
    }
}

impl<C: Codec> Drop for Handle<C> {
    fn drop(&mut self) {
        self.core.end(ClosedBy::User);
        let tasks = self
            .tasks
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(tasks) = tasks {
            // Their halves of the link go with them: that closes the connection.
            tasks.reader.abort();
            tasks.writer.abort();
            tasks.dispatcher.abort();
        }
        for stream in self.core.table().clear() {
            stream.close();
        }
    }
}

impl<C: Codec> std::fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.core().status.borrow().clone();
        f.debug_struct("Client")
            .field("endpoint", self.endpoint())
            .field("status", &status)
            .finish_non_exhaustive()
    }
}
