use super::host::Host;
use crate::batches::Intake;
use async_trait::async_trait;
use distbus_transport::{BrokerInbound, BrokerInbox, BrokerSignal, TransportError};
use std::sync::Arc;

/// The half that receives: batches that the host has read.
pub(crate) struct Inbound {
    intake: Intake<BrokerSignal>,
    /// Runs as long as one half lives.
    _host: Arc<Host>,
}

impl Inbound {
    pub(crate) fn new(intake: Intake<BrokerSignal>, host: Arc<Host>) -> Self {
        Self { intake, _host: host }
    }
}

#[async_trait]
impl BrokerInbound for Inbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        if self.intake.recv(inbox).await {
            Ok(())
        } else {
            Err(TransportError::Closed)
        }
    }
}
