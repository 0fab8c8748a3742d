use super::client::Client;
use super::error::Error;
use super::local::{EntryPoint, LocalBus, lock};
use super::topic::{TopicError, check_emit};
use crate::codec::Codec;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

/// Where a value can announce its changes: a bus, one of its entry points, or a client.
///
/// ```
/// use distbus::{Emitter, Error};
/// use serde::Serialize;
/// use std::sync::Arc;
///
/// /// Says on which topic something has changed, and nothing else.
/// struct Printer;
///
/// impl Emitter for Printer {
///     async fn announce<T>(&self, topic: &str, _: Arc<T>) -> Result<(), Error>
///     where
///         T: Serialize + Send + Sync + 'static,
///     {
///         println!("{topic}");
///         Ok(())
///     }
/// }
/// ```
pub trait Emitter: Send + Sync + 'static {
    /// Emits a shared value.
    ///
    /// # Errors
    /// As the emitter's own `emit`.
    fn announce<T>(&self, topic: &str, value: Arc<T>) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static;
}

impl Emitter for LocalBus {
    async fn announce<T>(&self, topic: &str, value: Arc<T>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.emit_shared(topic, value).await
    }
}

impl Emitter for EntryPoint {
    async fn announce<T>(&self, topic: &str, value: Arc<T>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.emit_shared(topic, value).await
    }
}

impl<C: Codec> Emitter for Client<C> {
    async fn announce<T>(&self, topic: &str, value: Arc<T>) -> Result<(), Error>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.emit(topic, &*value).await.map(drop)
    }
}

/// A value that announces its changes: the whole of it, as it is when it has been left alone for a tenth of a second. Cloning gives another
/// handle to the same value.
///
/// The topic is the type's name and `.changed`. A value that never rests is announced once in ten such times. There is one task from the first change to the
/// announcement, and none while nothing changes. Dropping it does not cancel an announcement.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Evented, LocalBus};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Settings {
///     rpm: u32,
/// }
///
/// let bus = LocalBus::new();
/// let mut changes = bus.entry("view").subscribe::<Settings>("Settings.changed")?;
/// let settings = Evented::new(Settings { rpm: 0 }, bus.clone());
/// settings.update(|settings| settings.rpm = 400);
/// settings.update(|settings| settings.rpm += 100);
/// let change = changes.next().await.expect("the bus is open");
/// assert_eq!(change.rpm, 500);
/// assert_eq!(settings.get().rpm, 500);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "make_evented")]
pub struct Evented<T>(Arc<Inner<T>>);

struct Inner<T> {
    state: Mutex<State<T>>,
    emit: Emit<T>,
    topic: String,
    debounce: Duration,
}

type Emit<T> = Box<dyn Fn(String, Arc<T>) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

struct State<T> {
    value: Arc<T>,
    /// The first and the last change that have not been announced.
    changed: Option<(Instant, Instant)>,
    /// There is a task that will announce them.
    awaited: bool,
}

/// How an [`Evented`] is made: see [`Evented::builder`].
#[must_use]
pub struct EventedBuilder<T> {
    value: T,
    emit: Emit<T>,
    topic: String,
    debounce: Duration,
}

/// A value that never rests is announced this many debounce times after its first change.
const PATIENCE: u32 = 10;

impl<T: Clone + Serialize + Send + Sync + 'static> Evented<T> {
    /// A value that announces its changes there, a tenth of a second after each burst, under its type's name and `.changed`.
    pub fn new(value: T, emitter: impl Emitter) -> Self {
        Self::make(Self::builder(value, emitter))
    }

    /// A builder, for another topic or another time.
    ///
    /// ```
    /// use distbus::{Evented, LocalBus};
    /// use std::time::Duration;
    ///
    /// let level = Evented::builder(0.5_f32, LocalBus::new())
    ///     .topic("lamp.level")
    ///     .debounce(Duration::from_millis(20))
    ///     .build()?;
    /// assert_eq!(level.topic(), "lamp.level");
    /// # Ok::<(), distbus::TopicError>(())
    /// ```
    pub fn builder(value: T, emitter: impl Emitter) -> EventedBuilder<T> {
        let emitter = Arc::new(emitter);
        EventedBuilder {
            value,
            emit: Box::new(move |topic, value| {
                let emitter = Arc::clone(&emitter);
                Box::pin(async move { emitter.announce(&topic, value).await })
            }),
            topic: format!("{}.changed", short_name(std::any::type_name::<T>())),
            debounce: Duration::from_millis(100),
        }
    }

    fn make(builder: EventedBuilder<T>) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                value: Arc::new(builder.value),
                changed: None,
                awaited: false,
            }),
            emit: builder.emit,
            topic: builder.topic,
            debounce: builder.debounce,
        }))
    }

    /// Where changes are announced.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The value as it is now. Later changes do not show in it.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0.state).value)
    }

    /// Changes it, and returns what `change` does. The value is cloned only while somebody holds an earlier one.
    ///
    /// `change` holds the value's lock: it must not use this `Evented`. Outside a Tokio runtime the change is kept, and announced with the next
    /// one inside.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = lock(&self.0.state);
        let result = change(Arc::make_mut(&mut state.value));
        let now = Instant::now();
        let first = state.changed.map_or(now, |(first, _)| first);
        state.changed = Some((first, now));
        if !state.awaited {
            match Handle::try_current() {
                Ok(runtime) => {
                    state.awaited = true;
                    runtime.spawn(announce_when_quiet(Waiting::new(Arc::clone(&self.0))));
                }
                Err(_) => tracing::error!(
                    topic = self.0.topic,
                    "a change outside a Tokio runtime waits for one inside"
                ),
            }
        }
        result
    }

    /// Puts another value in its place.
    pub fn set(&self, value: T) {
        self.update(|place| *place = value);
    }

    /// Announces now what has changed since the last announcement, if anything has, and waits for the handlers.
    ///
    /// # Errors
    /// As the emitter's `emit`; the change then counts as announced.
    pub async fn flush(&self) -> Result<(), Error> {
        match self.0.take(|_| true) {
            Some(value) => (self.0.emit)(self.0.topic.clone(), value).await,
            None => Ok(()),
        }
    }
}

impl<T> EventedBuilder<T> {
    /// The topic of its announcements.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// How long it must have been left alone before it is announced. Default 0.1 s.
    pub fn debounce(mut self, time: Duration) -> Self {
        self.debounce = time;
        self
    }
}

impl<T: Clone + Serialize + Send + Sync + 'static> EventedBuilder<T> {
    /// The value.
    ///
    /// # Errors
    /// For a topic that cannot be emitted to.
    pub fn build(self) -> Result<Evented<T>, TopicError> {
        check_emit(&self.topic)?;
        Ok(Evented::make(self))
    }
}

impl<T> Inner<T> {
    /// When it is to be announced.
    fn due(&self, (first, last): (Instant, Instant)) -> Instant {
        (last + self.debounce).min(first + self.debounce * PATIENCE)
    }

    /// The value, when it has changed and `now` agrees; it then counts as announced.
    fn take(&self, now: impl FnOnce((Instant, Instant)) -> bool) -> Option<Arc<T>> {
        let mut state = lock(&self.state);
        state.changed.take_if(|changed| now(*changed))?;
        Some(Arc::clone(&state.value))
    }
}

/// The task's hold on the value: when it is dropped half-way, as with its runtime, the next change may start another.
struct Waiting<T> {
    inner: Arc<Inner<T>>,
    over: bool,
}

impl<T> Waiting<T> {
    fn new(inner: Arc<Inner<T>>) -> Self {
        Self { inner, over: false }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if !self.over {
            lock(&self.inner.state).awaited = false;
        }
    }
}

async fn announce_when_quiet<T>(mut waiting: Waiting<T>) {
    let inner = &waiting.inner;
    loop {
        let due = {
            let mut state = lock(&inner.state);
            let Some(changed) = state.changed else {
                // Under the same lock, so that a change after this starts a task.
                state.awaited = false;
                break;
            };
            inner.due(changed)
        };
        sleep_until(due).await;
        if let Some(value) = inner.take(|changed| inner.due(changed) <= Instant::now())
            && let Err(error) = (inner.emit)(inner.topic.clone(), value).await
        {
            tracing::warn!(topic = inner.topic, %error, "a change was not announced");
        }
    }
    // Another task may have started since.
    waiting.over = true;
}

/// A type's name without its path and its parameters.
fn short_name(full: &str) -> &str {
    let bare = full.split('<').next().unwrap_or(full);
    bare.rsplit("::").next().unwrap_or(bare)
}

impl<T> Clone for Evented<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Evented<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = Arc::clone(&lock(&self.0.state).value);
        let mut out = f.debug_struct("Evented");
        out.field("value", &value).field("topic", &self.0.topic);
        out.finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for EventedBuilder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("EventedBuilder");
        out.field("topic", &self.topic).field("debounce", &self.debounce);
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        for (full, short) in [
            ("lab::model::Settings", "Settings"),
            ("alloc::vec::Vec<alloc::string::String>", "Vec"),
            ("u32", "u32"),
        ] {
            assert_eq!(short_name(full), short);
        }
    }
}
