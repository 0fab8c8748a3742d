use crate::{Latency, Profile, Sim, SimRng, Sort};
use distbus::{Limits, SinkOptions, SlowConsumer};
use rand::RngExt;
use std::time::Duration;

/// What one seed is about, drawn from it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) msgpack: bool,
    /// Brokers, `hub0` and on.
    pub(super) hubs: u64,
    pub(super) publishers: u64,
    pub(super) subscribers: u64,
    /// Local buses, each linked with every broker. Two of them between two brokers are a ring.
    pub(super) bridges: u64,
    pub(super) topics: u64,
    /// No faults at all.
    pub(super) calm: bool,
    /// Frames are neither lost, doubled, overtaken nor changed while a connection lives.
    pub(super) lossless: bool,
    /// Frames are lost and changed, and connections break, and nothing else is wrong: whoever asks again gets an answer in time.
    pub(super) noise: bool,
    /// Brokers neither crash, stall nor read slowly.
    pub(super) hubs_spared: bool,
    pub(super) limits: Limits,
    /// Bytes that a client holds for its handlers.
    pub(super) client_queue: usize,
    /// Events at once, at most.
    pub(super) burst: u64,
    /// Bytes that an event holds besides its number, at most.
    pub(super) pad: u64,
    pub(super) latency: Latency,
    pub(super) pulse: Duration,
    pub(super) sink: SinkOptions,
    /// How long a broker's sink takes.
    pub(super) sink_time: Duration,
    /// What bridges hold, and what happens when that is full.
    pub(super) bridge_queue: usize,
    pub(super) bridge_policy: SlowConsumer,
    /// The first broker closes then, and is started again.
    pub(super) closes: Option<Duration>,
}

fn millis(rng: &mut SimRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=to))
}

fn policy(rng: &mut SimRng) -> SlowConsumer {
    match rng.random_range(0..4_u32) {
        0 => SlowConsumer::DropNewest,
        1 => SlowConsumer::DropOldest,
        2 => SlowConsumer::Block(millis(rng, 1, 2000)),
        _ => SlowConsumer::Disconnect,
    }
}

impl Plan {
    pub(super) fn draw(sim: &Sim) -> Self {
        let mut rng = sim.rng("swarm");
        let rng = &mut rng;
        let hubs = rng.random_range(1..=2_u64);
        let msgpack = rng.random_bool(0.5);
        // A burst of such is more than a client takes at once: whoever emits waits for room. JSON would be as long as it is slow.
        let large = msgpack && sim.rng("large").random_bool(0.15);
        let limits = Limits::default()
            .with_queue_bytes(1 << rng.random_range(12..=20_u32))
            .with_slow_consumer(policy(rng))
            // What a subscriber needs at once, and a few: a subscription that stays behind is felt soon.
            .with_subscriptions(rng.random_range(16..=24_usize));
        let plan = Self {
            msgpack,
            hubs,
            publishers: rng.random_range(1..=3),
            subscribers: rng.random_range(1..=3),
            bridges: rng.random_range(0..=hubs),
            topics: rng.random_range(1..=3),
            calm: rng.random_bool(0.125),
            lossless: rng.random_bool(0.5),
            noise: sim.rng("noise").random_bool(0.125),
            hubs_spared: rng.random_bool(0.5),
            limits,
            client_queue: 1 << [12, 14, 16, 24][rng.random_range(0..4_u64) as usize],
            burst: rng.random_range(10..=100),
            pad: if large { 8000 } else { rng.random_range(0..=200) },
            latency: match rng.random_range(0..3_u32) {
                0 => Latency::NONE,
                1 => Latency::Fixed(millis(rng, 1, 20)),
                _ => Latency::log_normal(millis(rng, 1, 20), 1.0),
            },
            pulse: millis(rng, 2000, 15_000),
            sink: SinkOptions {
                capacity: 1 << rng.random_range(3..=12_u32),
                // A broker waits for a sink that may block it, and with it everybody else: that is another bound.
                slow_consumer: [SlowConsumer::DropNewest, SlowConsumer::DropOldest]
                    [rng.random_range(0..2_u64) as usize],
            },
            sink_time: millis(rng, 0, 100),
            bridge_queue: 1 << rng.random_range(3..=12_u32),
            bridge_policy: match policy(rng) {
                // It would take the bridge away for good.
                SlowConsumer::Disconnect => SlowConsumer::DropNewest,
                policy => policy,
            },
            closes: rng.random_bool(0.25).then(|| millis(rng, 5_000, 35_000)),
        };
        sim.drawn("plan", &plan);
        plan
    }

    /// Whether whoever asks for something gets it in time, or loses the connection: nothing stops or slows down.
    pub(super) fn is_prompt(&self) -> bool {
        self.closes.is_none() && (self.calm || self.noise && !self.lossless)
    }

    pub(super) fn lossless(&self) -> bool {
        self.lossless || self.calm
    }

    /// Whether an event can come to a broker by two ways.
    pub(super) fn is_ring(&self) -> bool {
        self.bridges > 1 && self.hubs > 1
    }

    /// What may go wrong.
    pub(super) fn profile(&self) -> Profile {
        let mut profile = if self.lossless {
            Profile::tcp()
        } else {
            Profile::datagram()
        };
        profile.during = Duration::from_secs(20);
        profile.longest = Duration::from_secs(15);
        if self.noise && !self.lossless {
            profile.sorts = [Sort::DATAGRAM, &[Sort::Disconnect]].concat();
        }
        if self.hubs_spared {
            profile.spared = (0..self.hubs).map(hub).collect();
        }
        profile
    }

    /// The most that one event takes up in a queue: JSON writes four characters a byte.
    pub(super) fn largest(&self) -> u64 {
        1024 + 5 * self.pad
    }

    /// The broker of a publisher or subscriber.
    pub(super) fn home(&self, number: u64) -> u64 {
        number % self.hubs
    }
}

/// The name of a broker.
pub(super) fn hub(number: u64) -> String {
    format!("hub{number}")
}
