use super::case::{CASES, Case};
use super::contestant::Contestant;
use super::machine::Machine;
use super::plot;
use super::report::{Layout, Report};
use super::row::Row;
use super::run::Run;
use crate::carrier::Carrier;
use crate::failure::Failure;
use crate::progress::progress;
use crate::signals::Signals;
use std::io::Write;
use std::path::PathBuf;

/// What to measure, and how to show it.
#[derive(clap::Args)]
pub(super) struct Sweep {
    /// Only this case; may be given several times
    #[arg(long = "case", value_name = "NAME", value_parser = Case::parser())]
    cases: Vec<Case>,
    /// A tenth of the events, and one run: to see that it works, not to compare
    #[arg(long)]
    quick: bool,
    /// Events in each case, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: Option<u64>,
    /// How often each case is measured; the median is shown [default: 3, with --quick 1]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: Option<u16>,
    /// What carries the events
    #[arg(long, value_enum, default_value = "zmtp")]
    transport: Carrier,
    /// How the figures are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Layout,
    /// Also draw the rates, as an SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Do the same work with nats-server (samples as JSON), and with Python's aiodistbus where a case is samples as JSON
    #[arg(long)]
    peers: bool,
    /// The Python that has aiodistbus
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
}

pub(super) async fn run(args: Sweep) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // Whoever is still running is killed when the sweep is dropped.
    tokio::select! {
        done = sweep(&args) => done,
        signal = signals.next() => Err(Failure::failed(format!("{signal}: ended before all was measured"))),
    }
}

async fn sweep(args: &Sweep) -> Result<(), Failure> {
    let cases: Vec<Case> = CASES
        .into_iter()
        .filter(|case| args.cases.is_empty() || args.cases.contains(case))
        .collect();
    if args.plot.is_some() && cases.iter().all(|case| case.rate.is_some()) {
        return Err(Failure::usage(
            "--plot draws rates, and a paced case has none to compare; add another --case",
        ));
    }
    let runs = args.runs.unwrap_or(if args.quick { 1 } else { 3 });
    let mut report = Report {
        machine: Machine::this(),
        transport: args.transport.name(),
        runs: runs.into(),
        programs: vec![Contestant::distbus(args.transport)],
        left_out: Vec::new(),
        rows: Vec::new(),
    };
    if args.peers {
        let found = [Contestant::nats().await, Contestant::python(&args.python).await];
        for peer in found {
            match peer {
                Ok(peer) => report.programs.push(peer),
                Err(why) => report.leave_out(why),
            }
        }
    }
    measure(args, &cases, &mut report).await?;
    report.print(args.format)?;
    if let Some(path) = &args.plot {
        plot::write(&report, path)?;
    }
    report.verdict()
}

/// Every run of every case, and in each run one program after the other, so that noise hits all of them.
async fn measure(args: &Sweep, cases: &[Case], report: &mut Report) -> Result<(), Failure> {
    let programs = report.programs.clone();
    let jobs: Vec<(&Case, &Contestant)> = cases
        .iter()
        .flat_map(|case| programs.iter().map(move |program| (case, program)))
        .filter(|(case, program)| program.takes(case))
        .collect();
    let mut done: Vec<Vec<Run>> = jobs.iter().map(|_| Vec::new()).collect();
    let bar = progress(jobs.len() * report.runs)?;
    let ours = programs.first().map(|program| program.name);
    for number in 0..report.runs {
        // Every second run goes the other way round: nobody is always first.
        let order: Vec<usize> = if number % 2 == 0 {
            (0..jobs.len()).collect()
        } else {
            (0..jobs.len()).rev().collect()
        };
        for job in order {
            let (case, program) = jobs[job];
            bar.set_message(format!("{}: {}, run {}", case.name, program.name, number + 1));
            let events = program.share(case.events(args.events, args.quick));
            match Run::of(program, case, events).await {
                Ok(run) => done[job].push(run),
                Err(failure) if Some(program.name) == ours => return Err(failure),
                // A peer that fails must not take the rest with it.
                Err(failure) => bar.suspend(|| report.leave_out(format!("in {} {failure}", case.name))),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    for ((case, program), runs) in jobs.into_iter().zip(done) {
        let events = program.share(case.events(args.events, args.quick));
        report.rows.extend(Row::of(program, case, events, runs));
    }
    Ok(())
}

impl Report {
    fn leave_out(&mut self, why: String) {
        // Those who cannot read it there find it in the JSON.
        let _ = writeln!(std::io::stderr(), "distbus: {why}");
        self.left_out.push(why);
    }
}
