use super::core::Core;
use super::registration::Shared;
use crate::EventId;
use crate::engine::event::{Event, Payload, Value};
use std::any::Any;
use std::sync::Arc;

/// What is being emitted. Becomes shared, and becomes an event, only when somebody needs that.
pub(super) trait Source {
    /// The value.
    fn by_ref(&self) -> Option<&dyn Any>;
    /// The value, shared.
    fn shared(&mut self) -> Option<Shared>;
    /// The whole event; the same one each time.
    fn event(&mut self, core: &Core, topic: &str) -> Event;
}

/// A value of this process.
pub(super) struct Typed<T> {
    held: Held<T>,
    /// [`Value::new`] or [`Value::local`].
    make: fn(Arc<T>) -> Value,
    id: Option<EventId>,
    event: Option<Event>,
}

enum Held<T> {
    Own(T),
    Shared(Arc<T>),
    /// Only between two states.
    Moving,
}

impl<T: Send + Sync + 'static> Typed<T> {
    pub(super) fn new(value: T, make: fn(Arc<T>) -> Value) -> Self {
        Self::held(Held::Own(value), make)
    }

    pub(super) fn shared(value: Arc<T>, make: fn(Arc<T>) -> Value) -> Self {
        Self::held(Held::Shared(value), make)
    }

    fn held(held: Held<T>, make: fn(Arc<T>) -> Value) -> Self {
        Self {
            held,
            make,
            id: None,
            event: None,
        }
    }

    pub(super) fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    fn share(&mut self) -> Option<Arc<T>> {
        let shared = match std::mem::replace(&mut self.held, Held::Moving) {
            Held::Own(value) => Arc::new(value),
            Held::Shared(shared) => shared,
            Held::Moving => return None,
        };
        self.held = Held::Shared(Arc::clone(&shared));
        Some(shared)
    }
}

impl<T: Send + Sync + 'static> Source for Typed<T> {
    fn by_ref(&self) -> Option<&dyn Any> {
        match &self.held {
            Held::Own(value) => Some(value),
            Held::Shared(shared) => Some(&**shared),
            Held::Moving => None,
        }
    }

    fn shared(&mut self) -> Option<Shared> {
        self.share().map(|shared| shared as Shared)
    }

    fn event(&mut self, core: &Core, topic: &str) -> Event {
        if let Some(event) = &self.event {
            return event.clone();
        }
        let payload = self
            .share()
            .map_or(Payload::Empty, |shared| Payload::Value((self.make)(shared)));
        let event = core.make_event(topic, self.id.take(), payload);
        self.event.insert(event).clone()
    }
}

/// No data.
#[derive(Default)]
pub(super) struct Empty(Option<Event>);

impl Source for Empty {
    fn by_ref(&self) -> Option<&dyn Any> {
        Some(&())
    }

    fn shared(&mut self) -> Option<Shared> {
        None
    }

    fn event(&mut self, core: &Core, topic: &str) -> Event {
        let make = || core.make_event(topic, None, Payload::Empty);
        self.0.get_or_insert_with(make).clone()
    }
}

/// An event that exists, from here or from elsewhere.
impl Source for &Event {
    fn by_ref(&self) -> Option<&dyn Any> {
        None
    }

    fn shared(&mut self) -> Option<Shared> {
        None
    }

    fn event(&mut self, _: &Core, _: &str) -> Event {
        self.clone()
    }
}
