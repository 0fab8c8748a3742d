use crate::condition::Life;
use crate::rng::derive;
use crate::sim::Inner;
use crate::trace::{Place, What};
use crate::{Network, NodeHost, SimRng};
use distbus::{
    Broker, BrokerBuilder, Client, ClientBuilder, DefaultCodec, Error, LocalBus, LocalBusBuilder, Outcome,
};
use futures_util::FutureExt;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// One run of a node, as its program has it: what [`Sim::node`](crate::Sim::node) hands to the factory, and [`Sim::at`](crate::Sim::at) to the
/// scenario.
///
/// When the node crashes, everything that was made here is cut off, and the program's future and what it [spawned](Self::spawn) are
/// dropped before time goes on. A task that the program has started by `tokio::spawn` is out of reach: it runs on, without a connection.
#[derive(Clone)]
pub struct Node {
    sim: Weak<Inner>,
    life: Arc<Life>,
    network: Network,
    host: NodeHost,
}

impl Node {
    pub(crate) fn new(sim: &Arc<Inner>, life: Arc<Life>) -> Self {
        let network = sim.network.living(&life);
        let host = NodeHost::new(network.net.clone(), life.clone());
        Self {
            sim: Arc::downgrade(sim),
            life,
            network,
            host,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.life.name()
    }

    /// Which run of it this is, from 1.
    pub fn run(&self) -> u64 {
        self.life.run
    }

    /// Connects with the defaults to the broker of this name.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(&self, broker: &str) -> Result<Client, Error> {
        self.client().connect(format!("mem://{broker}")).await
    }

    /// A builder of a client over the simulated network: `.connect("mem://broker")`.
    pub fn client(&self) -> ClientBuilder<DefaultCodec> {
        Client::builder()
            .transport(self.network.clone())
            .host(self.host.clone())
    }

    /// A builder of a broker on the simulated network. Bind it to [`endpoint`](Self::endpoint), or to `mem://<name>/<more>` for a second one:
    /// up to the `/` is where faults find it.
    pub fn broker(&self) -> BrokerBuilder<DefaultCodec> {
        Broker::builder()
            .transport(self.network.clone())
            .host(self.host.clone())
    }

    /// A builder of a bus inside the node.
    pub fn local_bus(&self) -> LocalBusBuilder {
        LocalBus::builder().host(self.host.clone())
    }

    /// `mem://<name>`.
    pub fn endpoint(&self) -> String {
        format!("mem://{}", self.name())
    }

    /// The network as this node has it, for whatever takes a transport.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The node's wall clock and randomness.
    pub fn host(&self) -> &NodeHost {
        &self.host
    }

    /// A generator from the seed for one purpose of this run.
    pub fn rng(&self, purpose: &str) -> SimRng {
        derive(self.network.net.seed, &["node", self.name(), purpose], self.run())
    }

    /// Notes something in the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.network.net.record(&self.place(), What::Note(text.into()));
    }

    /// Runs something beside the program, which ends and stalls with the node. A panic of it fails the scenario.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        tokio::spawn(self.clone().play(future, false));
    }

    fn place(&self) -> Place {
        Place::Node(self.life.name().clone())
    }

    /// Plays a part of the node until it ends, or the node does.
    pub(crate) async fn play<F: Future<Output: Outcome>>(self, future: F, main: bool) {
        let dead = self.life.dead.clone();
        let part = AssertUnwindSafe(stalling(self.life.clone(), future)).catch_unwind();
        // Biased: the dead are not asked again.
        let ended = tokio::select! {
            biased;
            () = dead.cancelled() => return,
            ended = part => ended,
        };
        match ended.map(Outcome::into_result) {
            Ok(Ok(())) if !main => {}
            Ok(Ok(())) => self.finished("done".to_owned()),
            Ok(Err(error)) => self.finished(error.to_string()),
            Err(panic) => {
                if let Some(sim) = self.sim.upgrade() {
                    sim.fail(format!("node {} panicked: {}", self.name(), panic_text(&*panic)));
                }
            }
        }
    }

    fn finished(&self, how: String) {
        self.network.net.record(&self.place(), What::Finished(how));
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name())
            .field("run", &self.run())
            .finish_non_exhaustive()
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "something that is no text".to_owned())
}

/// Runs a future, but not while its node is stalled.
async fn stalling<F: Future>(life: Arc<Life>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        while let Some(until) = life.node.stalled(Instant::now()) {
            crate::side::wait(&life.node.changed, Some(until)).await;
        }
        let polled = poll_fn(|cx| {
            if life.node.stalled(Instant::now()).is_some() {
                return std::task::Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        });
        if let Some(output) = polled.await {
            return output;
        }
    }
}

/// By how much a node's wall clock is off. A [`Duration`] is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// It is fast by so much.
    Ahead(Duration),
    /// It is slow by so much.
    Behind(Duration),
}

impl From<Duration> for Skew {
    fn from(ahead: Duration) -> Self {
        Self::Ahead(ahead)
    }
}

impl Skew {
    pub(crate) fn micros(self) -> i64 {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match self {
            Self::Ahead(time) => micros(time),
            Self::Behind(time) => -micros(time),
        }
    }
}
