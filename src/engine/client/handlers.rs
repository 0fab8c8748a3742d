use super::Client;
use super::core::Core;
use super::incoming::{ClientHandler, OfEvents, typed, typed_sync};
use crate::Pattern;
use crate::codec::Codec;
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::handler::{Outcome, event_handler};
use crate::engine::registry::Registry;
use crate::engine::stream::{EventStream, Subscription};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

/// Handlers and streams.
impl<C: Codec> Client<C> {
    /// Calls `handler` with the data of each event of a topic, or of each whose topic matches a pattern; returns once the broker really
    /// sends them. Takes the place of an older handler of the same pattern.
    ///
    /// An event without data is a `()` or a `None`; raw bytes are a `Vec<u8>` or a `bytes::Bytes`. An event that is no `T` is counted and logged.
    /// What the handler returns, see [`Outcome`]. Do not wait for `on`, `subscribe` or `flush` inside a handler that is not detached: their answer
    /// may be behind the events that wait for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// # use distbus::{Broker, Client, Memory};
    /// # let network = Memory::new();
    /// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// # let client = Client::builder().transport(network).connect("mem://lab").await?;
    /// client.on("lab.temp", |celsius: f64| async move { println!("{celsius} °C") }).await?;
    /// client.on("lab.name", |name: String| async move { name.parse::<u8>().map(drop) }).await?; // an error is counted
    /// client.emit("lab.temp", &21.5).await?;
    /// # Ok(())
    /// # }
    /// ```
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

    /// As [`on`](Client::on), for a handler that has nothing to wait for: it costs no future. It is called where events are read, and MUST NOT block
    /// its thread: this client's pulses and barriers would wait for it.
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// # use distbus::{Broker, Client, Memory};
    /// # let network = Memory::new();
    /// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// # let client = Client::builder().transport(network).connect("mem://lab").await?;
    /// client.on_event("lab.*", |event: distbus::Event| async move {
    ///     println!("{} at {}: {:?}", event.topic(), event.timestamp(), event.get::<f64>());
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
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

    async fn add(
        &self,
        pattern: &str,
        handler: Arc<dyn ClientHandler<C>>,
        detached: bool,
    ) -> Result<(), Error> {
        self.attach(pattern.parse()?, handler, detached).await
    }

    async fn attach(
        &self,
        pattern: Pattern,
        handler: Arc<dyn ClientHandler<C>>,
        detached: bool,
    ) -> Result<(), Error> {
        let route = self.core().route(pattern, handler, detached);
        self.core().attach(route, self.handle.confirm_timeout).await
    }

    /// Takes a handler off: no call of it begins once this has returned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// # use distbus::{Broker, Client, Memory};
    /// # let network = Memory::new();
    /// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// # let client = Client::builder().transport(network).connect("mem://lab").await?;
    /// client.on_sync("lab.temp", |celsius: f64| println!("{celsius} °C")).await?;
    /// client.off("lab.temp").await?;
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// # use distbus::{Broker, Client, Memory};
    /// # let network = Memory::new();
    /// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// # let client = Client::builder().transport(network).connect("mem://lab").await?;
    /// let mut temps = client.subscribe::<f64>("lab.temp").await?;
    /// client.emit("lab.temp", &21.5).await?;
    /// assert_eq!(temps.next().await.as_deref(), Some(&21.5));
    /// # Ok(())
    /// # }
    /// ```
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

    /// Attaches the handlers of a registry's default namespace, with `this` as their first argument; returns once the broker really
    /// sends what they are for.
    ///
    /// # Errors
    /// As [`on`](Client::on); [`Error::NotRegistered`] when there are none.
    #[doc(alias = "use")]
    pub async fn use_registry<S>(&self, registry: &Registry<S>, this: Arc<S>) -> Result<(), Error>
    where
        S: Send + Sync + 'static,
    {
        self.use_namespace(registry, Registry::<S>::DEFAULT_NAMESPACE, this)
            .await
    }

    /// As [`use_registry`](Client::use_registry), for another namespace.
    ///
    /// # Errors
    /// As [`use_registry`](Client::use_registry).
    pub async fn use_namespace<S>(
        &self,
        registry: &Registry<S>,
        namespace: &str,
        this: Arc<S>,
    ) -> Result<(), Error>
    where
        S: Send + Sync + 'static,
    {
        for (pattern, handler) in registry.bound(namespace, &this)? {
            let detached = handler.detached;
            self.attach(
                pattern,
                Arc::new(OfEvents(handler.into_event_handler())),
                detached,
            )
            .await?;
        }
        Ok(())
    }
}
