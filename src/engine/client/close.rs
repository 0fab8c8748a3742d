use super::core::{ClosedBy, DETACHED};
use super::{Client, Handle};
use crate::codec::Codec;
use distbus_transport::CloseReport;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The end.
impl<C: Codec> Client<C> {
    /// How long [`close`](Client::close) lets things drain.
    pub const CLOSE_TIME: Duration = Duration::from_secs(5);
    const GRACE: Duration = Duration::from_millis(100);

    /// Waits until it has ended; by whom.
    pub async fn closed(&self) -> ClosedBy {
        self.core().closed.wait().await.clone()
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.core().closed.initialized()
    }

    /// Refuses new events, sends what is queued, lets handlers finish, and disconnects; all within [`CLOSE_TIME`](Client::CLOSE_TIME). Reports
    /// the events that did not reach the broker. Again: the same report. Not from within a handler, which it would wait for: spawn it there.
    pub async fn close(&self) -> CloseReport {
        self.close_within(Self::CLOSE_TIME).await
    }

    /// As [`close`](Client::close), with a time of its own.
    pub async fn close_within(&self, within: Duration) -> CloseReport {
        *self
            .handle
            .report
            .get_or_init(|| self.shut_down(Instant::now() + within))
            .await
    }

    async fn shut_down(&self, deadline: Instant) -> CloseReport {
        let core = self.core();
        let tasks = self
            .handle
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut tasks) = tasks else {
            return CloseReport::default();
        };
        // The writer has ended already when the client did.
        let _ = tasks.close.send(deadline);
        core.end(ClosedBy::User);
        // A broker that does not read can hold the writer in the middle of a batch: then it is let go, a little after its own deadline.
        let report = match timeout_at(deadline + Self::GRACE, &mut tasks.writer).await {
            Ok(report) => report.unwrap_or_default(),
            Err(_) => {
                tasks.writer.abort();
                CloseReport::undelivered(self.stats().queued)
            }
        };
        let handled = async {
            // Each ends by itself once the link is closed; a panic of theirs would have been logged.
            let _ = (&mut tasks.reader).await;
            let _ = (&mut tasks.dispatcher).await;
            let _ = core.detached.acquire_many(DETACHED as u32).await;
        };
        if timeout_at(deadline, handled).await.is_err() {
            tracing::warn!(endpoint = %core.endpoint, "handlers were still running when the time to close was over");
            tasks.reader.abort();
            tasks.dispatcher.abort();
        }
        core.clear();
        report
    }
}

impl<C: Codec> Drop for Handle<C> {
    fn drop(&mut self) {
        self.core.end(ClosedBy::User);
        let tasks = self
            .tasks
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(tasks) = tasks {
            // Their halves of the link go with them: that closes the connection.
            tasks.reader.abort();
            tasks.writer.abort();
            tasks.dispatcher.abort();
        }
        self.core.clear();
    }
}
