use crate::broker::broker_link;
use crate::client::client_link;
use crate::condition::Life;
use crate::link::Link;
use crate::net::{Net, RuleId};
use crate::rng::SimRng;
use crate::side::{Side, wait};
use crate::trace::{Place, What};
use crate::way::{Open, Way};
use crate::{FaultRule, FlowStats, LinkConfig, LinkControl, LinkInfo, carrier};
use async_trait::async_trait;
use distbus_transport::{
    BrokerLink, ClientLink, DropAccounting, Endpoint, Guarantees, Limits, Loss, Ordering, PeerId, Transport,
    TransportError,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Any transport, behind a network that can be as bad as you like.
///
/// Each connection of a client becomes a link of two directions in which everything takes its time: frames, subscriptions and control messages,
/// in order, as far as a window of bytes lets them. Over a real transport the times are real ones.
///
/// Links are known by the names of the nodes at their ends. The client's is the one that [`at`](Self::at) gave, `local` without it; the
/// broker's is what its endpoint says: the name in `mem://name`, up to a `/`, or all of `tcp://host:port`.
///
/// With nothing wrong, which is how it starts, it keeps every promise of the transport below, and the conformance suite passes.
///
/// ```
/// use distbus::{Broker, Client, Memory};
/// use distbus_sim::{Faulty, LinkConfig};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), distbus::Error> {
/// let network = Faulty::new(Memory::new());
/// network.set_default(LinkConfig::default().with_latency(Duration::from_millis(20)));
/// let broker = Broker::builder().transport(network.at("hub")).bind("mem://hub").await?;
/// let client = Client::builder().transport(network.at("sensor")).connect("mem://hub").await?;
///
/// network.link("sensor", "hub").clog(Duration::from_secs(3));
/// client.emit("lab.temp", &21.5).await?;
/// client.flush().await?; // after three seconds and a round trip
/// assert!(network.link("sensor", "hub").flow().adds_up());
/// # broker.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Faulty<T> {
    inner: Arc<T>,
    pub(crate) net: Arc<Net>,
    life: Arc<Life>,
}

impl<T> Clone for Faulty<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            net: self.net.clone(),
            life: self.life.clone(),
        }
    }
}

impl<T: Transport> Faulty<T> {
    /// Around this transport, with nothing wrong. Faults are drawn from seed 0.
    pub fn new(inner: T) -> Self {
        Self::seeded(inner, 0)
    }

    /// As [`new`](Self::new), with faults drawn from this seed.
    pub fn seeded(inner: T, seed: u64) -> Self {
        Self::traced(inner, seed, 0)
    }

    /// With so many of the last records of what happened.
    pub(crate) fn traced(inner: T, seed: u64, keep: usize) -> Self {
        let net = Arc::new(Net::new(seed, keep));
        let life = Life::new(seed, net.node("local"), 1);
        Self {
            inner: Arc::new(inner),
            net,
            life,
        }
    }

    /// The same network, as the node of this name has it.
    #[must_use]
    pub fn at(&self, node: &str) -> Self {
        self.living(&Life::new(self.net.seed, self.net.node(node), 1))
    }

    /// The same network, as one run of a node has it.
    pub(crate) fn living(&self, life: &Arc<Life>) -> Self {
        Self {
            life: life.clone(),
            ..self.clone()
        }
    }

    /// The link between two nodes, whether there is a connection or not.
    pub fn link(&self, a: &str, b: &str) -> LinkControl {
        LinkControl::new(self.net.clone(), a, b)
    }

    /// What links are like that have not been told otherwise.
    pub fn set_default(&self, config: LinkConfig) {
        self.net.set_default(config);
    }

    /// Adds a rule, behind those that are there.
    pub fn add_rule(&self, rule: impl FaultRule) -> RuleId {
        self.net.add_rule(Box::new(rule))
    }

    /// Takes a rule away; `false` when it was not there.
    pub fn remove_rule(&self, rule: RuleId) -> bool {
        self.net.remove_rules(|other| other == rule)
    }

    /// Takes all rules away.
    pub fn clear_rules(&self) {
        self.net.remove_rules(|_| true);
    }

    /// A node neither sends nor receives for so long.
    pub fn stall(&self, node: &str, time: Duration) {
        self.net.stall(&self.net.node(node), Some(time));
    }

    /// A node reads no more than so many bytes a second; `None` ends that.
    pub fn slow_reader(&self, node: &str, bytes_per_second: Option<u64>) {
        self.net.slow_reader(&self.net.node(node), bytes_per_second);
    }

    /// Ends everything that is wrong: partitions, clogs, stalls, slow readers, rules, and what was said of single links. The default for
    /// links stays.
    pub fn heal_all(&self) {
        self.clear_rules();
        let ways = self.net.ways();
        for way in ways.iter().filter(|way| !way.is_default()) {
            way.reset();
            self.net.fault(&way.place, "as by default");
        }
        self.net.heal(&ways, None);
        let now = Instant::now();
        for node in self.net.nodes() {
            if node.stalled(now).is_some() {
                self.net.stall(&node, None);
            }
            if node.rate().is_some() {
                self.net.slow_reader(&node, None);
            }
        }
    }

    /// What all links have carried, in both directions.
    pub fn totals(&self) -> FlowStats {
        self.net.totals()
    }

    /// Waits until a way is open, and then as long as one thing takes on it.
    async fn pass(&self, way: &Way, rng: &mut SimRng) {
        loop {
            let until = match way.open(Instant::now()) {
                Open::Now => break,
                Open::At(time) => Some(time),
                Open::Never => None,
            };
            wait(&way.changed, until).await;
        }
        let latency = way.config().latency.draw(rng);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        let (node, broker) = (self.life.name().clone(), far_node(endpoint));
        let (up, down) = (self.net.way(&node, &broker), self.net.way(&broker, &node));
        let (connection, mut up_rng, mut down_rng) = self.net.new_connection(&node, &broker);
        self.pass(&up, &mut up_rng).await;
        let connected = self.inner.connect(endpoint, peer, limits).await;
        self.pass(&down, &mut down_rng).await;
        let inner = connected.inspect_err(|error| {
            self.net.record(&up.place, What::Refused(error.to_string()));
        })?;
        self.net.record(&up.place, What::Connected(connection));
        let side = |way: Arc<Way>, rng, to_broker| {
            let info = LinkInfo {
                from: way.from.clone(),
                to: way.to.clone(),
                connection,
                to_broker,
            };
            Side::new(info, way, rng)
        };
        let link = self.net.add_link(|id| {
            let (up, down) = (side(up, up_rng, true), side(down, down_rng, false));
            Link::new(&self.net, id, &self.life, up, down, limits.queue_bytes)
        });
        tokio::spawn(carrier::up(link.clone(), inner.outbound, inner.counters.clone()));
        tokio::spawn(carrier::down(link.clone(), inner.inbound));
        let limits = match self.net.bound(endpoint) {
            Some((_, bound)) => tighter(limits, &bound),
            None => limits.clone(),
        };
        Ok(client_link(link, limits, inner.counters))
    }

    /// Binds; waits for a run of the same name that has crashed and not let go yet.
    async fn bind_below(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        const TURNS: usize = 1000;
        for _ in 0..TURNS {
            match self.inner.bind(endpoint, limits).await {
                Err(TransportError::AddressInUse { .. })
                    if self.net.bound(endpoint).is_some_and(|(life, _)| life.is_dead()) =>
                {
                    tokio::task::yield_now().await;
                }
                bound => return bound,
            }
        }
        self.inner.bind(endpoint, limits).await
    }
}

/// Where the calls of a node lead that has crashed: an error would let whoever tries again at once do so for ever, in no time.
async fn nowhere<R>() -> R {
    std::future::pending().await
}

/// The node that listens at an endpoint.
fn far_node(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Mem { name } => name.split('/').next().unwrap_or(name).to_owned(),
        other => other.to_string(),
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

#[async_trait]
impl<T: Transport> Transport for Faulty<T> {
    fn name(&self) -> &'static str {
        "faulty"
    }

    /// Those of the transport below, less what the links as they are now, or a rule, can break.
    fn guarantees(&self) -> Guarantees {
        let mut promises = self.inner.guarantees();
        let mut configs = vec![self.net.default_config()];
        configs.extend(self.net.ways().iter().map(|way| way.config()));
        let any = |broken: fn(&LinkConfig) -> bool| self.net.has_rules() || configs.iter().any(|c| broken(c));
        if any(|c| c.reorder > 0.0 || c.duplicate > 0.0) {
            promises.ordering = Ordering::None;
        }
        if any(|c| c.loss > 0.0 || c.corrupt > 0.0 || c.truncate > 0.0) {
            promises.loss = Loss::UnderLoad;
            promises.drop_accounting = DropAccounting::AtSubscriber;
        }
        promises
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        if self.life.is_dead() {
            return nowhere().await;
        }
        let link = self.bind_below(endpoint, limits).await?;
        self.net.set_bound(&link.endpoint, &self.life, limits);
        let place = Place::Node(self.life.name().clone());
        self.net.record(&place, What::Bound(link.endpoint.to_string()));
        Ok(broker_link(self.life.clone(), link))
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        tokio::select! {
            biased;
            () = self.life.dead.cancelled() => nowhere().await,
            connected = self.attempt(endpoint, peer, limits) => connected,
        }
    }
}
