use super::error::BoxError;
use super::event::Event;
use async_trait::async_trait;
use std::sync::Arc;

/// Where a broker delivers events inside its own process: a [`LocalBus`](crate::LocalBus), a log, a database, a dashboard.
///
/// Each sink has a bounded queue and a task of its own: a slow one, or one that fails or panics, is felt by nobody else.
///
/// ```
/// use distbus::{BoxError, Event, LocalSink};
/// use std::sync::Mutex;
///
/// /// Remembers the topics it has seen.
/// #[derive(Default)]
/// struct Topics(Mutex<Vec<String>>);
///
/// #[async_trait::async_trait]
/// impl LocalSink for Topics {
///     async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
///         let mut seen = self.0.lock().map_err(|_| "poisoned")?;
///         seen.extend(events.iter().map(|event| event.topic().to_owned()));
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait LocalSink: Send + Sync + 'static {
    /// Takes events, in the order in which the broker relayed them. The next ones wait until it returns.
    ///
    /// # Errors
    /// Anything: it is logged, and all of `events` count as failed.
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError>;
}

#[async_trait]
impl<S: LocalSink + ?Sized> LocalSink for Arc<S> {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        (**self).deliver(events).await
    }
}
