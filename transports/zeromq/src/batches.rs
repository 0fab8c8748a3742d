use crate::lock;
use distbus_transport::Inbox;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Batches that wait between a task and its receiver.
const WAITING: usize = 2;

/// What one batch may weigh so that all there can be stay below `bytes`: those that wait, the one the task fills, and
/// the one the receiver empties.
pub(crate) fn share(bytes: usize) -> usize {
    (bytes / (WAITING + 2)).max(1)
}

/// A queue of batches from the task that reads sockets to the half that receives.
pub(crate) fn channel<S>() -> (Outlet<S>, Intake<S>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let last = Arc::new(Mutex::default());
    let outlet = Outlet {
        sender,
        last: Arc::clone(&last),
    };
    let intake = Intake {
        receiver,
        rest: Inbox::default(),
        last,
    };
    (outlet, intake)
}

/// The task's end.
pub(crate) struct Outlet<S> {
    sender: mpsc::Sender<Inbox<S>>,
    last: Arc<Mutex<Inbox<S>>>,
}

impl<S> Outlet<S> {
    /// Waits for room. `None` when nobody receives any more.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, Inbox<S>>> {
        self.sender.reserve().await.ok()
    }

    /// Waits until nobody receives any more.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Leaves what there was no room for, and ends.
    pub(crate) fn finish(self, last: Inbox<S>) {
        *lock(&self.last) = last;
    }
}

/// The receiver's end.
pub(crate) struct Intake<S> {
    receiver: mpsc::Receiver<Inbox<S>>,
    /// What did not fit into the caller's inbox.
    rest: Inbox<S>,
    last: Arc<Mutex<Inbox<S>>>,
}

impl<S> Intake<S> {
    /// Appends what is there, or waits for it. False once the task has ended and all it had read has been returned.
    pub(crate) async fn recv(&mut self, inbox: &mut Inbox<S>) -> bool {
        if self.rest.is_empty() {
            self.rest = match self.receiver.recv().await {
                Some(batch) => batch,
                None => std::mem::take(&mut *lock(&self.last)),
            };
        }
        // Nothing waits from here on: a call that is dropped before has taken nothing.
        let found = !self.rest.is_empty();
        let count = inbox.room().max(1).min(self.rest.frames.len());
        if count == self.rest.frames.len() {
            inbox.frames.append(&mut self.rest.frames);
        } else {
            inbox.frames.extend(self.rest.frames.take(count));
        }
        inbox.signals.append(&mut self.rest.signals);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::Frame;

    #[tokio::test]
    async fn what_is_left_comes_before_the_end_and_in_bounded_batches() {
        let (outlet, mut intake) = channel::<()>();
        let bound = Inbox::<()>::BOUND;
        let mut batch = Inbox::default();
        batch
            .frames
            .extend(std::iter::repeat_n(Frame::default(), bound + 5));
        outlet.reserve().await.unwrap().send(batch);
        let mut last = Inbox::default();
        last.signals.push(());
        outlet.finish(last);
        let mut inbox = Inbox::default();
        for expected in [(bound, 0), (5, 0), (0, 1)] {
            inbox.clear();
            assert!(intake.recv(&mut inbox).await);
            assert_eq!((inbox.frames.len(), inbox.signals.len()), expected);
        }
        assert!(!intake.recv(&mut inbox).await);
    }
}
