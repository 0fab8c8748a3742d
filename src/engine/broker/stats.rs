use distbus_transport::{Reject, Snapshot, Tally};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the relay counts.
#[derive(Default)]
pub(crate) struct Relayed {
    pub(crate) received: AtomicU64,
    pub(crate) relayed: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) rejected: Tally<Reject>,
    pub(crate) handshakes: AtomicU64,
    pub(crate) pulses: AtomicU64,
}

/// What a broker has done. While nothing moves, `received = relayed + probes + rejected`, for each sink
/// `offered = delivered + dropped + in_flight()`, and the same for the transport's copies.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// client.emit("lab.temp", &21.5).await?;
/// client.flush().await?;
/// assert_eq!(broker.stats().relayed, 1);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Events that came from clients.
    pub received: u64,
    /// Of these, given to subscribers and sinks.
    pub relayed: u64,
    /// Of these, clients' probes of their own connection, relayed as well.
    pub probes: u64,
    /// Of these, refused, by reason; refused control messages, too.
    pub rejected: Vec<(Reject, u64)>,
    /// Clients that shook hands.
    pub handshakes: u64,
    /// Pulses sent.
    pub pulses: u64,
    /// Each sink's copies, in the order of their `forward`.
    pub sinks: Vec<Snapshot>,
    /// What the transport has carried.
    pub transport: Snapshot,
}

impl BrokerStats {
    /// Refused for this reason, by the engine or by the transport.
    pub fn rejected_by(&self, reason: Reject) -> u64 {
        let here = self
            .rejected
            .iter()
            .find(|(r, _)| *r == reason)
            .map_or(0, |(_, n)| *n);
        here + self.transport.rejected_by(reason)
    }
}

impl Relayed {
    pub(crate) fn stats(&self, sinks: Vec<Snapshot>, transport: Snapshot) -> BrokerStats {
        BrokerStats {
            received: self.received.load(Relaxed),
            relayed: self.relayed.load(Relaxed),
            probes: self.probes.load(Relaxed),
            rejected: self.rejected.nonzero(),
            handshakes: self.handshakes.load(Relaxed),
            pulses: self.pulses.load(Relaxed),
            sinks,
            transport,
        }
    }
}
