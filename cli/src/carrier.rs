use clap::ValueEnum;
use distbus::{BrokerBuilder, ClientBuilder, Codec, Transport, ZeroMq, Zmtp};

/// A transport by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carrier {
    /// The wire of Python's aiodistbus, on an engine of our own: bounded and fast
    Zmtp,
    /// The same wire on the independent `zeromq` crate, which keeps fewer limits
    Zeromq,
}

impl Carrier {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zmtp => "zmtp",
            Self::Zeromq => "zeromq",
        }
    }

    /// A broker on this transport; `bounded` when it was given limits to keep.
    pub(crate) fn broker<C: Codec>(self, builder: BrokerBuilder<C>, bounded: bool) -> BrokerBuilder<C> {
        fn with<C: Codec>(
            builder: BrokerBuilder<C>,
            transport: impl Transport,
            bounded: bool,
        ) -> BrokerBuilder<C> {
            if bounded && !transport.guarantees().limits {
                tracing::warn!(
                    transport = transport.name(),
                    "this transport does not keep all limits, as those on clients and handshakes"
                );
            }
            builder.transport(transport)
        }
        match self {
            Self::Zmtp => with(builder, Zmtp::new(), bounded),
            Self::Zeromq => with(builder, ZeroMq::new(), bounded),
        }
    }

    /// A client on this transport.
    pub(crate) fn client<C: Codec>(self, builder: ClientBuilder<C>) -> ClientBuilder<C> {
        match self {
            Self::Zmtp => builder.transport(Zmtp::new()),
            Self::Zeromq => builder.transport(ZeroMq::new()),
        }
    }
}
