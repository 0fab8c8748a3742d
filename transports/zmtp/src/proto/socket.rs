use std::fmt;

/// The six sockets that this crate speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// A broker's control side.
    Router,
    /// A client's control side.
    Dealer,
    /// A broker's publishing side.
    Pub,
    /// A client's receiving side.
    Sub,
    /// A broker's collecting side.
    Pull,
    /// A client's sending side.
    Push,
}

impl SocketType {
    /// As it stands in READY.
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Pull => "PULL",
            Self::Push => "PUSH",
        }
    }

    /// Whether a peer of that type may be at the other end. XPUB and XSUB are PUB and SUB on the wire.
    pub fn fits(self, peer: &[u8]) -> bool {
        match self {
            Self::Router => peer == b"DEALER",
            Self::Dealer => peer == b"ROUTER",
            Self::Pub => peer == b"SUB" || peer == b"XSUB",
            Self::Sub => peer == b"PUB" || peer == b"XPUB",
            Self::Pull => peer == b"PUSH",
            Self::Push => peer == b"PULL",
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
