use crate::run::{Options, Run, run_as};
use crate::shrink::shrink;
use crate::{Seeds, Sim};
use distbus::Outcome;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

/// The seed to run instead of those that the test names.
const SEED: &str = "DISTBUS_SIM_SEED";
/// The numbers of the faults to inject, with commas between them, instead of all.
const FAULTS: &str = "DISTBUS_SIM_FAULTS";
/// How many lines of the trace a failure prints.
const TRACE: &str = "DISTBUS_SIM_TRACE";

/// Runs a scenario once for each seed, and panics at the first that fails, with the command that replays it, what was drawn, the faults, the
/// fewest of them that still make it fail, and the end of the trace.
///
/// One seed in twenty, the first among them, is run twice, and fails when the two runs are not the same.
///
/// | environment | says |
/// | --- | --- |
/// | `DISTBUS_SIM_SEED=7` | run this seed alone |
/// | `DISTBUS_SIM_FAULTS=0,3` | of the faults injected, only these; nothing after the `=` for none |
/// | `DISTBUS_SIM_TRACE=500` | how many lines of the trace to print; default 60 |
///
/// ```
/// use distbus_sim as sim;
/// use std::time::Duration;
///
/// sim::check(10, |sim| async move {
///     sim.broker("hub");
///     let (sensor, display) = (sim.at("sensor").connect("hub").await?, sim.at("display").connect("hub").await?);
///     let mut temps = display.subscribe::<f64>("lab.temp").await?;
///     sim.link("sensor", "hub").clog(Duration::from_secs(2));
///     sensor.emit("lab.temp", &21.5).await?;
///     assert_eq!(temps.next().await.as_deref(), Some(&21.5));
///     Ok::<(), sim::BoxError>(())
/// });
/// ```
///
/// # Panics
/// When a seed fails; inside another runtime.
pub fn check<S, F>(seeds: impl Into<Seeds>, scenario: S)
where
    S: Fn(Sim) -> F,
    F: Future<Output: Outcome>,
{
    Check::new(seeds).run(scenario);
}

/// As [`check`], with settings of your own.
///
/// ```
/// use distbus_sim::Check;
/// use std::time::Duration;
///
/// Check::new(2).time_limit(Duration::from_secs(60)).run(|sim| async move {
///     sim.broker("hub").ready().await;
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Check {
    seeds: Seeds,
    options: Options,
    lines: usize,
    tries: usize,
    twice: usize,
    command: Option<fn(u64, Option<&str>) -> String>,
}

impl Check {
    /// These seeds, unless the environment names another.
    pub fn new(seeds: impl Into<Seeds>) -> Self {
        let mut check = Self {
            seeds: seeds.into(),
            options: Options::seed(0),
            lines: number(TRACE).map_or(60, |lines| lines as usize),
            tries: 100,
            twice: 20,
            command: None,
        };
        if let Some(seed) = number(SEED) {
            check.seeds = Seeds::one(seed);
            check.options.faults = faults();
        }
        check.options.trace = check.options.trace.max(check.lines);
        check
    }

    /// These seeds with all their faults, whatever the environment names: for programs whose arguments say that.
    pub fn seeds(mut self, seeds: impl Into<Seeds>) -> Self {
        self.seeds = seeds.into();
        self.options.faults = None;
        self
    }

    /// The virtual time that the scenario may take. Default: a week.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit = limit;
        self
    }

    /// How finely the time is divided in which invariants and conditions are looked at. Default 10 ms.
    pub fn quantum(mut self, quantum: Duration) -> Self {
        self.options.quantum = quantum.max(Duration::from_millis(1));
        self
    }

    /// How long, in real time, a run may go without any virtual time passing: see [`Options::patience`]. Default 30 s.
    pub fn patience(mut self, patience: impl Into<Option<Duration>>) -> Self {
        self.options.patience = patience.into();
        self
    }

    /// How many runs to spend on the fewest faults that still fail. Default 100; with 0 nothing is looked for.
    pub fn shrink(mut self, tries: usize) -> Self {
        self.tries = tries;
        self
    }

    /// One seed in so many is run twice. Default 20; with 0 none is.
    pub fn twice(mut self, one_in: usize) -> Self {
        self.twice = one_in;
        self
    }

    /// Of the faults that are injected, only those with these numbers happen: what `DISTBUS_SIM_FAULTS` says for a test.
    pub fn only_faults(mut self, numbers: impl IntoIterator<Item = usize>) -> Self {
        self.options.faults = Some(numbers.into_iter().collect());
        self
    }

    /// What replays a seed, for programs that are no tests: given the seed, and the numbers of the faults with commas between them where only those
    /// are to happen.
    pub fn command(mut self, command: fn(u64, Option<&str>) -> String) -> Self {
        self.command = Some(command);
        self
    }

    /// Runs.
    ///
    /// # Panics
    /// As [`check`].
    pub fn run<S, F>(self, scenario: S)
    where
        S: Fn(Sim) -> F,
        F: Future<Output: Outcome>,
    {
        if let Err(report) = self.attempt(scenario, |_| true) {
            panic!("{report}");
        }
    }

    /// Runs, without a panic: `each` is shown every run as it ends, and says whether to go on.
    ///
    /// ```
    /// use distbus_sim::Check;
    ///
    /// let mut events = 0;
    /// let ended = Check::new(5).attempt(|sim| async move { assert!(sim.seed() < 3) }, |run| {
    ///     events += run.totals.arrived;
    ///     true
    /// });
    /// assert!(ended.unwrap_err().starts_with("seed 3 failed"));
    /// ```
    ///
    /// # Errors
    /// All there is to know of the first seed that fails.
    pub fn attempt<S, F>(&self, scenario: S, mut each: impl FnMut(&Run) -> bool) -> Result<(), String>
    where
        S: Fn(Sim) -> F,
        F: Future<Output: Outcome>,
    {
        for (at, &seed) in self.seeds.all().iter().enumerate() {
            let options = Options {
                seed,
                ..self.options.clone()
            };
            let first = self.run_once(&options, &scenario);
            let go_on = each(&first);
            if first.failure.is_some() {
                let smallest = self.smallest(&first, &scenario);
                return Err(self.report(&first, smallest.as_ref()));
            }
            if self.twice > 0 && at % self.twice == 0 {
                let second = self.run_once(&options, &scenario);
                if first.hash != second.hash {
                    let (first, second) = self.closer(first, second, &scenario);
                    return Err(self.differs(&first, &second));
                }
            }
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    fn run_once<S, F>(&self, options: &Options, scenario: S) -> Run
    where
        S: FnOnce(Sim) -> F,
        F: Future<Output: Outcome>,
    {
        let replay = self.replay(options.seed, options.faults.as_ref());
        run_as(
            options,
            format!("seed {}, replayed by\n    {replay}\n", options.seed),
            scenario,
        )
    }

    /// Two runs that differ, with all that happened in them: made again where it is not kept. As they were when they do not differ again.
    fn closer<S, F>(&self, first: Run, second: Run, scenario: &S) -> (Run, Run)
    where
        S: Fn(Sim) -> F,
        F: Future<Output: Outcome>,
    {
        /// More things than this are not kept.
        const MOST: u64 = 1_000_000;
        let most = first.count.max(second.count).saturating_mul(2).min(MOST) as usize;
        if whole(&first) && whole(&second) {
            return (first, second);
        }
        let options = Options {
            seed: first.seed,
            trace: most.max(self.options.trace),
            ..self.options.clone()
        };
        let (one, two) = (
            self.run_once(&options, scenario),
            self.run_once(&options, scenario),
        );
        if one.hash != two.hash && whole(&one) && whole(&two) {
            (one, two)
        } else {
            (first, second)
        }
    }

    /// The fewest faults that still make it fail, and what came of those.
    fn smallest<S, F>(&self, failed: &Run, scenario: &S) -> Option<(Vec<usize>, Run)>
    where
        S: Fn(Sim) -> F,
        F: Future<Output: Outcome>,
    {
        if self.options.faults.is_some() || failed.faults.is_empty() || failed.stuck {
            return None;
        }
        let mut last = None;
        let kept = shrink(failed.faults.len(), self.tries, |kept| {
            let options = Options {
                seed: failed.seed,
                faults: Some(kept.iter().copied().collect()),
                ..self.options.clone()
            };
            let run = self.run_once(&options, scenario);
            let fails = run.failure.is_some();
            if fails {
                last = Some(run);
            }
            fails
        });
        Some((kept, last?))
    }

    /// All there is to know of a failure.
    fn report(&self, failed: &Run, smallest: Option<&(Vec<usize>, Run)>) -> String {
        let mut text = format!("seed {} failed", failed.seed);
        let why = |run: &Run| run.failure.clone().unwrap_or_default();
        let mut line = |line: String| _ = writeln!(text, "{line}");
        line(format!(
            " after {:?} of virtual time: {}",
            failed.time,
            why(failed)
        ));
        line(format!(
            "\nreplay it:\n    {}",
            self.replay(failed.seed, self.options.faults.as_ref())
        ));
        if !failed.drawn.is_empty() {
            line(format!("\ndrawn:\n    {}", failed.drawn.join("\n    ")));
        }
        if !failed.faults.is_empty() {
            line(format!("\nfaults, {}:", failed.faults.len()));
            for (number, fault) in failed.faults.iter().enumerate() {
                let out = self
                    .options
                    .faults
                    .as_ref()
                    .is_some_and(|keep| !keep.contains(&number));
                line(format!(
                    "    {number:>3}  {fault}{}",
                    if out { " (left out)" } else { "" }
                ));
            }
        }
        let mut told = failed;
        if let Some((kept, run)) = smallest {
            told = run;
            line(format!(
                "\nit still fails with {} of them: {}",
                kept.len(),
                why(run)
            ));
            for number in kept {
                line(format!("    {number:>3}  {}", failed.faults[*number]));
            }
            let kept: BTreeSet<usize> = kept.iter().copied().collect();
            line(format!(
                "replay that:\n    {}",
                self.replay(failed.seed, Some(&kept))
            ));
        }
        let lines = told.trace.len().min(self.lines);
        line(format!(
            "\nthe last {lines} of {} things that happened, hash {:016x}:",
            told.count, told.hash
        ));
        for record in &told.trace[told.trace.len() - lines..] {
            line(record.to_string());
        }
        text
    }

    fn differs(&self, first: &Run, second: &Run) -> String {
        let mut text = format!(
            "seed {} did not do the same twice: hash {:016x} after {} things, and then {:016x} after {}.\n\
             Look for tokio::select! without `biased`, tokio::sync::watch with several waiters, the order of a HashMap, a clock or randomness of the \
             system, and other threads.\n\nreplay it:\n    {}\n",
            first.seed,
            first.hash,
            first.count,
            second.hash,
            second.count,
            self.replay(first.seed, self.options.faults.as_ref())
        );
        if whole(first) && whole(second) {
            let differ = first
                .trace
                .iter()
                .zip(&second.trace)
                .position(|(one, two)| one != two);
            let at = differ.unwrap_or(first.trace.len().min(second.trace.len()));
            for (name, run) in [("first", first), ("second", second)] {
                let _ = writeln!(text, "\nthe {name} run, from a little before the difference:");
                for record in run.trace.iter().skip(at.saturating_sub(5)).take(10) {
                    let _ = writeln!(text, "{record}");
                }
            }
        } else {
            let (same, at) = first.checkpoints.same(&second.checkpoints);
            let step = first.checkpoints.step(&second.checkpoints);
            let _ = writeln!(
                text,
                "\nThey were the same for the first {same} things, until {at:?}, and differed within the next {step}. More of them can be kept: \
                 {TRACE}={}",
                first.count.max(second.count)
            );
        }
        text
    }

    /// The command that runs this seed alone.
    fn replay(&self, seed: u64, faults: Option<&BTreeSet<usize>>) -> String {
        let faults = faults.map(|faults| {
            let numbers: Vec<_> = faults.iter().map(ToString::to_string).collect();
            numbers.join(",")
        });
        match (self.command, faults) {
            (Some(command), faults) => command(seed, faults.as_deref()),
            (None, Some(faults)) => format!("{SEED}={seed} {FAULTS}={faults} {}", test_command()),
            (None, None) => format!("{SEED}={seed} {}", test_command()),
        }
    }
}

/// Whether all that happened was kept.
fn whole(run: &Run) -> bool {
    run.count == run.trace.len() as u64
}

/// What runs the test that this thread runs.
fn test_command() -> String {
    let package =
        std::env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
    let thread = std::thread::current();
    let test = match thread.name() {
        Some(name) if name != "main" => format!(" {name} -- --exact"),
        _ => String::new(),
    };
    format!("cargo test{package}{test}")
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable}={text} is not a number"),
    }
}

fn faults() -> Option<BTreeSet<usize>> {
    let text = std::env::var(FAULTS).ok()?;
    let numbers = text.split(',').filter(|part| !part.is_empty());
    let parsed: Result<_, _> = numbers.map(|part| part.trim().parse()).collect();
    match parsed {
        Ok(numbers) => Some(numbers),
        Err(_) => panic!("{FAULTS}={text} is not a list of numbers with commas between them"),
    }
}
