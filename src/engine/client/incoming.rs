use crate::codec::{Codec, Opened};
use crate::engine::arena::keep;
use crate::engine::event::{Event, Payload};
use crate::engine::handler::{Called, EventHandler, Outcome, at_once, guard, later};
use crate::engine::payload::{DynCodec, decode};
use bytes::BytesMut;
use distbus_transport::{Endpoint, FrameRef};
use serde::de::DeserializeOwned;
use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::sync::Arc;

/// An event as a client got it, before anybody has asked for more than its envelope.
pub(crate) struct Incoming<'a, C> {
    pub(crate) codec: &'a C,
    pub(crate) shared_codec: &'a Arc<dyn DynCodec>,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) topic: &'a Arc<str>,
    pub(crate) frame: FrameRef<'a>,
    pub(crate) opened: &'a Opened<'a>,
    /// For what somebody keeps.
    pub(crate) arena: RefCell<&'a mut BytesMut>,
    pub(crate) event: OnceCell<Event>,
}

impl<C> Incoming<'_, C> {
    /// The event, made once for all who want one. Typed handlers do without.
    pub(crate) fn event(&self) -> &Event {
        self.event.get_or_init(|| {
            let Opened {
                data,
                kind,
                id,
                timestamp,
                ..
            } = self.opened;
            let payload = data.map_or(Payload::Empty, |data| {
                Payload::Encoded(keep(data, self.frame, &mut self.arena.borrow_mut()), *kind)
            });
            let (topic, codec) = (Arc::clone(self.topic), Arc::clone(self.shared_codec));
            Event::new(
                topic,
                id.clone(),
                *timestamp,
                payload,
                codec,
                Some(self.endpoint.clone()),
            )
        })
    }
}

/// A handler of a client, which may read the payload through the codec itself.
pub(crate) trait ClientHandler<C>: Send + Sync {
    fn call(&self, incoming: &Incoming<'_, C>) -> Called;
}

/// Any handler of events is one.
pub(crate) struct OfEvents(pub(crate) Arc<dyn EventHandler>);

impl<C> ClientHandler<C> for OfEvents {
    fn call(&self, incoming: &Incoming<'_, C>) -> Called {
        self.0.call(incoming.event())
    }
}

struct Typed<F>(F);

impl<C, F: Fn(&Incoming<'_, C>) -> Called + Send + Sync> ClientHandler<C> for Typed<F> {
    fn call(&self, incoming: &Incoming<'_, C>) -> Called {
        (self.0)(incoming)
    }
}

fn read<C: Codec, T: DeserializeOwned>(incoming: &Incoming<'_, C>, then: impl FnOnce(T) -> Called) -> Called {
    // The value goes to the handler from where it was made: each result that it passes through on its way costs more than the call.
    match guard(|| decode(incoming.codec, incoming.opened.data).map(then)) {
        Ok(Ok(called)) => called,
        Ok(Err(error)) => Called::Done(Err(error.into())),
        Err(panic) => Called::Done(Err(panic)),
    }
}

/// `|value: T| async { … }`
pub(crate) fn typed<C, T, F, Fut>(handler: F) -> Arc<dyn ClientHandler<C>>
where
    C: Codec,
    T: DeserializeOwned,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    Arc::new(Typed(move |incoming: &Incoming<'_, C>| {
        read(incoming, |value| later(|| handler(value)))
    }))
}

/// `|value: T| { … }`
pub(crate) fn typed_sync<C, T, F, O>(handler: F) -> Arc<dyn ClientHandler<C>>
where
    C: Codec,
    T: DeserializeOwned,
    F: Fn(T) -> O + Send + Sync + 'static,
    O: Outcome,
{
    Arc::new(Typed(move |incoming: &Incoming<'_, C>| {
        read(incoming, |value| Called::Done(at_once(|| handler(value))))
    }))
}
