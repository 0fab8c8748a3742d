use crate::hook;
use crate::node::panic_text;
use crate::trace::Checkpoints;
use crate::watchdog::Watchdog;
use crate::{Fault, FlowStats, Record, Sim};
use distbus::Outcome;
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;

/// How one run is made: `Options::seed(7)` and what differs from the defaults.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// Of the faults that the scenario injects, only those with these numbers, from 0 in the order of injection, happen. Default: all.
    pub faults: Option<BTreeSet<usize>>,
    /// How many of the last records are kept to be read. Default 1,000.
    pub trace: usize,
    /// How finely the time is divided in which invariants and conditions are looked at. Default 10 ms.
    pub quantum: Duration,
    /// The virtual time after which a scenario that has not ended has failed. Default: a week.
    pub time_limit: Duration,
    /// The real time after which a run has failed in which no virtual time passes and nothing is recorded any more; ten times as long while anything
    /// is. Code that then does not even give its thread back ends the process. `None`: it is waited for. Default 30 s.
    pub patience: Option<Duration>,
}

impl Options {
    /// The defaults, with this seed.
    pub fn seed(seed: u64) -> Self {
        Self {
            seed,
            faults: None,
            trace: 1_000,
            quantum: Duration::from_millis(10),
            time_limit: Duration::from_secs(7 * 86_400),
            patience: Some(Duration::from_secs(30)),
        }
    }
}

/// What came of one run.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The hash of all that happened.
    pub hash: u64,
    /// How many things happened.
    pub count: u64,
    /// The virtual time it took.
    pub time: Duration,
    /// What the scenario said that it had [drawn](Sim::drawn).
    pub drawn: Vec<String>,
    /// The faults that were injected, those that were left out included.
    pub faults: Vec<Fault>,
    /// The last of what happened.
    pub trace: Vec<Record>,
    /// What the network carried.
    pub totals: FlowStats,
    pub(crate) checkpoints: Checkpoints,
    /// No time passed any more: to run it again takes as long.
    pub(crate) stuck: bool,
}

/// Runs a scenario once, on a runtime of its own: one thread and a paused clock. Never panics for what the scenario does: that is
/// [`Run::failure`].
///
/// [`check`](crate::check) does this for many seeds and panics with all there is to know; use this to do something else with what came of it.
///
/// ```
/// use distbus_sim::{Options, run};
/// use std::time::Duration;
///
/// let run = run(&Options::seed(7), |sim| async move {
///     let _hub = sim.broker("hub");
///     sim.advance(Duration::from_secs(3600)).await;
/// });
/// assert_eq!((run.failure, run.time), (None, Duration::from_secs(3600)));
/// ```
///
/// # Panics
/// Inside another runtime: a plain `#[test]` is the place for it.
pub fn run<S, F>(options: &Options, scenario: S) -> Run
where
    S: FnOnce(Sim) -> F,
    F: Future<Output: Outcome>,
{
    run_as(options, format!("a run of seed {}", options.seed), scenario)
}

/// As [`run`]; `whose` run it is, and what replays it, is told when it can only be ended with the process.
pub(crate) fn run_as<S, F>(options: &Options, whose: String, scenario: S) -> Run
where
    S: FnOnce(Sim) -> F,
    F: Future<Output: Outcome>,
{
    let watchdog = Watchdog::start(options.patience, whose);
    let watching = watchdog.shared();
    let pausing = watching.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || pausing.pause())
        .build()
        .unwrap_or_else(|error| panic!("no runtime can be built: {error}"));
    let (run, sim) = runtime.block_on(async {
        let sim = Sim::new(options);
        watching.watch_over(&sim);
        let _hook = hook::watch(&sim);
        let ended = play(&sim, scenario).await;
        (outcome(&sim, ended.err(), watching.was_stuck()), sim)
    });
    sim.take_apart();
    let _quiet = hook::quiet();
    drop(runtime);
    run
}

async fn play<S, F>(sim: &Sim, scenario: S) -> Result<(), String>
where
    S: FnOnce(Sim) -> F,
    F: Future<Output: Outcome>,
{
    let limit = sim.inner.options.time_limit;
    let playing = async { scenario(sim.clone()).await.into_result() };
    let playing = timeout(limit, AssertUnwindSafe(playing).catch_unwind());
    let played = tokio::select! {
        biased;
        why = sim.failed() => return Err(why),
        played = playing => played,
    };
    match played {
        Ok(Ok(Ok(()))) => sim.check_invariants(),
        Ok(Ok(Err(error))) => Err(format!("the scenario returned an error: {error}")),
        Ok(Err(panic)) => Err(hook::last_panic().unwrap_or_else(|| panic_text(&*panic))),
        Err(_) => Err(format!(
            "the scenario has not ended after {limit:?} of virtual time"
        )),
    }
}

fn outcome(sim: &Sim, failure: Option<String>, stuck: bool) -> Run {
    let (drawn, faults) = {
        let state = sim.state();
        (state.drawn.clone(), state.faults.clone())
    };
    let run = Run {
        seed: sim.seed(),
        failure,
        hash: sim.trace_hash(),
        count: sim.trace_count(),
        time: sim.now(),
        drawn,
        faults,
        trace: sim.trace(),
        totals: sim.network().totals(),
        checkpoints: sim.network().net.trace.checkpoints(),
        stuck,
    };
    sim.network().net.trace.seal();
    run
}
