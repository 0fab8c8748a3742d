//! The swarm of `distbus-sim`, for anyone.

use crate::failure::Failure;
use crate::progress::progress;
use crate::signals::Signals;
use distbus::Outcome;
use distbus_sim::{Check, Run, Seeds, Sim, swarm};
use indicatif::ProgressBar;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// Simulate whole programs under faults, each drawn from a seed, and see that the engine keeps its promises
///
/// A seed is brokers, publishers, subscribers and bridges, with limits, crashes, partitions and bad links, in virtual time. It fails when an event arrives
/// wrongly, twice or out of order, when counts do not add up, or when all is not well again after the faults. One seed in twenty is run twice and
/// must do the same.
///
/// The last line has the figures: events are all that arrived at a node, pulses and probes among them.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Run so many seeds, from 0
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    seeds: u64,
    /// Run seeds, from 0, for so many minutes
    #[arg(long, value_name = "M", value_parser = minutes, conflicts_with = "seeds")]
    minutes: Option<Duration>,
    /// Run this seed alone
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Of its faults, let only those with these numbers happen; '' is none
    #[arg(long, value_name = "N,N", requires = "seed", value_parser = Faults::read)]
    faults: Option<Faults>,
}

const AFTER_HELP: &str = "\
Examples:
  distbus sim                              100 seeds
  distbus sim --minutes 10
  distbus sim --seed 7                     the same again
  distbus sim --seed 7 --faults 0,3        with two of its faults

A seed that fails is told on stderr: the command that runs it again, what was drawn, the faults, the fewest of them with
which it still fails, and what happened last.

Exit codes: 0 all seeds passed, 1 one failed, 64 wrong usage";

/// More seeds than anybody waits for.
const MOST: u64 = 1_000_000;

/// Numbers of faults.
#[derive(Clone, Debug, PartialEq)]
struct Faults(BTreeSet<usize>);

impl Faults {
    fn read(text: &str) -> Result<Self, String> {
        let numbers = text.split(',').filter(|_| !text.is_empty());
        let numbers: Result<_, _> = numbers.map(|number| number.trim().parse()).collect();
        numbers
            .map(Self)
            .map_err(|_| "write numbers with commas between them, as in 0,3".into())
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.001..=10_000.0).contains(&minutes) => Ok(Duration::from_secs_f64(60.0 * minutes)),
        _ => Err("write minutes between 0.001 and 10000, as in 10 or 0.5".into()),
    }
}

/// What replays a seed.
fn command(seed: u64, faults: Option<&str>) -> String {
    match faults {
        None => format!("distbus sim --seed {seed}"),
        Some("") => format!("distbus sim --seed {seed} --faults ''"),
        Some(faults) => format!("distbus sim --seed {seed} --faults {faults}"),
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let bar = progress(args.steps())?;
    let shown = bar.clone();
    // A simulation is a runtime of its own, and computes all the time.
    let playing = tokio::task::spawn_blocking(move || play(&args, swarm, &shown));
    let ended = tokio::select! {
        ended = playing => ended.map_err(|error| Failure::failed(format!("the simulation ended early: {error}")))?,
        signal = signals.next() => return Err(Failure::failed(format!("{signal}: ended before all was simulated"))),
    };
    bar.finish_and_clear();
    ended.tell(std::io::stdout(), std::io::stderr())
}

impl Args {
    /// Of the progress bar: seeds, or seconds.
    fn steps(&self) -> usize {
        match (self.seed, self.minutes) {
            (Some(_), _) => 1,
            (None, Some(minutes)) => minutes.as_secs().max(1) as usize,
            (None, None) => self.seeds as usize,
        }
    }

    fn check(&self) -> Check {
        let seeds = match (self.seed, self.minutes) {
            (Some(seed), _) => Seeds::one(seed),
            (None, Some(_)) => Seeds::from(MOST),
            (None, None) => Seeds::from(self.seeds),
        };
        let check = Check::new(0).seeds(seeds).command(command);
        match &self.faults {
            Some(Faults(numbers)) => check.only_faults(numbers.iter().copied()),
            None => check,
        }
    }
}

/// What came of it.
struct Ended {
    figures: Figures,
    /// Of the seed that failed.
    report: Option<String>,
}

impl Ended {
    fn tell(&self, mut out: impl Write, mut err: impl Write) -> Result<(), Failure> {
        if let Some(report) = &self.report {
            // Nothing can be said when even stderr is gone.
            let _ = writeln!(err, "{report}");
        }
        let told = writeln!(out, "{}", self.figures);
        match &self.report {
            // How it failed; all else is above.
            Some(report) => Err(Failure::failed(report.lines().next().unwrap_or_default())),
            None => told.map_err(|error| Failure::failed(format!("stdout cannot be written: {error}"))),
        }
    }
}

/// Runs the seeds that the arguments name, on this thread.
fn play<S, F>(args: &Args, scenario: S, bar: &ProgressBar) -> Ended
where
    S: Fn(Sim) -> F,
    F: Future<Output: Outcome>,
{
    let start = Instant::now();
    let mut figures = Figures::default();
    let ended = args.check().attempt(scenario, |run| {
        figures.add(run, args.faults.as_ref());
        match args.minutes {
            Some(_) => bar.set_position(start.elapsed().as_secs()),
            None => bar.inc(1),
        }
        args.minutes.is_none_or(|minutes| start.elapsed() < minutes)
    });
    figures.real = start.elapsed();
    let report = ended.err();
    Ended { figures, report }
}

/// The line at the end.
#[derive(Default)]
struct Figures {
    seeds: u64,
    simulated: Duration,
    events: u64,
    faults: usize,
    real: Duration,
}

impl Figures {
    fn add(&mut self, run: &Run, only: Option<&Faults>) {
        self.seeds += 1;
        self.simulated += run.time;
        self.events += run.totals.arrived;
        self.faults += match only {
            Some(Faults(only)) => only.range(..run.faults.len()).count(),
            None => run.faults.len(),
        };
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (simulated, real) = (self.simulated.as_secs_f64(), self.real.as_secs_f64());
        write!(
            f,
            "seeds {}, simulated {simulated:.1} s, events {}, faults injected {}, real {real:.2} s, events/s {:.0}",
            self.seeds,
            self.events,
            self.faults,
            self.events as f64 / real.max(f64::MIN_POSITIVE)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use distbus_sim::{Fault, FaultKind};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::try_parse_from([&["sim"], line].concat()).unwrap().args
    }

    /// A node that crashes twice in seed 2, which takes one crash too many.
    async fn scenario(sim: Sim) -> Result<(), distbus::BoxError> {
        sim.node("node", |_| std::future::pending::<()>());
        let fault = |after, kind| Fault::new(Duration::from_secs(after), Duration::from_secs(1), kind);
        let node = || "node".to_owned();
        sim.inject([
            fault(1, FaultKind::Stall { node: node() }),
            fault(5, FaultKind::Crash { node: node() }),
        ]);
        sim.advance(Duration::from_millis(5_500)).await;
        match sim.seed() == 2 && !sim.is_running("node") {
            true => Err("the node is down".into()),
            false => Ok(()),
        }
    }

    fn ended(line: &[&str]) -> Ended {
        play(&args(line), scenario, &ProgressBar::hidden())
    }

    /// What it says on stdout and stderr, and the exit code.
    fn told(ended: &Ended) -> (String, String, u8) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = ended
            .tell(&mut out, &mut err)
            .map_or_else(|failure| failure.code, |()| 0);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(out), text(err), code)
    }

    #[test]
    fn seeds_that_pass_are_success() {
        let (out, err, code) = told(&ended(&["--seeds", "2"]));
        assert!(
            out.starts_with("seeds 2, simulated 11.0 s, events 0, faults injected 4, real "),
            "{out}"
        );
        assert_eq!((out.lines().count(), &*err, code), (1, "", 0));
    }

    #[test]
    fn a_seed_that_fails_ends_it_and_says_how_to_run_it_again() {
        let (out, err, code) = told(&ended(&["--seeds", "9"]));
        assert!(out.starts_with("seeds 3, "), "{out}");
        assert_eq!((out.lines().count(), code), (1, 1));
        for part in [
            "seed 2 failed after 5.5s of virtual time: the scenario returned an error: the node is down\n",
            "replay it:\n    distbus sim --seed 2\n",
            "it still fails with 1 of them",
            "replay that:\n    distbus sim --seed 2 --faults 1\n",
        ] {
            assert!(err.contains(part), "{part:?} is not in:\n{err}");
        }
    }

    #[test]
    fn a_seed_is_run_again_with_the_faults_that_are_named() {
        for (faults, injected, fails) in [
            ("1", 1, true),
            ("0", 1, false),
            ("", 0, false),
            ("0,1,7", 2, true),
        ] {
            let ended = ended(&["--seed", "2", "--faults", faults]);
            assert_eq!(
                (ended.figures.seeds, ended.figures.faults),
                (1, injected),
                "{faults:?}"
            );
            assert_eq!(ended.report.is_some(), fails, "{faults:?}");
        }
        assert_eq!(command(7, Some("")), "distbus sim --seed 7 --faults ''");
    }

    #[test]
    fn minutes_end_it() {
        let ended = ended(&["--minutes", "0.001"]);
        // It is over before or with the seed that fails.
        assert!((1..=3).contains(&ended.figures.seeds), "{}", ended.figures);
    }
}
