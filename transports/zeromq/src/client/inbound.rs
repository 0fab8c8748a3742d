use super::end::Ending;
use async_trait::async_trait;
use distbus_transport::{ClientInbound, ClientInbox, TransportError};
use tokio::sync::mpsc;

/// The half that receives: batches that the task has read.
pub(crate) struct Inbound {
    batches: mpsc::Receiver<ClientInbox>,
    /// What did not fit into the caller's inbox.
    rest: ClientInbox,
    ending: Ending,
}

impl Inbound {
    pub(crate) fn new(batches: mpsc::Receiver<ClientInbox>, ending: Ending) -> Self {
        Self {
            batches,
            rest: ClientInbox::default(),
            ending,
        }
    }
}

#[async_trait]
impl ClientInbound for Inbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        if self.rest.is_empty() {
            match self.batches.recv().await {
                Some(batch) => self.rest = batch,
                None => return Err(self.ending.error().unwrap_or(TransportError::Closed)),
            }
        }
        // Nothing waits from here on, so a call that is dropped has taken nothing.
        let count = inbox.room().max(1).min(self.rest.frames.len());
        if count == self.rest.frames.len() {
            inbox.frames.append(&mut self.rest.frames);
        } else {
            inbox.frames.extend(self.rest.frames.drain(..count));
        }
        inbox.signals.append(&mut self.rest.signals);
        Ok(())
    }
}
