use super::core::Core;
use super::registration::Registration;
use crate::DropReason;
use crate::engine::event::Event;
use crate::engine::handler::Ending;
use futures_util::future::{BoxFuture, join_all};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One delivery to an asynchronous handler, begun and not ended. However it ends, even dropped half-way, it is counted once.
pub(super) struct Delivery {
    future: BoxFuture<'static, Ending>,
    core: Arc<Core>,
    to: Arc<Registration>,
    /// Where there is one: for its topic.
    event: Option<Event>,
    ended: bool,
}

impl Delivery {
    pub(super) fn new(
        future: BoxFuture<'static, Ending>,
        core: Arc<Core>,
        to: Arc<Registration>,
        event: Option<Event>,
    ) -> Self {
        Self {
            future,
            core,
            to,
            event,
            ended: false,
        }
    }

    /// Ends it here, for this reason.
    pub(super) fn give_up(mut self, reason: DropReason) {
        self.end(Some(reason));
    }

    fn end(&mut self, failed: Option<DropReason>) {
        if !std::mem::replace(&mut self.ended, true) {
            if let Some(reason) = failed {
                self.core.ledger.fail(reason);
            }
            self.core.end(1);
        }
    }
}

impl Future for Delivery {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(ending) = self.future.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        let topic = self.event.as_ref().map(Event::topic);
        let failed = ending.err().map(|failure| self.to.report(topic, &failure));
        self.end(failed);
        Poll::Ready(())
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let reason = if self.core.is_closing() {
            DropReason::Closed
        } else {
            DropReason::Failed
        };
        self.end(Some(reason));
    }
}

/// What is left to wait for of one emission.
#[derive(Default)]
pub(super) enum Pending {
    #[default]
    None,
    One(Work),
    Many(Vec<Work>),
}

pub(super) enum Work {
    Handler(Delivery),
    /// A queue that is full, or a detached handler that has to wait for its turn.
    Wait(BoxFuture<'static, ()>),
}

impl Future for Work {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Handler(delivery) => Pin::new(delivery).poll(cx),
            Self::Wait(wait) => wait.as_mut().poll(cx),
        }
    }
}

impl Pending {
    pub(super) fn push(&mut self, work: Work) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(work),
            Self::One(first) => Self::Many(vec![first, work]),
            Self::Many(mut all) => {
                all.push(work);
                Self::Many(all)
            }
        };
    }

    /// Runs all of it, concurrently.
    pub(super) async fn run(self) {
        match self {
            Self::None => {}
            Self::One(work) => work.await,
            Self::Many(all) => drop(join_all(all).await),
        }
    }

    /// Ends all of it here, for this reason.
    pub(super) fn give_up(self, reason: DropReason) {
        let all = match self {
            Self::None => return,
            Self::One(work) => vec![work],
            Self::Many(all) => all,
        };
        for work in all {
            if let Work::Handler(delivery) = work {
                delivery.give_up(reason);
            }
        }
    }
}
