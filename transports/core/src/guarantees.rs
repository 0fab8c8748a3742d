/// What a transport promises. The conformance suite holds it to every promise, and names those it does not make.
///
/// ```
/// use distbus_transport::{Guarantees, Loss};
///
/// let promises = Guarantees::strong();
/// assert_eq!(promises.loss, Loss::OnlySlowConsumers);
/// assert!(promises.missing().is_empty());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// In which order a subscriber sees the frames of one publisher.
    pub ordering: Ordering,
    /// What can be lost between a live publisher and a live subscriber.
    pub loss: Loss,
    /// Whether each frame lost on the way is in the counters.
    pub drop_accounting: DropAccounting,
    /// Who copies a frame to its subscribers.
    pub relay: Relay,
    /// Who checks that a peer is who it says.
    pub authentication: Authentication,
    /// Every bound in [`Limits`](crate::Limits) is kept, and every [`SlowConsumer`](crate::SlowConsumer) policy works.
    pub limits: bool,
    /// The broker learns who connects, leaves and subscribes.
    pub presence: bool,
    /// A peer id in use cannot be taken over by another connection.
    pub exclusive_peers: bool,
}

/// The order of one publisher's frames at one subscriber.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// As they were pushed.
    PerPublisher,
    /// Any.
    None,
}

/// What can be lost while both ends live.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Only what a [`SlowConsumer`](crate::SlowConsumer) policy drops.
    OnlySlowConsumers,
    /// Anything, under load.
    UnderLoad,
}

/// Whether lost frames are counted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropAccounting {
    /// Each one, by reason: `offered = delivered + dropped + in flight`.
    Complete,
    /// Some losses can be seen only by the subscriber, as gaps in the sequence of event ids.
    AtSubscriber,
}

/// Who copies a frame to its subscribers.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// The broker.
    Broker,
    /// The network itself: multicast, a routed fabric.
    Fabric,
}

/// Who checks that a peer is who it says.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Nobody: whoever can reach the endpoint is believed.
    None,
    /// The process boundary: only code of this process can connect.
    Process,
    /// The transport, by key or password.
    Transport,
}

impl Guarantees {
    /// Every promise but authentication: the starting point for a transport that keeps them all.
    pub fn strong() -> Self {
        Self {
            ordering: Ordering::PerPublisher,
            loss: Loss::OnlySlowConsumers,
            drop_accounting: DropAccounting::Complete,
            relay: Relay::Broker,
            authentication: Authentication::None,
            limits: true,
            presence: true,
            exclusive_peers: true,
        }
    }

    /// The promises not made, in words, for people and for the conformance suite's report.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let mut unless = |promised: bool, words| {
            if !promised {
                missing.push(words);
            }
        };
        unless(
            self.ordering == Ordering::PerPublisher,
            "order of one publisher's events",
        );
        unless(self.loss == Loss::OnlySlowConsumers, "no loss under load");
        unless(
            self.drop_accounting == DropAccounting::Complete,
            "every drop counted",
        );
        unless(self.limits, "limits and slow-consumer policies");
        unless(self.presence, "presence of clients and subscriptions");
        unless(self.exclusive_peers, "peer ids that cannot be taken over");
        missing
    }
}
