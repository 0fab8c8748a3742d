use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use zeromq::MultiPeerBackend;

/// What all tasks of one socket share; also a handle that outlives the socket.
pub(crate) type Backend = Arc<dyn MultiPeerBackend>;

/// How often to look. The crate tells nobody when a task of its ends.
const LOOK: Duration = Duration::from_millis(1);

/// Waits until the tasks of these sockets, which were dropped, have ended: their writers have then written all they
/// had. False when some still run at the deadline.
///
/// A connection whose handshake ends after its socket was dropped would live on for ever; it is closed here.
pub(crate) async fn ended(backends: &[Backend], deadline: Instant) -> bool {
    loop {
        tokio::task::yield_now().await;
        for backend in backends {
            backend.shutdown();
        }
        if backends.iter().all(|backend| Arc::strong_count(backend) == 1) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
}
