use distbus_transport::Reject;

/// What a peer did that ends its connection. One line, in words for a log.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first byte is not that of a versioned greeting.
    #[error("it speaks ZMTP 1.0, or not ZMTP at all; version 3 is needed")]
    NotVersioned,
    /// A version before 3.
    #[error("it speaks ZMTP revision {0}; version 3 is needed")]
    OldVersion(u8),
    /// A mechanism that this side does not have.
    #[error("it wants the security mechanism {0:?}; this side has {1}")]
    Mechanism(String, &'static str),
    /// Both sides, or neither, are the server of the mechanism.
    #[error("its part in the security mechanism is the same as ours; one side is the server")]
    BothSameRole,
    /// A socket type that does not fit.
    #[error("its socket type {0:?} does not fit {1}")]
    SocketType(String, &'static str),
    /// It sent ERROR.
    #[error("it answered with an error: {0}")]
    PeerError(String),
    /// Against the grammar.
    #[error("it broke the protocol: {0}")]
    Malformed(&'static str),
    /// A handshake against the grammar.
    #[error("its handshake broke the protocol: {0}")]
    Handshake(&'static str),
    /// Above a limit; nothing was reserved for it.
    #[error("its {what} of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// A topic, an event, a command.
        what: &'static str,
        /// As announced, in bytes.
        size: u64,
        /// In bytes.
        limit: usize,
    },
    /// A message that goes on and on.
    #[error("its message has more than {0} frames")]
    TooManyFrames(usize),
    /// More subscriptions than allowed.
    #[error("it holds more than {limit} {what}")]
    Subscriptions {
        /// Subscriptions, or bytes of subscriptions.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl Violation {
    /// What it counts as.
    pub fn reject(&self) -> Reject {
        match self {
            Self::NotVersioned
            | Self::OldVersion(_)
            | Self::Mechanism(..)
            | Self::BothSameRole
            | Self::SocketType(..)
            | Self::PeerError(_)
            | Self::Handshake(_) => Reject::Handshake,
            Self::Malformed(_) => Reject::Malformed,
            Self::TooLarge { .. } | Self::TooManyFrames(_) => Reject::TooLarge,
            Self::Subscriptions { .. } => Reject::Subscriptions,
        }
    }
}
