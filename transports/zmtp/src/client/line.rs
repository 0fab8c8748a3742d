use crate::mailbox::Mailbox;
use crate::net::outlet::Outlet;
use crate::net::reader::event_rules;
use crate::net::session::Role;
use crate::proto::{Rules, Violation};
use crate::refuse::refuse;
use bytes::Bytes;
use distbus_transport::{ClientSignal, Counters, Limits, Reject};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) type ClientMailbox = Mailbox<ClientSignal, Infallible>;

/// What both halves of a client's link and its tasks share.
pub(crate) struct Line {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mailbox: Arc<ClientMailbox>,
    pub(crate) dealer: Arc<Outlet>,
    pub(crate) sub: Arc<Outlet>,
    pub(crate) push: Arc<Outlet>,
    pub(crate) closing: watch::Sender<Option<Instant>>,
    /// Whether the broker has closed the PUSH connection, or answered our closing it.
    pub(crate) push_over: watch::Receiver<bool>,
    pub(crate) tasks: Mutex<JoinSet<()>>,
}

impl Line {
    pub(crate) fn cut_off(&self) {
        self.mailbox.close();
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
    }
}

/// Held by both halves, and by no task: when they are gone, so is everything.
pub(crate) struct Anchor(pub(crate) Arc<Line>);

impl Drop for Anchor {
    fn drop(&mut self) {
        self.0.cut_off();
    }
}

/// The client's end of its DEALER connection.
pub(crate) struct Control {
    pub(crate) mailbox: Arc<ClientMailbox>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limit: usize,
    pub(crate) signals: Vec<ClientSignal>,
}

impl Role for Control {
    fn rules(&self) -> Rules {
        event_rules(self.limit, self.limit)
    }

    fn message(&mut self, first: &[u8], frames: usize) -> Result<(), Violation> {
        if frames == 1 {
            let message = Bytes::copy_from_slice(first);
            self.signals.push(ClientSignal::Control(message));
        } else {
            refuse(
                &self.counters,
                Reject::Control,
                1,
                "a control message has one frame",
            );
        }
        Ok(())
    }

    fn hand_over(&mut self) -> bool {
        self.mailbox.post(&mut self.signals)
    }
}

/// The client's end of its PUSH connection: a broker says nothing there but heartbeats.
pub(crate) struct Silence;

impl Role for Silence {
    fn rules(&self) -> Rules {
        event_rules(0, 0)
    }

    fn message(&mut self, _: &[u8], _: usize) -> Result<(), Violation> {
        Err(Violation::Malformed("a message from a PULL socket"))
    }

    fn hand_over(&mut self) -> bool {
        true
    }
}
