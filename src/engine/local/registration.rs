use super::bridges::Outlet;
use crate::engine::event::Event;
use crate::engine::handler::{
    Called, Ending, EventHandler, Failure, Outcome, at_once, event_handler, guard, later,
};
use crate::engine::queue::Queue;
use crate::engine::topic::Pattern;
use crate::{CodecError, DropReason};
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::future::Future;
use std::sync::Arc;

/// One handler, stream or bridge, registered for one pattern.
pub(crate) struct Registration {
    /// Unique on its bus.
    pub(crate) id: u64,
    /// The entry point.
    pub(crate) owner: u64,
    /// Its name, for logs.
    pub(crate) name: Arc<str>,
    pub(crate) pattern: Pattern,
    pub(crate) target: Target,
}

pub(crate) enum Target {
    Handler(Handler),
    Stream(Arc<Queue<Event>>),
    Bridge(Arc<Outlet>),
}

impl Target {
    pub(crate) fn is_handler(&self) -> bool {
        matches!(self, Self::Handler(_))
    }

    /// Whether it needs the value in an `Arc`: a handler by reference does not.
    pub(crate) fn wants_shared(&self) -> bool {
        !matches!(
            self,
            Self::Handler(Handler {
                call: Call::Ref(_),
                ..
            })
        )
    }

    /// The type that it takes by reference, if it does.
    pub(crate) fn by_ref(&self) -> Option<TypeId> {
        match self {
            Self::Handler(Handler {
                call: Call::Ref(handler),
                ..
            }) => Some(handler.takes()),
            _ => None,
        }
    }

    pub(crate) fn queue(&self) -> Option<&Arc<Queue<Event>>> {
        match self {
            Self::Handler(_) => None,
            Self::Stream(queue) => Some(queue),
            Self::Bridge(outlet) => Some(&outlet.queue),
        }
    }
}

/// What a user wrote: a call, and whether the next event waits for it.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) call: Call,
    pub(crate) detached: bool,
}

/// How a handler wants to be called. Each takes an event too, for when what was emitted is something else.
#[derive(Clone)]
pub(crate) enum Call {
    /// `|value: &T|`
    Ref(Arc<dyn RefHandler>),
    /// `|value: Arc<T>|`
    Shared(Arc<dyn SharedHandler>),
    /// `|event: Event|`
    Event(Arc<dyn EventHandler>),
}

/// Any value, shared.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

pub(crate) trait RefHandler: Send + Sync {
    /// The type of value.
    fn takes(&self) -> TypeId;
    /// `None` when the value is of another type.
    fn call(&self, value: &dyn Any) -> Option<Ending>;
    fn call_event(&self, event: &Event) -> Ending;
}

pub(crate) trait SharedHandler: Send + Sync {
    /// `None` when the value is of another type.
    fn call(&self, value: &Shared) -> Option<Called>;
    fn call_event(&self, event: &Event) -> Called;
}

/// Takes the data out of an event.
type Fetch<T> = fn(&Event) -> Result<Arc<T>, CodecError>;

struct Typed<T, F> {
    run: F,
    fetch: Fetch<T>,
}

/// The emitted value itself, for types that cannot be decoded.
fn peek<T: Send + Sync + 'static>(event: &Event) -> Result<Arc<T>, CodecError> {
    event.peek().ok_or_else(|| CodecError::Decode {
        codec: event.codec(),
        wanted: std::any::type_name::<T>(),
        reason: "the handler takes only values of that very type emitted in this process".into(),
    })
}

impl<T, F, O> RefHandler for Typed<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> O + Send + Sync,
    O: Outcome,
{
    fn takes(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn call(&self, value: &dyn Any) -> Option<Ending> {
        let value = value.downcast_ref()?;
        Some(at_once(|| (self.run)(value)))
    }

    fn call_event(&self, event: &Event) -> Ending {
        let value = guard(|| (self.fetch)(event))??;
        at_once(|| (self.run)(&value))
    }
}

impl<T, F, Fut> SharedHandler for Typed<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(Arc<T>) -> Fut + Send + Sync,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    fn call(&self, value: &Shared) -> Option<Called> {
        let value = Arc::clone(value).downcast().ok()?;
        Some(later(|| (self.run)(value)))
    }

    fn call_event(&self, event: &Event) -> Called {
        match guard(|| (self.fetch)(event)) {
            Ok(Ok(value)) => later(|| (self.run)(value)),
            Ok(Err(error)) => Called::Done(Err(error.into())),
            Err(panic) => Called::Done(Err(panic)),
        }
    }
}

impl Handler {
    fn attached(call: Call) -> Self {
        let detached = false;
        Self { call, detached }
    }

    /// The next event does not wait for it.
    pub(crate) fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    pub(crate) fn by_ref<T, F, O>(run: F) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        Self::attached(Call::Ref(Arc::new(Typed {
            run,
            fetch: Event::get::<T>,
        })))
    }

    pub(crate) fn shared<T, F, Fut>(run: F) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        Self::attached(Call::Shared(Arc::new(Typed {
            run,
            fetch: Event::get::<T>,
        })))
    }

    pub(crate) fn local_ref<T, F, O>(run: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        Self::attached(Call::Ref(Arc::new(Typed {
            run,
            fetch: peek::<T>,
        })))
    }

    pub(crate) fn local_shared<T, F, Fut>(run: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        Self::attached(Call::Shared(Arc::new(Typed {
            run,
            fetch: peek::<T>,
        })))
    }

    pub(crate) fn event<F, Fut>(run: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        Self::attached(Call::Event(event_handler(run)))
    }

    /// As one that takes events: what a client registers.
    pub(crate) fn into_event_handler(self) -> Arc<dyn EventHandler> {
        match self.call {
            Call::Ref(handler) => Arc::new(move |event: &Event| Called::Done(handler.call_event(event))),
            Call::Shared(handler) => Arc::new(move |event: &Event| handler.call_event(event)),
            Call::Event(handler) => handler,
        }
    }
}

impl Registration {
    /// Says why a delivery to this handler came to nothing, and under what it counts.
    pub(crate) fn report(&self, topic: Option<&str>, failure: &Failure) -> DropReason {
        let topic = topic.unwrap_or(self.pattern.as_str());
        tracing::error!(topic, pattern = %self.pattern, entry = %self.name, %failure, "a handler did not take an event");
        match failure {
            Failure::Undecodable(_) => DropReason::Undecodable,
            Failure::Failed(_) | Failure::Panicked(_) => DropReason::Failed,
        }
    }
}
