//! One connection to a broker.

mod builder;
mod bundle;
mod close;
mod core;
mod delivery;
mod dispatch;
mod emit;
mod handlers;
mod incoming;
mod outbox;
mod probe;
mod reader;
mod stats;
mod table;
mod writer;

pub use self::builder::ClientBuilder;
pub(crate) use self::builder::DefaultTransport;
pub use self::core::ClosedBy;
pub use self::stats::ClientStats;

use self::core::Core;
use crate::DefaultCodec;
use crate::codec::Codec;
use distbus_transport::{CloseReport, Endpoint};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A connection to a broker: handlers, streams, and events to emit. Cloning shares the connection.
///
/// Handlers of one event run together, and the next event waits for them, unless they are detached. There is one handler a
/// pattern, the newest; streams are as many as you like.
///
/// The connection ends with [`close`](Client::close), with the broker, when no pulse comes for too long, or when the last clone is dropped; a
/// handler that holds a clone keeps it open until `close`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Broker, Client, Memory};
///
/// let network = Memory::new();
/// let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// let client = Client::builder().transport(network).connect("mem://lab").await?;
///
/// let mut temps = client.subscribe::<f64>("lab.temp").await?;
/// client.emit("lab.temp", &21.5).await?;
/// let temp = temps.next().await.expect("the client is open");
/// assert_eq!(*temp, 21.5);
///
/// client.close().await;
/// broker.close().await;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "DEntryPoint")]
pub struct Client<C: Codec = DefaultCodec> {
    handle: Arc<Handle<C>>,
}

impl<C: Codec> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

/// What the last clone takes down with it.
struct Handle<C: Codec> {
    core: Arc<Core<C>>,
    confirm_timeout: Duration,
    tasks: Mutex<Option<Tasks>>,
    report: OnceCell<CloseReport>,
}

struct Tasks {
    reader: JoinHandle<()>,
    dispatcher: JoinHandle<()>,
    writer: JoinHandle<CloseReport>,
    close: oneshot::Sender<Instant>,
}

impl<C: Codec> Client<C> {
    fn core(&self) -> &Arc<Core<C>> {
        &self.handle.core
    }

    /// The broker's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.core().endpoint
    }

    /// What it has done so far.
    pub fn stats(&self) -> ClientStats {
        let core = self.core();
        core.inbound
            .stats(core.outbox.counts(), &core.counters, &core.link)
    }
}

impl<C: Codec> std::fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", self.endpoint())
            .field("open", &self.core().open.load(Relaxed))
            .field("closed", &self.core().closed.get())
            .finish_non_exhaustive()
    }
}
