use super::figures::{Figures, Latency};
use super::work::{Work, now_ns};
use crate::failure::Failure;
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long to wait for the first event, and then for each further one.
const FIRST: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(3);

/// What one subscriber has seen. Written by its handler, read when it ends.
pub(super) struct Meter {
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
    pub(super) fn new(work: &Work) -> Result<Arc<Self>, Failure> {
        let latency_us = Histogram::new(3).map_err(|error| Failure::failed(error.to_string()))?;
        let seen = Mutex::new(Seen {
            delivered: 0,
            first_ns: 0,
            last_ns: 0,
            latency_us,
        });
        Ok(Arc::new(Self {
            seen,
            wanted: work.events,
            paced: work.rate.is_some(),
            done: Notify::new(),
        }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one event.
    pub(super) fn hit(&self, sent_ns: u64) {
        let mut seen = self.seen();
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

    /// Returns when all have come, or nothing comes any more.
    pub(super) async fn finished(&self) {
        let mut before = 0;
        loop {
            let patience = if before == 0 { FIRST } else { IDLE };
            let done = timeout(patience, self.done.notified()).await.is_ok();
            let delivered = self.seen().delivered;
            if done || delivered == before {
                return;
            }
            before = delivered;
        }
    }

    /// What came of it; `gaps` are the events that the subscriber knows to be missing.
    pub(super) fn figures(&self, gaps: u64) -> Figures {
        let seen = self.seen();
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
