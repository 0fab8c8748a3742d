use super::incoming::ClientHandler;
use super::outbox::{Order, Outbox};
use super::probe::Probes;
use super::stats::Inbound;
use super::table::{Route, Table, To};
use crate::Pattern;
use crate::codec::Codec;
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::host::Host;
use crate::engine::payload::DynCodec;
use crate::engine::queue::Queue;
use crate::engine::signal::signal;
use crate::engine::topic::{CLOSE, PULSE};
use bytes::Bytes;
use distbus_transport::{Counters, Endpoint, Frame, Limits, PeerId, SlowConsumer, TransportError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SetOnce, oneshot};
use tokio::time::{Instant, timeout_at};

/// What the tasks of one client share, and what its handles reach.
pub(crate) struct Core<C> {
    pub(crate) codec: C,
    pub(crate) shared_codec: Arc<dyn DynCodec>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) outbox: Outbox<C>,
    pub(crate) probes: Probes,
    table: Mutex<Table<C>>,
    /// Counts the changes of the table: the dispatcher remembers look-ups until it moves.
    pub(crate) generation: AtomicU64,
    /// Held while handlers are called, not while they run: whoever has removed a route and then takes it knows that
    /// no call of that route begins any more.
    pub(crate) calling: Mutex<()>,
    pub(crate) inbound: Inbound,
    /// What handlers and streams got.
    pub(crate) counters: Arc<Counters>,
    pub(crate) link: Arc<Counters>,
    /// Whether it has been connected.
    pub(crate) open: AtomicBool,
    /// Who ended it. Not a `watch`: that one wakes those who wait in a random order, and a simulation must repeat.
    pub(crate) closed: Arc<SetOnce<ClosedBy>>,
    /// Each detached handler holds a permit while it runs.
    pub(crate) detached: Arc<Semaphore>,
}

/// Who ended a client, as [`Client::closed`](crate::Client::closed) says.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// broker.close().await;
/// assert_eq!(client.closed().await, distbus::ClosedBy::Broker);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// `close()` was called here, or the last handle was dropped.
    User,
    /// The broker announced that it closes.
    Broker,
    /// No pulse came for too long.
    Disrupted,
    /// The connection ended; in words, why.
    Lost(String),
}

/// Waits until `close` was called here, before anything else ended the client.
pub(crate) async fn ended_by_user(closed: &SetOnce<ClosedBy>) {
    if *closed.wait().await != ClosedBy::User {
        std::future::pending::<()>().await;
    }
}

/// How long a probe waits for its echo before it is sent again: a broker may not yet have had the subscription that lets it back.
const RESEND: Duration = Duration::from_millis(50);
/// Events that a stream holds for a reader who is busy.
const STREAM_CAPACITY: usize = 16_384;
const STREAM_POLICY: SlowConsumer = SlowConsumer::Block(Duration::from_secs(1));
/// Detached handlers that run at once; the next one waits.
pub(crate) const DETACHED: usize = 1024;

impl<C: Codec> Core<C> {
    pub(crate) fn new(
        codec: C,
        host: Arc<dyn Host>,
        endpoint: Endpoint,
        limits: Limits,
        peer: &PeerId,
        link: Arc<Counters>,
    ) -> Arc<Self> {
        let probes = Probes::new(peer);
        let own = [
            Bytes::from_static(PULSE.as_bytes()),
            Bytes::from_static(CLOSE.as_bytes()),
            probes.flush_topic(),
        ];
        Arc::new(Self {
            shared_codec: Arc::new(codec.clone()),
            outbox: Outbox::new(codec.clone(), Arc::clone(&host), limits.event_bytes),
            codec,
            host,
            endpoint,
            limits,
            probes,
            table: Mutex::new(Table::new(&own)),
            generation: AtomicU64::new(0),
            calling: Mutex::new(()),
            inbound: Inbound::default(),
            counters: Arc::default(),
            link,
            open: AtomicBool::new(false),
            closed: Arc::default(),
            detached: Arc::new(Semaphore::new(DETACHED)),
        })
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table<C>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to what the client itself lives on, and sees that it is live.
    pub(crate) async fn subscribe_own(&self, deadline: Instant) -> Result<(), Error> {
        for prefix in [
            Bytes::from_static(PULSE.as_bytes()),
            CLOSE.as_bytes().into(),
            self.probes.flush_topic(),
        ] {
            self.order_subscription(prefix)?;
        }
        self.confirm("the connection", deadline).await
    }

    fn order_subscription(
        &self,
        prefix: Bytes,
    ) -> Result<oneshot::Receiver<Result<(), TransportError>>, Error> {
        let (sender, done) = oneshot::channel();
        self.outbox.order(Order::Subscribe(prefix, sender))?;
        Ok(done)
    }

    /// Adds a receiver, and returns once the broker really sends what it is for.
    pub(crate) async fn attach(&self, route: Arc<Route<C>>, within: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        let what = if matches!(route.to, To::Stream(_)) {
            "the stream's subscription"
        } else {
            "the handler's subscription"
        };
        let (ordered, replaced) = {
            // The order goes out under the lock: another `on` of the same prefix must find it ahead of its own probe.
            let mut table = self.table();
            let (prefix, replaced) = table.add(Arc::clone(&route));
            self.generation.fetch_add(1, Relaxed);
            let ordered = prefix.map(|prefix| self.order_subscription(prefix)).transpose();
            (ordered, replaced)
        };
        drop(replaced);
        let live = async {
            if let Some(done) = ordered? {
                done.await.map_err(|_| Error::Closed)??;
            }
            self.confirm(what, deadline).await
        };
        let undo = Undo {
            core: self,
            route: Some(&route),
        };
        live.await?;
        undo.keep();
        Ok(())
    }

    /// Removes a receiver; `false` when it was not there. A call of it may just be beginning: see [`Core::settle_calls`].
    pub(crate) fn detach(&self, route: &Arc<Route<C>>) -> bool {
        let mut table = self.table();
        let removed = table.remove(route);
        self.generation.fetch_add(1, Relaxed);
        if let Some(Some(prefix)) = &removed {
            // A closed outbox means that there is no subscription left to end.
            let _ = self.outbox.order(Order::Unsubscribe(prefix.clone()));
        }
        removed.is_some()
    }

    /// Returns when the calls that had begun are made: none of a route that was removed before begins after it. Never from within a
    /// synchronous handler, which is such a call.
    pub(crate) fn settle_calls(&self) {
        drop(self.calling.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes all routes out and ends the streams, in the order in which they came, and drops what handlers hold.
    pub(crate) fn clear(&self) {
        // Not in the head of the loop, which would hold the lock through it: handlers may hold subscriptions of this client.
        let routes = self.table().clear();
        for route in routes.into_values() {
            if let To::Stream(queue) = &route.to {
                queue.close();
            }
        }
    }

    pub(crate) fn route(
        &self,
        pattern: Pattern,
        handler: Arc<dyn ClientHandler<C>>,
        detached: bool,
    ) -> Arc<Route<C>> {
        let number = self.table().number();
        Arc::new(Route {
            number,
            pattern,
            to: To::Handler { handler, detached },
        })
    }

    pub(crate) fn stream_route(&self, pattern: Pattern) -> (Arc<Route<C>>, Arc<Queue<Event>>) {
        let queue = Queue::new(STREAM_CAPACITY, STREAM_POLICY, Arc::clone(&self.counters));
        let number = self.table().number();
        (
            Arc::new(Route {
                number,
                pattern,
                to: To::Stream(Arc::clone(&queue)),
            }),
            queue,
        )
    }

    /// Subscribes to a topic of its own and sends a probe there until it comes back: what was subscribed before is live then.
    async fn confirm(&self, what: &'static str, deadline: Instant) -> Result<(), Error> {
        let mut probe = self.probes.subscription();
        let topic = probe.topic.clone();
        self.order_subscription(topic.clone())?;
        let echoed = self
            .send_until_echo(&mut probe.echo, &topic, what, deadline)
            .await;
        // It fails only when the client has closed, and the subscription with it.
        let _ = self.outbox.order(Order::Unsubscribe(topic));
        echoed
    }

    /// A barrier: the broker has relayed all that was emitted before.
    pub(crate) async fn flush(&self, within: Duration) -> Result<(), Error> {
        let mut marker = self.probes.flush();
        let topic = marker.topic.clone();
        self.send_until_echo(&mut marker.echo, &topic, "the flush", Instant::now() + within)
            .await
    }

    async fn send_until_echo(
        &self,
        echo: &mut oneshot::Receiver<()>,
        topic: &Bytes,
        what: &'static str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let probe = self.probe_frame(topic);
        let (size, limit) = (probe.body().len(), self.limits.event_bytes);
        if size > limit {
            // Of no use to try: this client's own probes are above its limit.
            return Err(TransportError::TooLarge {
                what: "probe",
                size,
                limit,
            }
            .into());
        }
        loop {
            self.outbox.probe(&probe)?;
            let retry = (Instant::now() + RESEND).min(deadline);
            tokio::select! {
                biased;
                came = timeout_at(retry, &mut *echo) => match came {
                    Ok(came) => return came.map_err(|_| Error::Closed),
                    Err(_) if retry == deadline => return Err(Error::NotConfirmed { what, waited: start.elapsed() }),
                    Err(_) => {}
                },
                _ = self.closed.wait() => return Err(Error::Closed),
            }
        }
    }

    /// Its body is a pulse's: in-process buses behind a peer's broker, which go by the body, pass it by. A peer that goes by the frame
    /// and has asked for everything sees one more event without data.
    fn probe_frame(&self, topic: &Bytes) -> Frame {
        signal(&self.codec, &*self.host, topic.clone(), PULSE)
    }

    /// Ends the client, once: the first who says why is believed. From here on `emit` is refused, the reader stops, and the writer sends
    /// what is queued and closes the link.
    pub(crate) fn end(&self, by: ClosedBy) {
        if self.closed.set(by.clone()).is_ok() {
            tracing::debug!(endpoint = %self.endpoint, ?by, "the client closes");
        }
        self.outbox.close();
    }
}

/// Takes a route out again when its subscription fails, or the caller stops waiting for it.
struct Undo<'a, C: Codec> {
    core: &'a Core<C>,
    route: Option<&'a Arc<Route<C>>>,
}

impl<C: Codec> Undo<'_, C> {
    fn keep(mut self) {
        self.route = None;
    }
}

impl<C: Codec> Drop for Undo<'_, C> {
    fn drop(&mut self) {
        if let Some(route) = self.route {
            self.core.detach(route);
        }
    }
}
