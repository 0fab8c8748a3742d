use crate::carrier::Carrier;
use crate::connection::Connection;
use bytes::BytesMut;
use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Where the events of a benchmark travel.
pub(crate) const TOPIC: &str = "bench.topic";

/// What both roles must agree on.
#[derive(clap::Args)]
pub(crate) struct Work {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// Opaque bytes, or characters of a sample's note
    #[arg(long, value_name = "S", default_value_t = 64)]
    pub(crate) size: usize,
    /// What an event carries
    #[arg(long, value_enum, default_value = "sample")]
    pub(crate) payload: Payload,
    /// Events per second; without it, as fast as possible. The subscriber then measures latency as well
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// What carries the events
    #[arg(long, value_enum, default_value = "zmtp")]
    pub(crate) transport: Carrier,
    /// The bus to measure: the sweep runs the same work through others
    #[arg(long, value_enum, default_value = "distbus", hide = true)]
    pub(crate) system: System,
}

/// Whose broker and whose client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// This one
    Distbus,
    /// nats-server, `async-nats` and, for samples, `serde_json`
    #[cfg(feature = "peers")]
    Nats,
}

/// What an event of a benchmark carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// A struct of a time, a number and a text, encoded and decoded for real
    Sample,
    /// S opaque bytes, which begin with the time
    Bytes,
}

impl Payload {
    /// As it is written on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Bytes => "bytes",
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("events per second are above zero".into())
    }
}

/// The typed work of a benchmark.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) sent_ns: u64,
    pub(crate) value: f64,
    pub(crate) note: String,
}

/// Nanoseconds of the clock that all processes of this machine share and nobody sets.
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Opaque bytes of that size, but at least the eight of the time that [`stamp`] puts at their beginning.
pub(crate) fn opaque(size: usize) -> BytesMut {
    BytesMut::from_iter(std::iter::repeat_n(b'x', size.max(8)))
}

pub(crate) fn stamp(bytes: &mut [u8], sent_ns: u64) {
    bytes[..8].copy_from_slice(&sent_ns.to_be_bytes());
}

/// When opaque bytes were sent; 0 for bytes that are not from a benchmark.
pub(crate) fn sent_ns(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
