//! What users write, behind one shape: called with an event, done at once or later, never able to take anybody down.

use super::error::BoxError;
use super::event::Event;
use crate::codec::CodecError;
use distbus_transport::{Counters, DropReason};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a handler returns: nothing, or a `Result` whose error is counted, logged and otherwise forgotten.
///
/// ```
/// use distbus::Outcome;
///
/// assert!(().into_result().is_ok());
/// assert!("x".parse::<u8>().map(drop).into_result().is_err());
/// ```
pub trait Outcome: Send + 'static {
    /// The error, if there is one.
    ///
    /// # Errors
    /// Whatever the handler returned.
    fn into_result(self) -> Result<(), BoxError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// `!`, for which there is no name yet where traits are implemented: what comes of a program that goes on for ever.
mod never {
    #![expect(
        unreachable_pub,
        reason = "it is part of what is public, under the name that `!` will have"
    )]

    pub type Never = <fn() -> ! as Returns>::Value;

    pub trait Returns {
        type Value;
    }

    impl<T> Returns for fn() -> T {
        type Value = T;
    }
}

impl Outcome for never::Never {
    fn into_result(self) -> Result<(), BoxError> {
        self
    }
}

impl<E: Into<BoxError> + Send + 'static> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Why one delivery came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Undecodable(#[from] CodecError),
    #[error("{0}")]
    Failed(BoxError),
    #[error("it panicked: {0}")]
    Panicked(String),
}

pub(crate) type Ending = Result<(), Failure>;

/// A handler that has been called.
pub(crate) enum Called {
    Done(Ending),
    Later(BoxFuture<'static, Ending>),
}

/// A handler that takes events. Those of one topic and one emitter are called in order.
pub(crate) trait EventHandler: Send + Sync {
    fn call(&self, event: &Event) -> Called;
}

impl<F: Fn(&Event) -> Called + Send + Sync> EventHandler for F {
    fn call(&self, event: &Event) -> Called {
        self(event)
    }
}

/// `|event: Event| async { … }`
pub(crate) fn event_handler<F, Fut>(handler: F) -> Arc<dyn EventHandler>
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    Arc::new(move |event: &Event| later(|| handler(event.clone())))
}

/// Runs a closure of the user's: its panic is a [`Failure`].
pub(crate) fn guard<R>(run: impl FnOnce() -> R) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Failure::Panicked(panic_text(&*panic)))
}

/// Calls an asynchronous handler; both the call and each poll of its future are guarded.
pub(crate) fn later<Fut>(call: impl FnOnce() -> Fut) -> Called
where
    Fut: Future<Output: Outcome> + Send + 'static,
{
    match guard(call) {
        Ok(future) => Called::Later(Box::pin(AssertUnwindSafe(future).catch_unwind().map(
            |ended| match ended {
                Ok(outcome) => outcome.into_result().map_err(Failure::Failed),
                Err(panic) => Err(Failure::Panicked(panic_text(&*panic))),
            },
        ))),
        Err(panic) => Called::Done(Err(panic)),
    }
}

/// Calls a synchronous handler.
pub(crate) fn at_once<O: Outcome>(call: impl FnOnce() -> O) -> Ending {
    guard(call)?.into_result().map_err(Failure::Failed)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

/// Counts how a delivery ended, and says why when it failed.
pub(crate) fn settle(counters: &Counters, topic: &str, ending: Ending) {
    match ending {
        Ok(()) => {
            counters.delivered.fetch_add(1, Relaxed);
        }
        Err(failure) => {
            let reason = match failure {
                Failure::Undecodable(_) => DropReason::Undecodable,
                Failure::Failed(_) | Failure::Panicked(_) => DropReason::Failed,
            };
            counters.dropped.add(reason, 1);
            tracing::error!(topic, %failure, "a handler did not take an event");
        }
    }
}
