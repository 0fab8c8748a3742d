//! Bridges between a local bus and brokers.

use super::client::Client;
use super::error::Error;
use super::event::Event;
use super::local::{Core, Direction, LocalBus, Outlet, Registration, Target};
use super::queue::Queue;
use super::stream::EventStream;
use super::topic::{IntoPatterns, Pattern, check_emit};
use crate::codec::Codec;
use crate::{DropReason, Endpoint, EndpointError};
use futures_util::StreamExt;
use futures_util::stream::select_all;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

/// Whether a bridge closes its client when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owns {
    Client,
    Nothing,
}

impl LocalBus {
    /// Sends the bus's events of some topics to a client's broker, with their ids and times, until [`deforward`](Self::deforward). The client
    /// stays yours. Each event goes to a broker once, and none back to where it came from: what is refused for that is counted under
    /// [`Reject::Loop`](crate::Reject::Loop).
    ///
    /// Events wait for the broker in a queue of the bridge's own: see [`LocalBusBuilder::queue_events`](crate::LocalBusBuilder::queue_events). When
    /// the client ends, the bridge is taken away, logged and counted in [`lost_bridges`](Self::lost_bridges).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{Broker, Client, LocalBus, Memory};
    ///
    /// let network = Memory::new();
    /// let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// let far = Client::builder().transport(network.clone()).connect("mem://lab").await?;
    /// let near = Client::builder().transport(network).connect("mem://lab").await?;
    /// let mut temps = far.subscribe::<f64>("lab.temp").await?;
    ///
    /// let bus = LocalBus::new();
    /// bus.forward_to(&near, "lab.*")?;
    /// bus.emit("lab.temp", 21.5).await?;
    /// assert_eq!(*temps.next().await.expect("the client is open"), 21.5);
    /// bus.deforward(near.endpoint()).await?;
    /// # broker.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Topic`] for what is no pattern, or names a reserved topic; [`Error::Closed`].
    pub fn forward_to<C: Codec>(&self, client: &Client<C>, patterns: impl IntoPatterns) -> Result<(), Error> {
        self.forward_with(client.clone(), patterns.into_patterns()?, Owns::Nothing)
    }

    /// Undoes [`forward_to`](Self::forward_to) and `forward`, for all patterns; what waits is sent first.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] when nothing is forwarded there; [`Error::Endpoint`] for a text that is none.
    pub async fn deforward<E>(&self, endpoint: E) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.end_bridges(&endpoint, Direction::Out).await
    }

    /// Brings events of some topics in from a client's broker, until [`unlisten`](Self::unlisten); returns once the broker really sends them. The
    /// client stays yours. What has been on this bus before is refused, and counted under [`Reject::Loop`](crate::Reject::Loop).
    ///
    /// The bus's handlers hold up only this bridge. When they are too slow for the broker, the client counts what is lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{ALL, Broker, Client, LocalBus, Memory};
    ///
    /// let network = Memory::new();
    /// let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// let client = Client::builder().transport(network).connect("mem://lab").await?;
    ///
    /// let bus = LocalBus::new();
    /// let mut temps = bus.entry("view").subscribe::<f64>("lab.temp")?;
    /// bus.listen_to(&client, ALL).await?;
    /// client.emit("lab.temp", &21.5).await?;
    /// let temp = temps.next().await.expect("the bus is open");
    /// assert_eq!((*temp, temp.event().via()), (21.5, Some(broker.endpoint())));
    /// # broker.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Topic`]; [`Error::Closed`]; and as [`Client::subscribe_events`].
    pub async fn listen_to<C: Codec>(
        &self,
        client: &Client<C>,
        patterns: impl IntoPatterns,
    ) -> Result<(), Error> {
        self.listen_with(client.clone(), patterns.into_patterns()?, Owns::Nothing)
            .await
    }

    /// Undoes [`listen_to`](Self::listen_to) and `listen`, for all patterns.
    ///
    /// # Errors
    /// As [`deforward`](Self::deforward).
    pub async fn unlisten<E>(&self, endpoint: E) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.end_bridges(&endpoint, Direction::In).await
    }

    /// Both [`listen_to`](Self::listen_to) and [`forward_to`](Self::forward_to).
    ///
    /// # Errors
    /// As those two; then neither is in place.
    pub async fn link_with<C: Codec>(
        &self,
        client: &Client<C>,
        patterns: impl IntoPatterns,
    ) -> Result<(), Error> {
        let patterns = patterns.into_patterns()?;
        check_all(&patterns)?;
        self.listen_with(client.clone(), patterns.clone(), Owns::Nothing)
            .await?;
        self.forward_with(client.clone(), patterns, Owns::Nothing)
    }

    /// Bridges that ended because their client did, so far.
    pub fn lost_bridges(&self) -> u64 {
        self.core().bridges.lost.load(Relaxed)
    }

    pub(crate) fn forward_with<C: Codec>(
        &self,
        client: Client<C>,
        patterns: Vec<Pattern>,
        owns: Owns,
    ) -> Result<(), Error> {
        check_all(&patterns)?;
        let core = self.core();
        let endpoint = client.endpoint().clone();
        let (settings, counters) = (&core.settings, Arc::clone(&core.ledger.counters));
        let outlet = Arc::new(Outlet {
            number: core.bridges.number_of(&endpoint, core),
            endpoint: endpoint.clone(),
            queue: Queue::new(settings.queue_events, settings.slow_consumer, counters),
        });
        let owner = core.number();
        let name: Arc<str> = format!("forward to {endpoint}").into();
        for pattern in patterns {
            core.add(Registration {
                id: core.number(),
                owner,
                name: Arc::clone(&name),
                pattern,
                target: Target::Bridge(Arc::clone(&outlet)),
            })
            .inspect_err(|_| core.remove_owner(owner))?;
        }
        let weak = Arc::downgrade(core);
        let started = core
            .bridges
            .start(core, owner, endpoint, Direction::Out, move |_stopped| {
                // It stops when its queue is closed.
                tokio::spawn(send(weak, client, outlet, owner, owns))
            });
        started.inspect_err(|_| core.remove_owner(owner))
    }

    pub(crate) async fn listen_with<C: Codec>(
        &self,
        client: Client<C>,
        patterns: Vec<Pattern>,
        owns: Owns,
    ) -> Result<(), Error> {
        let core = self.core();
        if core.is_closing() {
            return Err(Error::Closed);
        }
        let mut streams = Vec::new();
        for pattern in &patterns {
            streams.push(client.subscribe_events(pattern.as_str()).await?);
        }
        let endpoint = client.endpoint().clone();
        let inlet = Inlet {
            core: Arc::downgrade(core),
            patterns,
            owner: core.number(),
        };
        let owner = inlet.owner;
        core.bridges
            .start(core, owner, endpoint, Direction::In, move |stopped| {
                tokio::spawn(receive(inlet, client, streams, stopped, owns))
            })
    }

    async fn end_bridges(&self, endpoint: &Endpoint, direction: Direction) -> Result<(), Error> {
        let core = self.core();
        let ended = core.bridges.take(core, |bridge| {
            bridge.endpoint == *endpoint && bridge.direction == direction
        });
        if ended.is_empty() {
            return Err(Error::NotRegistered(endpoint.to_string()));
        }
        let deadline = tokio::time::Instant::now() + core.settings.drain;
        for bridge in ended {
            core.remove_owner(bridge.owner);
            bridge.end(deadline).await;
        }
        Ok(())
    }
}

/// Refuses patterns that name a reserved topic: only a broker emits there.
pub(crate) fn check_all(patterns: &[Pattern]) -> Result<(), Error> {
    let mut exact = patterns.iter().filter(|pattern| pattern.is_exact());
    exact.try_for_each(|pattern| Ok(check_emit(pattern.as_str())?))
}

/// Events taken from a queue and not sent yet. However the bridge ends, each is counted.
struct Batch<'a> {
    events: std::vec::IntoIter<Event>,
    outlet: &'a Outlet,
    core: &'a Weak<Core>,
}

impl Batch<'_> {
    fn done(&self, count: usize, failed: Option<DropReason>) {
        if let Some(core) = self.core.upgrade() {
            let counters = &core.ledger.counters;
            match failed {
                None => counters.delivered.fetch_add(count as u64, Relaxed),
                Some(reason) => counters.dropped.add(reason, count as u64),
            };
        }
        self.outlet.queue.finish(count);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let rest = self.events.len();
        if rest > 0 {
            self.done(rest, Some(DropReason::Disconnected));
        }
    }
}

/// The task of a bridge that leads out: until its queue is closed and empty, or its client has ended.
async fn send<C: Codec>(core: Weak<Core>, client: Client<C>, outlet: Arc<Outlet>, owner: u64, owns: Owns) {
    const BATCH: usize = 256;
    let lost = loop {
        let mut events = Vec::new();
        tokio::select! {
            // Biased, so that a simulation repeats exactly; and the bridge of a client that has ended does not take more.
            biased;
            _ = client.closed() => break true,
            more = outlet.queue.pop_many(BATCH, &mut events) => if !more {
                break false;
            },
        }
        let mut batch = Batch {
            events: events.into_iter(),
            outlet: &outlet,
            core: &core,
        };
        while let Some(event) = batch.events.next() {
            let failed = send_one(&client, &event).await;
            batch.done(1, failed);
        }
    };
    outlet.queue.abandon(DropReason::Disconnected);
    leave(&core, owner, outlet.endpoint.clone(), lost);
    if owns == Owns::Client {
        client.close().await;
    }
}

async fn send_one<C: Codec>(client: &Client<C>, event: &Event) -> Option<DropReason> {
    let error = match client.emit_event(event).await {
        Ok(_) => return None,
        Err(error) => error,
    };
    let reason = match &error {
        Error::Closed => return Some(DropReason::Disconnected),
        Error::Codec(_) => DropReason::Undecodable,
        _ => DropReason::Failed,
    };
    let endpoint = client.endpoint();
    tracing::error!(topic = event.topic(), %endpoint, %error, "an event was not forwarded");
    Some(reason)
}

/// Where a bridge leads in.
struct Inlet {
    core: Weak<Core>,
    patterns: Vec<Pattern>,
    owner: u64,
}

/// The task of a bridge that leads in: until it is stopped, or its client or its bus has ended.
async fn receive<C: Codec>(
    inlet: Inlet,
    client: Client<C>,
    streams: Vec<EventStream>,
    mut stopped: oneshot::Receiver<()>,
    owns: Owns,
) {
    let numbered = streams
        .into_iter()
        .enumerate()
        .map(|(i, stream)| stream.map(move |event| (i, event)));
    let mut events = select_all(numbered);
    let lost = loop {
        let next = tokio::select! {
            biased;
            // An error says that the bus itself is gone.
            _ = &mut stopped => break false,
            next = events.next() => next,
        };
        let Some((stream, event)) = next else { break true };
        // An event that several patterns match comes once for each of them.
        let first = inlet.patterns.iter().position(|p| p.matches(event.topic()));
        if first != Some(stream) {
            continue;
        }
        let Some(core) = inlet.core.upgrade() else {
            break false;
        };
        if LocalBus::from_core(core).enter(&event).await.is_err() {
            break false;
        }
    };
    drop(events);
    leave(&inlet.core, inlet.owner, client.endpoint().clone(), lost);
    if owns == Owns::Client {
        client.close().await;
    }
}

/// Takes a bridge that ends by itself off its bus.
fn leave(core: &Weak<Core>, owner: u64, endpoint: Endpoint, lost: bool) {
    let Some(core) = core.upgrade() else { return };
    core.remove_owner(owner);
    let known = !core
        .bridges
        .take(&core, |bridge| bridge.owner == owner)
        .is_empty();
    if lost && known {
        core.bridges.lost.fetch_add(1, Relaxed);
        tracing::warn!(%endpoint, "a bridge has ended because its client has");
    }
}
