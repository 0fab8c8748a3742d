//! The path of one emission: find who is registered, call the handlers, fill the queues, wait for the rest.

use super::bridges::Outlet;
use super::core::{Core, lock};
use super::delivery::{Delivery, Pending, Work};
use super::registration::{Call, Handler, Registration, Target};
use super::source::Source;
use super::table::{List, Table};
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::handler::{Called, Ending};
use crate::engine::queue::Queue;
use crate::engine::topic::check_emit;
use crate::{DropReason, Reject, SlowConsumer};
use std::any::{Any, TypeId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// One emission on its way.
struct Run<'a> {
    core: &'a Arc<Core>,
    topic: &'a str,
    source: &'a mut dyn Source,
    /// Handlers that were done at once.
    done: u64,
    /// Bridges that have had it: several of their patterns may match.
    bridges: Vec<u64>,
    pending: Pending,
}

impl Core {
    /// The shortest path: nobody is registered for the topic, or only handlers that take this very type by reference. `false` when it is
    /// not so, or an error is to be told; then nothing was called.
    #[inline]
    pub(super) fn dispatch_ref<T: Any>(&self, topic: &str, value: &T) -> bool {
        self.dispatch_any(topic, value, TypeId::of::<T>())
    }

    fn dispatch_any(&self, topic: &str, value: &dyn Any, of: TypeId) -> bool {
        let table = self.table.load();
        if !table.is_open() || table.matches_wild(topic) {
            return false;
        }
        let Some(list) = table.exact(topic) else {
            return check_emit(topic).is_ok();
        };
        if list.by_ref != Some(of) || !list.emittable {
            return false;
        }
        let mine = self.ledger.mine();
        mine.begin(list.handlers);
        for to in &list.all {
            if let Target::Handler(Handler {
                call: Call::Ref(handler),
                ..
            }) = &to.target
                && let Some(Err(failure)) = handler.call(value)
            {
                self.ledger.fail(to.report(Some(topic), &failure));
            }
        }
        mine.end(list.handlers);
        true
    }

    /// Calls who is registered, and returns what is left to wait for. Never blocks, holds no lock while it calls.
    pub(super) fn dispatch(self: &Arc<Self>, topic: &str, source: &mut dyn Source) -> Result<Pending, Error> {
        let table = self.table.load();
        let exact = table.exact(topic);
        if !exact.is_some_and(|list| list.emittable) {
            check_emit(topic)?;
        }
        let mut wild: Vec<&List> = Vec::new();
        if table.has_wild() {
            table.for_each_wild(topic, &mut |list| wild.push(list));
        }
        let exact = exact.map(|list| &**list);
        self.deliver(&table, topic, source, exact, &wild)
    }

    /// Delivers to those registered for this very topic, reserved or not.
    pub(super) fn dispatch_exact(
        self: &Arc<Self>,
        topic: &str,
        source: &mut dyn Source,
    ) -> Result<Pending, Error> {
        let table = self.table.load();
        let exact = table.exact(topic).map(|list| &**list);
        self.deliver(&table, topic, source, exact, &[])
    }

    fn deliver(
        self: &Arc<Self>,
        table: &Table,
        topic: &str,
        source: &mut dyn Source,
        exact: Option<&List>,
        wild: &[&List],
    ) -> Result<Pending, Error> {
        let lists = || exact.into_iter().chain(wild.iter().copied());
        if !table.is_open() {
            return Err(Error::Closed);
        }
        let mine = self.ledger.mine();
        mine.begin(lists().map(|list| list.handlers).sum());
        // Before the first is called, so that all of them see the value in the same place.
        if lists().any(|list| list.shares) {
            source.shared();
        }
        let mut run = Run {
            core: self,
            topic,
            source,
            done: 0,
            bridges: Vec::new(),
            pending: Pending::None,
        };
        for list in lists() {
            for registration in &list.all {
                run.one(registration);
            }
        }
        let Run { done, pending, .. } = run;
        mine.end(done);
        Ok(pending)
    }

    /// Waits for what is left of an emission, unless the bus is closed before.
    pub(super) async fn run(&self, pending: Pending) -> Result<(), Error> {
        // Made before looking, so that a kill in between is not missed.
        let killed = self.state.kill.notified();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        tokio::select! {
            biased;
            () = pending.run() => Ok(()),
            () = killed => Err(Error::Closed),
        }
    }

    /// Runs it in a task of its own, when there is room for one: see [`Settings::detached`](super::builder::Settings).
    pub(super) fn detach(self: &Arc<Self>, pending: Pending) -> Pending {
        if matches!(pending, Pending::None) {
            return pending;
        }
        // Without a runtime there are no tasks: then whoever emits waits.
        let Ok(runtime) = Handle::try_current() else {
            return pending;
        };
        let core = Arc::clone(self);
        let spawn = move |pending: Pending, permit| {
            runtime.spawn(async move {
                // An error says that the bus was closed meanwhile; that is counted.
                drop(core.run(pending).await);
                drop(permit);
            });
        };
        if let Ok(permit) = Arc::clone(&self.detached).try_acquire_owned() {
            self.lagging.store(false, Relaxed);
            spawn(pending, permit);
            return Pending::None;
        }
        let wait = match self.settings.slow_consumer {
            SlowConsumer::Block(_) if self.lagging.load(Relaxed) => {
                pending.give_up(DropReason::Deadline);
                return Pending::None;
            }
            SlowConsumer::Block(wait) => wait,
            _ => {
                pending.give_up(DropReason::Newest);
                return Pending::None;
            }
        };
        let core = Arc::clone(self);
        Pending::One(Work::Wait(Box::pin(async move {
            match timeout(wait, Arc::clone(&core.detached).acquire_owned()).await {
                Ok(Ok(permit)) => spawn(pending, permit),
                _ => {
                    core.lagging.store(true, Relaxed);
                    pending.give_up(DropReason::Deadline);
                }
            }
        })))
    }
}

impl Run<'_> {
    fn one(&mut self, to: &Arc<Registration>) {
        match &to.target {
            Target::Handler(handler) => match self.call(&handler.call) {
                (Called::Done(ending), event) => {
                    self.done += 1;
                    self.ended(to, event, ending);
                }
                (Called::Later(future), event) => {
                    let delivery = Delivery::new(future, Arc::clone(self.core), Arc::clone(to), event);
                    self.later(handler, delivery);
                }
            },
            Target::Stream(queue) => {
                let event = self.event();
                self.queue(queue, event);
            }
            Target::Bridge(outlet) => self.bridge(outlet),
        }
    }

    /// Calls a handler with the value, or with the event when one is needed for that.
    fn call(&mut self, call: &Call) -> (Called, Option<Event>) {
        match call {
            Call::Ref(handler) => {
                if let Some(ending) = self.source.by_ref().and_then(|value| handler.call(value)) {
                    return (Called::Done(ending), None);
                }
                let event = self.event();
                (Called::Done(handler.call_event(&event)), Some(event))
            }
            Call::Shared(handler) => {
                if let Some(called) = self.source.shared().and_then(|value| handler.call(&value)) {
                    return (called, None);
                }
                let event = self.event();
                (handler.call_event(&event), Some(event))
            }
            Call::Event(handler) => {
                let event = self.event();
                (handler.call(&event), Some(event))
            }
        }
    }

    fn event(&mut self) -> Event {
        self.source.event(self.core, self.topic)
    }

    fn ended(&self, to: &Registration, event: Option<Event>, ending: Ending) {
        drop(event);
        if let Err(failure) = ending {
            let reason = to.report(Some(self.topic), &failure);
            self.core.ledger.fail(reason);
        }
    }

    fn later(&mut self, handler: &Handler, delivery: Delivery) {
        let mut work = Pending::One(Work::Handler(delivery));
        if handler.detached {
            work = self.core.detach(work);
        }
        if let Pending::One(work) = work {
            self.pending.push(work);
        }
    }

    fn queue(&mut self, queue: &Arc<Queue<Event>>, event: Event) {
        // A closed queue is a stream that is about to be removed: it asks for nothing more.
        if let Ok(Some(event)) = queue.push_now(event) {
            let queue = Arc::clone(queue);
            self.pending.push(Work::Wait(Box::pin(async move {
                drop(queue.push(event).await);
            })));
        }
    }

    fn bridge(&mut self, outlet: &Arc<Outlet>) {
        if self.bridges.contains(&outlet.number) {
            return;
        }
        self.bridges.push(outlet.number);
        let event = self.event();
        let back = event.via() == Some(&outlet.endpoint);
        if back || !lock(&self.core.border).leave(event.id(), outlet.number) {
            self.core.ledger.counters.rejected.add(Reject::Loop, 1);
            return;
        }
        self.queue(&outlet.queue, event);
    }
}
