use crate::{Endpoint, PeerId};
use std::io;

/// What a transport could not do. One line; says what to do about it; never repeats its source.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// This transport does not serve such endpoints.
    #[error("the {transport} transport cannot serve {endpoint}; it takes {takes}")]
    Unsupported {
        /// The transport's name.
        transport: &'static str,
        /// What was asked for.
        endpoint: Endpoint,
        /// What it takes, as in `tcp://host:port with a port up to 65533`.
        takes: &'static str,
    },
    /// Somebody else listens there.
    #[error("{endpoint} is in use; choose another, or port 0 for a free one")]
    AddressInUse {
        /// Where.
        endpoint: Endpoint,
    },
    /// The endpoint could not be bound.
    #[error("cannot listen on {endpoint}")]
    Bind {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The endpoint could not be reached.
    #[error("cannot connect to {endpoint}; is a broker running there?")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The other side refused this peer.
    #[error("{endpoint} refused the connection: {reason}")]
    Refused {
        /// Where.
        endpoint: Endpoint,
        /// Why, in words.
        reason: String,
    },
    /// Something is larger than its limit.
    #[error(
        "{what} of {size} bytes is above the limit of {limit}; send less, or raise the limit on both sides"
    )]
    TooLarge {
        /// A topic, an event, a subscription.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There are as many as are allowed.
    #[error("no more than {limit} {what} are allowed; close some, or raise the limit")]
    LimitReached {
        /// Clients, subscriptions, ...
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// No such peer is connected.
    #[error("no peer {0} is connected")]
    UnknownPeer(PeerId),
    /// The link was closed on this side, or the other side is gone.
    #[error("the link is closed; connect again")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// Anything else that a transport of your own has to say.
    #[error("the {transport} transport failed")]
    Other {
        /// The transport's name.
        transport: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TransportError {
    /// Whether the link is over, as opposed to one call on it having failed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed | Self::Io(_))
    }
}
