use super::case::Case;
use super::contestant::{Contestant, START};
use super::figures::{Figures, Latency};
use super::program::Program;
use super::usage::Usage;
use crate::failure::Failure;
use std::time::Duration;

/// How long the events of one run may take, beyond the time that their rate asks for.
const LONGEST: Duration = Duration::from_secs(180);

/// What came of one case, once, with one contestant.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// All subscribers' together.
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) gaps: u64,
    /// The slowest subscriber's, in events per second.
    pub(super) rate: u64,
    /// The subscriber's with the highest median.
    pub(super) latency: Option<Latency>,
    /// The broker's processor time for each event, in microseconds.
    pub(super) broker_cpu_us: Option<f64>,
    /// The most memory that the broker had, in bytes.
    pub(super) broker_peak: Option<u64>,
}

impl Run {
    /// Starts a broker, subscribers and publishers, each a process; returns when all are done and gone.
    pub(super) async fn of(contestant: &Contestant, case: &Case, events: u64) -> Result<Self, Failure> {
        let mut broker = contestant.serve().await?;
        let (case_name, program, endpoint) = (case.name, contestant.name, &broker.endpoint);
        tracing::info!(case = case_name, program, events, endpoint, "a run begins");
        let mut subscribers = Vec::new();
        for _ in 0..case.subscribers {
            subscribers.push(contestant.role("sub", &broker, case, events)?);
        }
        for subscriber in &mut subscribers {
            subscriber
                .find(START, |line| (line == "ready").then_some(()))
                .await?;
        }
        let used = |program: &Program| program.id().and_then(Usage::of);
        let before = used(&broker.program);
        let mut publishers = Vec::new();
        for _ in 0..case.publishers {
            publishers.push(contestant.role("pub", &broker, case, events / case.publishers)?);
        }
        let pace = case.rate.map_or(0, |rate| events / rate);
        let longest = LONGEST + Duration::from_secs(pace);
        let publishing = async {
            for publisher in &mut publishers {
                publisher.succeeded(longest).await?;
            }
            Ok::<_, Failure>(())
        };
        let receiving = async {
            let mut all = Vec::new();
            for subscriber in &mut subscribers {
                let figures = subscriber.find(longest, |line| serde_json::from_str(line).ok());
                all.push(figures.await?);
                subscriber.ended().await?;
            }
            Ok::<_, Failure>(all)
        };
        // The first failure ends all: the others would wait for what never comes.
        let broken = broker_ended(&mut broker.program, longest);
        let ((), figures) = tokio::select! {
            done = async { tokio::try_join!(publishing, receiving) } => done?,
            failure = broken => return Err(failure),
        };
        let after = used(&broker.program);
        broker.program.kill().await;
        Ok(Self::summed(&figures, before.zip(after), events))
    }

    fn summed(figures: &[Figures], usage: Option<(Usage, Usage)>, events: u64) -> Self {
        let sum = |of: fn(&Figures) -> u64| figures.iter().map(of).sum();
        Self {
            delivered: sum(|one| one.delivered),
            lost: sum(|one| one.lost),
            gaps: sum(|one| one.gaps),
            rate: figures.iter().map(|one| one.rate).min().unwrap_or(0),
            latency: figures
                .iter()
                .filter_map(|one| one.latency)
                .max_by_key(|latency| latency.p50),
            broker_cpu_us: usage.map(|(before, after)| (after.cpu - before.cpu) * 1e6 / events as f64),
            broker_peak: usage.map(|(_, after)| after.peak),
        }
    }
}

/// Returns when the broker has ended, which it never should: nobody asks it to.
async fn broker_ended(broker: &mut Program, longest: Duration) -> Failure {
    match broker.succeeded(longest).await {
        Ok(()) => Failure::failed("the broker ended before all was done"),
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_subscriber_counts_and_losses_add_up() {
        let figures = |rate, lost| Figures {
            delivered: 100 - lost,
            lost,
            gaps: 0,
            rate,
            latency: None,
        };
        let used = |cpu| Usage { cpu, peak: 7 };
        let run = Run::summed(
            &[figures(50, 3), figures(40, 0)],
            Some((used(1.0), used(1.5))),
            1000,
        );
        assert_eq!((run.delivered, run.lost, run.rate), (197, 3, 40));
        assert_eq!((run.broker_cpu_us, run.broker_peak), (Some(500.0), Some(7)));
    }
}
