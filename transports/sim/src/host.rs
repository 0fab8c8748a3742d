use crate::condition::Life;
use crate::net::Net;
use distbus::{Host, Timestamp};
use std::sync::Arc;
use tokio::time::Instant;

/// 2030-01-01T00:00:00: when every simulation begins.
const EPOCH_MICROS: i64 = 1_893_456_000_000_000;

/// A node's wall clock and randomness, from the seed: what [`Node`](crate::Node) gives its clients, brokers and buses.
///
/// The clock begins at 2030-01-01T00:00:00, goes as virtual time does, and is off by what [`Sim::skew`](crate::Sim::skew) says.
#[derive(Clone)]
pub struct NodeHost {
    net: Arc<Net>,
    life: Arc<Life>,
}

impl NodeHost {
    pub(crate) fn new(net: Arc<Net>, life: Arc<Life>) -> Self {
        Self { net, life }
    }
}

impl Host for NodeHost {
    fn now(&self) -> Timestamp {
        let elapsed = self.net.at(Instant::now()).as_micros();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let micros = EPOCH_MICROS
            .saturating_add(elapsed)
            .saturating_add(self.life.node.skew_micros());
        Timestamp::from_micros(micros)
    }

    fn random(&self) -> u64 {
        self.life.random()
    }
}

impl std::fmt::Debug for NodeHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHost")
            .field("node", self.life.name())
            .finish_non_exhaustive()
    }
}
