//! What is done to the program, and what must hold.

use super::program::{Board, Line, dashboard, sensor};
use distbus::{Client, Error};
use distbus_sim::{BoxError, Invariant, Latency, LinkConfig, Node, Profile, Sim, Skew};
use futures_util::future::BoxFuture;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Water runs, and things go wrong, for so long.
const TROUBLE: Duration = Duration::from_secs(60);
/// Then everybody has noticed what broke, and has connected again.
const SETTLED: Duration = Duration::from_secs(30);

/// The fleet under the faults of one seed: nothing false is ever shown, and when the faults have ended, the dashboard shows what the meters say.
pub(crate) async fn fleet(sim: Sim, asks_again: bool) -> Result<(), BoxError> {
    let mut rng = sim.rng("fleet");
    let meters: Meters = (0..rng.random_range(2..=6_u64))
        .map(|number| (format!("meter{number}"), Meter::default()))
        .collect();
    let latency = Duration::from_millis(rng.random_range(1..=50));
    sim.drawn("meters", meters.len());
    sim.drawn("latency", latency);
    let link = LinkConfig::default().with_latency(Latency::log_normal(latency, 0.7));
    sim.network()
        .set_default(link.with_break_after(Some(Duration::from_secs(5))));

    // The parts: each is started again from here after a crash.
    sim.broker("hub");
    for (name, meter) in &meters {
        let meter = meter.clone();
        sim.node(name, move |node| {
            let meter = meter.clone();
            sensor(node.name().to_owned(), join(node), move || meter.read())
        });
        let off = Duration::from_secs(rng.random_range(0..600));
        sim.skew(
            name,
            if rng.random_bool(0.5) {
                Skew::Ahead(off)
            } else {
                Skew::Behind(off)
            },
        );
    }
    let screen = Screen::default();
    let seen = screen.clone();
    sim.node("dashboard", move |node| {
        // A dashboard that was started again has an empty board.
        let board = seen.turn_on(node.run());
        dashboard(join(node), board, asks_again)
    });

    // What must hold at every moment.
    sim.invariant("nothing is made up", Measured(screen.clone(), meters.clone()));
    sim.invariant("nothing runs back", Forward(screen.clone(), BTreeMap::new()));

    // The faults, and what the program is there for.
    let mut profile = Profile::tcp();
    (profile.during, profile.longest) = (TROUBLE * 2 / 3, TROUBLE / 3);
    let faults = sim.draw_faults(&profile);
    sim.inject(faults);
    let mut taps: Vec<_> = meters
        .values()
        .map(|meter| {
            (
                meter.clone(),
                Duration::from_millis(rng.random_range(5_000..55_000)),
            )
        })
        .collect();
    while sim.now() < TROUBLE {
        sim.advance(Duration::from_millis(rng.random_range(100..1000)))
            .await;
        taps.retain(|(_, closes)| sim.now() < *closes);
        if !taps.is_empty() {
            taps[rng.random_range(0..taps.len() as u64) as usize]
                .0
                .run(rng.random_range(1..20));
        }
    }

    // The faults end, and then it must come right.
    sim.heal_all();
    sim.advance(SETTLED).await;
    for (name, meter) in &meters {
        let line = screen.lines().get(name).copied();
        let Some(Line { litres, read_at }) = line.filter(|line| line.litres == meter.litres()) else {
            let shown = line.map_or("nothing".to_owned(), |line| format!("{} litres", line.litres));
            return Err(format!(
                "{name} says {} litres, the dashboard shows {shown}",
                meter.litres()
            )
            .into());
        };
        sim.note(format!(
            "the dashboard shows {name}: {litres:>4} litres, read at {read_at}"
        ));
    }
    Ok(())
}

/// How the parts connect in a simulation.
fn join(node: Node) -> impl Fn() -> BoxFuture<'static, Result<Client, Error>> + Send + Sync {
    move || {
        let node = node.clone();
        Box::pin(async move { node.connect("hub").await })
    }
}

type Meters = BTreeMap<String, Meter>;

/// A thing in the world, which no crash of a sensor touches.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<Flow>>);

#[derive(Default)]
struct Flow {
    litres: u64,
    /// What was ever read from it.
    readings: BTreeSet<u64>,
}

impl Meter {
    fn run(&self, litres: u64) {
        self.locked().litres += litres;
    }

    fn litres(&self) -> u64 {
        self.locked().litres
    }

    fn read(&self) -> u64 {
        let mut flow = self.locked();
        let litres = flow.litres;
        flow.readings.insert(litres);
        litres
    }

    fn has_read(&self, litres: u64) -> bool {
        self.locked().readings.contains(&litres)
    }

    fn locked(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be seen of the dashboard: the board of its present run, and which run that is.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<(u64, Board)>>);

impl Screen {
    fn turn_on(&self, run: u64) -> Board {
        let board = Board::default();
        *self.locked() = (run, board.clone());
        board
    }

    fn run(&self) -> u64 {
        self.locked().0
    }

    fn lines(&self) -> BTreeMap<String, Line> {
        self.locked().1.lines()
    }

    fn locked(&self) -> MutexGuard<'_, (u64, Board)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is shown was really read from the meter.
struct Measured(Screen, Meters);

impl Invariant for Measured {
    fn check(&mut self, _: &Sim) -> Result<(), String> {
        let Self(screen, meters) = self;
        let lines = screen.lines();
        let made_up = lines.iter().find(|(name, line)| {
            let meter = meters.get(*name);
            !meter.is_some_and(|meter| meter.has_read(line.litres))
        });
        made_up.map_or(Ok(()), |(name, line)| {
            Err(format!("{name} never said {} litres", line.litres))
        })
    }
}

/// What a run of the dashboard shows of a meter only grows.
struct Forward(Screen, BTreeMap<(u64, String), u64>);

impl Invariant for Forward {
    fn check(&mut self, _: &Sim) -> Result<(), String> {
        let Self(screen, shown) = self;
        let run = screen.run();
        for (name, line) in screen.lines() {
            let last = shown.entry((run, name.clone())).or_default();
            if line.litres < *last {
                return Err(format!("{name} was at {last} litres, and is at {}", line.litres));
            }
            *last = line.litres;
        }
        Ok(())
    }
}
