use super::bus::LocalBus;
use super::registration::{Handler, Registration, Target};
use crate::EventId;
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::handler::Outcome;
use crate::engine::queue::Queue;
use crate::engine::stream::{EventStream, Subscription};
use crate::engine::topic::Pattern;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

/// One participant of a [`LocalBus`]: it has one handler for each pattern, the newest, and any number of streams. Cloning gives another
/// handle to the same participant.
///
/// Dropping it leaves its handlers in place; [`close`](Self::close) takes them out.
///
/// | registers | handler | the next event waits for it |
/// | --- | --- | --- |
/// | [`on`](Self::on) | `\|value: Arc<T>\| async { … }` | yes |
/// | [`on_sync`](Self::on_sync) | `\|value: &T\| { … }` | yes |
/// | [`on_event`](Self::on_event) | `\|event: Event\| async { … }` | yes |
/// | [`on_detached`](Self::on_detached), [`on_event_detached`](Self::on_event_detached) | as the first and third | no |
/// | [`on_local`](Self::on_local), [`on_local_sync`](Self::on_local_sync) | as the first and second, for types that cannot be decoded | yes |
///
/// Handlers return `()` or a `Result`, whose error is counted and logged. Each takes an exact topic or a pattern with wildcards.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Event, LocalBus};
///
/// let bus = LocalBus::new();
/// let (pump, lab) = (bus.entry("pump"), bus.entry("lab"));
/// pump.on_sync("pump.start", |rpm: &u32| assert_eq!(*rpm, 500))?;
/// lab.on_event("*", |event: Event| async move { println!("{}", event.topic()) })?;
/// lab.emit("pump.start", 500_u32).await?;
/// pump.off("pump.start")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EntryPoint {
    bus: LocalBus,
    owner: u64,
    name: Arc<str>,
}

impl EntryPoint {
    pub(super) fn new(bus: LocalBus, name: &str) -> Self {
        let owner = bus.core().number();
        Self {
            bus,
            owner,
            name: name.into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bus.
    pub fn bus(&self) -> &LocalBus {
        &self.bus
    }

    /// Calls an asynchronous handler with the data, shared.
    ///
    /// # Errors
    /// [`Error::Topic`] for what is no pattern; [`Error::Closed`].
    pub fn on<T, F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern.parse()?, Handler::shared(handler))
    }

    /// Calls a synchronous handler with a reference to the data. The fastest kind; it must not block.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn on_sync<T, F, O>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        self.add(pattern.parse()?, Handler::by_ref(handler))
    }

    /// Calls an asynchronous handler with the event.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn on_event<F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern.parse()?, Handler::event(handler))
    }

    /// As [`on`](Self::on), in a task of its own: the next event does not wait. See
    /// [`LocalBusBuilder::detached`](crate::LocalBusBuilder::detached).
    ///
    /// # Errors
    /// As [`on`](Self::on).
    #[doc(alias = "create_task")]
    pub fn on_detached<T, F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern.parse()?, Handler::shared(handler).detached())
    }

    /// As [`on_event`](Self::on_event), in a task of its own: the next event does not wait.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    #[doc(alias = "create_task")]
    pub fn on_event_detached<F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern.parse()?, Handler::event(handler).detached())
    }

    /// As [`on`](Self::on), for a type that cannot be decoded: it gets only what was emitted in this process as that very type.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn on_local<T, F, Fut>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: Send + Sync + 'static,
        F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.add(pattern.parse()?, Handler::local_shared(handler))
    }

    /// As [`on_sync`](Self::on_sync), for a type that cannot be decoded: see [`on_local`](Self::on_local).
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn on_local_sync<T, F, O>(&self, pattern: &str, handler: F) -> Result<(), Error>
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        self.add(pattern.parse()?, Handler::local_ref(handler))
    }

    /// Removes the handler for this very pattern. A stream ends when it is dropped.
    ///
    /// No emission that begins after this returned calls it. One that has begun by then, on another thread or in a handler that has called
    /// this, may still: nothing waits for it here, so that a handler may take itself off.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] when there is none; [`Error::Topic`] for what is no pattern.
    pub fn off(&self, pattern: &str) -> Result<(), Error> {
        let removed = self
            .bus
            .core()
            .remove(self.owner, &pattern.parse()?, |r| r.target.is_handler());
        match removed {
            0 => Err(Error::NotRegistered(pattern.to_owned())),
            _ => Ok(()),
        }
    }

    /// Events of one type as a stream. What a slow reader misses is counted: see
    /// [`LocalBusBuilder::queue_events`](crate::LocalBusBuilder::queue_events).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::LocalBus;
    ///
    /// let lab = LocalBus::new().entry("lab");
    /// let mut temps = lab.subscribe::<f64>("lab.temp")?;
    /// lab.emit("lab.temp", 21.5).await?;
    /// let temp = temps.next().await.expect("the bus is open");
    /// assert_eq!((*temp, temp.event().topic()), (21.5, "lab.temp"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn subscribe<T>(&self, pattern: &str) -> Result<Subscription<T>, Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.subscribe_events(pattern).map(Subscription::new)
    }

    /// Events as a stream, whatever their type.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn subscribe_events(&self, pattern: &str) -> Result<EventStream, Error> {
        let core = self.bus.core();
        let pattern: Pattern = pattern.parse()?;
        let counters = &core.ledger.counters;
        let settings = &core.settings;
        let queue = Queue::new(
            settings.queue_events,
            settings.slow_consumer,
            Arc::clone(counters),
        );
        let id = self.register(pattern.clone(), Target::Stream(Arc::clone(&queue)))?;
        let (core, owner) = (Arc::downgrade(core), self.owner);
        Ok(EventStream::new(queue, Arc::clone(counters), move || {
            if let Some(core) = core.upgrade() {
                core.remove(owner, &pattern, |r| r.id == id);
            }
        }))
    }

    /// Takes out all its handlers, and ends its streams once what they hold has been read. The bus stays; so does this participant, without
    /// anything registered.
    pub fn close(&self) {
        self.bus.core().remove_owner(self.owner);
    }

    /// As [`LocalBus::emit`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub fn emit<T>(&self, topic: &str, value: T) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.bus.emit(topic, value)
    }

    /// As [`LocalBus::emit_shared`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_shared<T>(&self, topic: &str, value: Arc<T>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.bus.emit_shared(topic, value).await
    }

    /// As [`LocalBus::emit_detached`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_detached<T>(&self, topic: &str, value: T) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.bus.emit_detached(topic, value).await
    }

    /// As [`LocalBus::emit_local`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_local<T: Send + Sync + 'static>(&self, topic: &str, value: T) -> Result<(), Error> {
        self.bus.emit_local(topic, value).await
    }

    /// As [`LocalBus::emit_empty`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_empty(&self, topic: &str) -> Result<(), Error> {
        self.bus.emit_empty(topic).await
    }

    /// As [`LocalBus::emit_with_id`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_with_id<T>(&self, topic: &str, value: T, id: impl Into<EventId>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.bus.emit_with_id(topic, value, id).await
    }

    /// As [`LocalBus::emit_event`].
    ///
    /// # Errors
    /// As [`LocalBus::emit`].
    pub async fn emit_event(&self, event: &Event) -> Result<(), Error> {
        self.bus.emit_event(event).await
    }

    pub(crate) fn add(&self, pattern: Pattern, handler: Handler) -> Result<(), Error> {
        self.register(pattern, Target::Handler(handler)).map(drop)
    }

    pub(crate) fn register(&self, pattern: Pattern, target: Target) -> Result<u64, Error> {
        let id = self.bus.core().number();
        self.bus.core().add(Registration {
            id,
            owner: self.owner,
            name: Arc::clone(&self.name),
            pattern,
            target,
        })?;
        Ok(id)
    }
}

impl std::fmt::Debug for EntryPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryPoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
