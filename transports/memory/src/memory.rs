use crate::broker::NotAdmitted;
use crate::broker_link::broker_link;
use crate::client_link::{Session, client_link};
use crate::hub::Hub;
use async_trait::async_trait;
use distbus_transport::{
    Authentication, BrokerLink, ClientLink, Counters, Endpoint, Guarantees, Limits, PeerId,
};
use distbus_transport::{Transport, TransportError};
use std::pin::pin;
use std::sync::Arc;

const NAME: &str = "memory";

/// The transport inside one process: brokers and clients that share a `Memory` find each other at `mem://name`.
///
/// Clones share their names; two that were made apart know nothing of each other. Nothing is global.
///
/// ```
/// use distbus_memory::Memory;
/// use distbus_transport::{Batch, BrokerInbox, ClientInbox, Endpoint, Frame, Limits, PeerId, Transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory::new();
/// let mut broker = memory.bind(&Endpoint::mem("lab"), &Limits::default()).await?;
/// let id = PeerId::new("thermometer").ok_or("an id has 1 to 255 bytes")?;
/// let mut client = memory.connect(&broker.endpoint, &id, &Limits::default()).await?;
///
/// client.outbound.subscribe("lab.".into()).await?;
/// client.outbound.push(Batch::from([Frame::sealed("lab.temp", "21.5")]).all()).await?;
///
/// let mut received = BrokerInbox::default();
/// broker.inbound.recv(&mut received).await?;
/// broker.outbound.publish(received.frames.all()).await?;
///
/// let mut inbox = ClientInbox::default();
/// client.inbound.recv(&mut inbox).await?;
/// assert_eq!(inbox.frames, [Frame::sealed("lab.temp", "21.5")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    hub: Arc<Hub>,
}

impl Memory {
    /// One with no broker.
    pub fn new() -> Self {
        Self::default()
    }
}

fn name_of(endpoint: &Endpoint) -> Result<&str, TransportError> {
    match endpoint {
        Endpoint::Mem { name } => Ok(name),
        other => Err(TransportError::Unsupported {
            transport: NAME,
            endpoint: other.clone(),
            takes: "mem://name",
        }),
    }
}

#[async_trait]
impl Transport for Memory {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Every promise; only code of this process can connect.
    fn guarantees(&self) -> Guarantees {
        let mut promises = Guarantees::strong();
        promises.authentication = Authentication::Process;
        promises
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        let broker = self.hub.bind(name_of(endpoint)?, limits)?;
        Ok(broker_link(self.hub.clone(), broker))
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        let name = name_of(endpoint)?;
        loop {
            // Listening before looking: whoever binds in between is not missed.
            let mut bound = pin!(self.hub.bound.notified());
            bound.as_mut().enable();
            if let Some(broker) = self.hub.find(name) {
                match broker.admit(peer).await {
                    Ok((key, mailbox)) => {
                        return Ok(client_link(Session {
                            key,
                            mailbox,
                            peer: peer.clone(),
                            sending: tighter(limits, &broker.limits),
                            receiving: limits.clone(),
                            counters: Arc::new(Counters::default()),
                            broker,
                        }));
                    }
                    Err(NotAdmitted::Refused(reason)) => {
                        let endpoint = endpoint.clone();
                        return Err(TransportError::Refused { endpoint, reason });
                    }
                    Err(NotAdmitted::Closed) => {}
                }
            }
            bound.await;
        }
    }
}

/// What both sides allow of what a client sends.
fn tighter(client: &Limits, broker: &Limits) -> Limits {
    client
        .clone()
        .with_event_bytes(client.event_bytes.min(broker.event_bytes))
        .with_topic_bytes(client.topic_bytes.min(broker.topic_bytes))
        .with_subscriptions(client.subscriptions.min(broker.subscriptions))
        .with_subscription_bytes(client.subscription_bytes.min(broker.subscription_bytes))
}
