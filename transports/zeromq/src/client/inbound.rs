use super::end::Ending;
use crate::batches::Intake;
use async_trait::async_trait;
use distbus_transport::{ClientInbound, ClientInbox, ClientSignal, TransportError};

/// The half that receives: batches that the task has read.
pub(crate) struct Inbound {
    intake: Intake<ClientSignal>,
    ending: Ending,
}

impl Inbound {
    pub(crate) fn new(intake: Intake<ClientSignal>, ending: Ending) -> Self {
        Self { intake, ending }
    }
}

#[async_trait]
impl ClientInbound for Inbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        if self.intake.recv(inbox).await {
            Ok(())
        } else {
            Err(self.ending.error().unwrap_or(TransportError::Closed))
        }
    }
}
