use crate::{NAME, broker, client};
use async_trait::async_trait;
use distbus_transport::{
    Authentication, BrokerLink, ClientLink, DropAccounting, Endpoint, Guarantees, Limits, Loss, Ordering,
    PeerId, Relay, Transport, TransportError,
};

/// ZeroMQ over TCP on the `zeromq` crate, with the wire of Python's `aiodistbus`.
///
/// The [crate documentation](crate) says what is on the wire, and what this transport cannot promise.
///
/// [`bind`](Transport::bind) takes `tcp://host:port` with a port up to 65533, or 0 for a free one, and uses the next two
/// ports as well. [`connect`](Transport::connect) is for a tokio runtime with its I/O and time drivers enabled.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ZeroMq {}

impl ZeroMq {
    /// The transport. It holds nothing; its links do.
    pub fn new() -> Self {
        Self {}
    }
}

#[async_trait]
impl Transport for ZeroMq {
    fn name(&self) -> &'static str {
        NAME
    }

    fn guarantees(&self) -> Guarantees {
        let mut promises = Guarantees::strong();
        promises.ordering = Ordering::PerPublisher;
        promises.loss = Loss::UnderLoad;
        promises.drop_accounting = DropAccounting::AtSubscriber;
        promises.relay = Relay::Broker;
        promises.authentication = Authentication::None;
        promises.limits = false;
        promises.presence = false;
        promises.exclusive_peers = false;
        promises
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        broker::bind(endpoint, limits).await
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        client::connect(endpoint, peer, limits).await
    }
}
