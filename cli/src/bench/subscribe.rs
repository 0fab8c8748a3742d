use super::work::{Payload, Sample, TOPIC, Work, now_ns, sent_ns};
use crate::connection::Format;
use crate::failure::Failure;
use bytes::Bytes;
use distbus::{Client, Codec, Json, MessagePack};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Take events: prints `ready`, and in the end one line of figures as JSON
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    work: Work,
}

/// How long to wait for the first event, and then for each further one.
const FIRST: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(3);

/// The figures, as they are printed: rates in events per second, times in microseconds.
#[derive(Serialize)]
struct Figures {
    delivered: u64,
    lost: u64,
    gaps: u64,
    rate: u64,
    #[serde(flatten)]
    latency: Option<Latency>,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// What one subscriber has seen. Written by its handler, read when it ends.
struct Meter {
    seen: Mutex<Seen>,
    wanted: u64,
    paced: bool,
    done: Notify,
}

struct Seen {
    delivered: u64,
    first_ns: u64,
    last_ns: u64,
    latency_us: Histogram<u64>,
}

impl Meter {
    fn hit(&self, sent_ns: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.delivered += 1;
        let last = seen.delivered == self.wanted;
        // The clock costs as much as the event where that is fast.
        if self.paced || last || seen.delivered % 256 == 1 {
            let now = now_ns();
            if seen.delivered == 1 {
                seen.first_ns = now;
            }
            seen.last_ns = now;
            if self.paced {
                seen.latency_us
                    .saturating_record(now.saturating_sub(sent_ns) / 1000);
            }
        }
        if last {
            self.done.notify_one();
        }
    }

    fn delivered(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).delivered
    }

    /// Returns when all have come, or nothing comes any more.
    async fn finished(&self) {
        let mut before = 0;
        loop {
            let patience = if before == 0 { FIRST } else { IDLE };
            if timeout(patience, self.done.notified()).await.is_ok() || self.delivered() == before {
                return;
            }
            before = self.delivered();
        }
    }

    fn figures(&self, gaps: u64) -> Figures {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = seen.last_ns.saturating_sub(seen.first_ns) as f64 / 1e9;
        let at = |quantile| seen.latency_us.value_at_quantile(quantile);
        Figures {
            delivered: seen.delivered,
            lost: self.wanted.saturating_sub(seen.delivered),
            gaps,
            rate: if seconds > 0.0 {
                (seen.delivered as f64 / seconds) as u64
            } else {
                0
            },
            latency: self.paced.then(|| Latency {
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
                max: seen.latency_us.max(),
            }),
        }
    }
}

pub(crate) async fn run(Args { work }: Args) -> Result<(), Failure> {
    match work.connection.codec {
        Format::Json => take(work.connection.open(Json).await?, &work).await,
        Format::Msgpack => take(work.connection.open(MessagePack).await?, &work).await,
    }
}

async fn take<C: Codec>(client: Client<C>, work: &Work) -> Result<(), Failure> {
    let latency_us = Histogram::new(3).map_err(|error| Failure::failed(error.to_string()))?;
    let seen = Mutex::new(Seen {
        delivered: 0,
        first_ns: 0,
        last_ns: 0,
        latency_us,
    });
    let paced = work.rate.is_some();
    let meter = Arc::new(Meter {
        seen,
        wanted: work.events,
        paced,
        done: Notify::new(),
    });
    let hit = Arc::clone(&meter);
    match work.payload {
        Payload::Bytes => {
            client
                .on_sync(TOPIC, move |bytes: Bytes| hit.hit(sent_ns(&bytes)))
                .await
        }
        Payload::Sample => {
            client
                .on_sync(TOPIC, move |sample: Sample| hit.hit(sample.sent_ns))
                .await
        }
    }?;
    print("ready")?;
    meter.finished().await;
    let figures = meter.figures(client.stats().missing);
    print(&serde_json::to_string(&figures).map_err(|error| Failure::failed(error.to_string()))?)?;
    client.close().await;
    Ok(())
}

fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(error.to_string()))
}
