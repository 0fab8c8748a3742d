//! Water meters, a hub and a dashboard that must come right: a program of several nodes, tested under faults that are drawn from seeds.
//!
//! ```sh
//! cargo run -p distbus-sim --example fleet                  # the program as it is: 100 seeds
//! cargo run -p distbus-sim --example fleet -- 2000          # more of them
//! cargo run -p distbus-sim --example fleet -- --broken      # with a mistake in it, and what a failing seed prints
//! ```
//!
//! `program.rs` is the program, `scenario.rs` what is done to it and what must hold; `tests/fleet.rs` is how you would test your own.

#[path = "fleet/program.rs"]
mod program;
#[path = "fleet/scenario.rs"]
mod scenario;

use distbus_sim::{Check, Run, What};
use std::process::ExitCode;
use std::time::Duration;

const SEEDS: u64 = 100;

fn main() -> ExitCode {
    let broken = std::env::args().any(|argument| argument == "--broken");
    let seeds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(SEEDS);
    println!(
        "Water meters with clocks that are off, a hub, and a dashboard. Everything may crash, and any link may break.\n"
    );
    let mut figures = Figures::default();
    let check = Check::new(seeds).command(if broken { replay_broken } else { replay });
    let ended = check.attempt(
        |sim| scenario::fleet(sim, !broken),
        |run| {
            if figures.seeds == 0 {
                tell(run);
            }
            figures.add(run);
            true
        },
    );
    let found = ended.is_err();
    if let Err(report) = ended {
        println!("{report}");
    }
    println!("{}", figures.line());
    // A mistake that nobody finds is the worse one.
    if found == broken {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One run in a few lines.
fn tell(run: &Run) {
    println!(
        "With seed {}, for instance: {}; and then",
        run.seed,
        run.drawn.join(", ")
    );
    for fault in &run.faults {
        println!("    {fault}");
    }
    for record in &run.trace {
        match &record.what {
            What::Note(text) if text.starts_with("the dashboard shows") => println!("{text}"),
            _ => {}
        }
    }
    println!();
}

#[derive(Default)]
struct Figures {
    seeds: u64,
    faults: usize,
    time: Duration,
    frames: u64,
}

impl Figures {
    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.faults += run.faults.len();
        self.time += run.time;
        self.frames += run.totals.arrived;
    }

    fn line(&self) -> String {
        let Self {
            seeds,
            faults,
            time,
            frames,
        } = self;
        let minutes = time.as_secs() / 60;
        format!(
            "{seeds} seeds: {minutes} minutes of virtual time, {faults} faults, {frames} events that arrived somewhere"
        )
    }
}

fn replay(seed: u64, faults: Option<&str>) -> String {
    let faults = faults.map_or_else(String::new, |faults| format!("DISTBUS_SIM_FAULTS={faults} "));
    format!("DISTBUS_SIM_SEED={seed} {faults}cargo run -p distbus-sim --example fleet")
}

fn replay_broken(seed: u64, faults: Option<&str>) -> String {
    format!("{} -- --broken", replay(seed, faults))
}
