use super::case::Case;
use super::contestant::Contestant;
use super::run::Run;
use serde::Serialize;

/// One case with one contestant, over all runs: a line of the CSV. The figures are those of the median run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) case: &'static str,
    pub(super) program: &'static str,
    pub(super) payload: &'static str,
    pub(super) size: usize,
    /// How the payload was written.
    pub(super) codec: &'static str,
    pub(super) publishers: u64,
    pub(super) subscribers: u64,
    /// Of one run.
    pub(super) events: u64,
    pub(super) runs: usize,
    /// Over all runs and subscribers.
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) gaps: u64,
    /// Events per second, of the slowest subscriber.
    pub(super) rate: u64,
    pub(super) rate_min: u64,
    pub(super) rate_max: u64,
    /// Latencies in microseconds, where the events have a pace.
    pub(super) p50: Option<u64>,
    pub(super) p50_min: Option<u64>,
    pub(super) p50_max: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) p999: Option<u64>,
    pub(super) max: Option<u64>,
    /// For each published event, where the system tells.
    pub(super) broker_cpu_us: Option<f64>,
    pub(super) broker_peak_bytes: Option<u64>,
}

impl Row {
    /// `None` without runs.
    pub(super) fn of(contestant: &Contestant, case: &Case, events: u64, mut runs: Vec<Run>) -> Option<Self> {
        let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum();
        let (delivered, lost, gaps) = (sum(|run| run.delivered), sum(|run| run.lost), sum(|run| run.gaps));
        // Of a paced case the rate says nothing.
        let p50 = |run: &Run| run.latency.map(|latency| latency.p50);
        runs.sort_by_key(|run| (p50(run), run.rate));
        let rates = || runs.iter().map(|run| run.rate);
        let median = runs.get(runs.len().checked_sub(1)? / 2)?;
        Some(Self {
            case: case.name,
            program: contestant.name,
            payload: case.payload.name(),
            size: case.size,
            codec: contestant.writes(case),
            publishers: case.publishers,
            subscribers: case.subscribers,
            events,
            runs: runs.len(),
            delivered,
            lost,
            gaps,
            rate: median.rate,
            rate_min: rates().min()?,
            rate_max: rates().max()?,
            p50: p50(median),
            p50_min: p50(runs.first()?),
            p50_max: p50(runs.last()?),
            p99: median.latency.map(|latency| latency.p99),
            p999: median.latency.map(|latency| latency.p999),
            max: median.latency.map(|latency| latency.max),
            broker_cpu_us: median.broker_cpu_us,
            broker_peak_bytes: median.broker_peak,
        })
    }

    /// How many times better than the other: faster, or sooner where the events have a pace.
    pub(super) fn times(&self, other: &Self) -> Option<f64> {
        let (better, worse) = match (self.p50, other.p50) {
            (Some(ours), Some(theirs)) => (theirs, ours),
            _ => (self.rate, other.rate),
        };
        (worse > 0).then(|| better as f64 / worse as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::*;
    use crate::carrier::Carrier;

    #[test]
    fn the_median_run_speaks_for_all() {
        let run = |rate, lost| Run {
            delivered: 10 - lost,
            lost,
            gaps: 0,
            rate,
            latency: None,
            broker_cpu_us: Some(rate as f64),
            broker_peak: None,
        };
        let contestant = Contestant::distbus(Carrier::Zmtp);
        let row = |runs| Row::of(&contestant, &CASES[0], 10, runs);
        assert!(row(Vec::new()).is_none());
        let row = row(vec![run(30, 0), run(10, 2), run(20, 1)]).unwrap();
        assert_eq!((row.rate, row.rate_min, row.rate_max), (20, 10, 30));
        assert_eq!((row.delivered, row.lost, row.broker_cpu_us), (27, 3, Some(20.0)));
    }
}
