//! The `distbus` program: a broker, a publisher and a subscriber for the command line, a demonstration, measurements and
//! simulations.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 3 cannot connect, 4 timed out, 64 usage.
#![forbid(unsafe_code)]

mod bench;
mod carrier;
mod connection;
mod demo;
mod failure;
mod json_text;
mod lines;
mod logging;
mod printer;
mod progress;
mod publish;
mod render;
mod serve;
mod signals;
mod sim;
mod subscribe;
mod units;
mod value;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// An event bus for the command line.
///
/// Programs talk by sending events to topics, such as lab.temp, and by subscribing to them. A broker stands between them. Python's
/// `aiodistbus` speaks the same language.
#[derive(Parser)]
#[command(name = "distbus", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Says more on stderr: -v what it does, -vv in detail, -vvv everything. RUST_LOG, where set, decides instead
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 900)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Pub(publish::Args),
    Sub(subscribe::Args),
    Bench(bench::Args),
    Sim(sim::Args),
}

const AFTER_HELP: &str = "\
Try it:
  distbus demo                                             everything at once, nothing to set up
  distbus sim                                              the engine under faults, in virtual time

  distbus serve --port 5555                                in one terminal
  distbus sub --to tcp://127.0.0.1:5555 'lab.*'            in a second
  distbus pub --to tcp://127.0.0.1:5555 lab.temp 21.5      in a third

Exit codes:
  0 success   1 failure   3 cannot connect   4 timed out before --count   64 wrong usage";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be said when even stderr is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Failure::USAGE } else { 0 });
        }
    };
    // What a simulated network does to the engine is no concern of whoever runs it.
    let least = if matches!(cli.command, Command::Sim(_)) {
        "off"
    } else {
        "warn"
    };
    logging::start(cli.verbose, least);
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    let one_thread = matches!(&command, Command::Bench(args) if args.one_thread());
    let mut builder = if one_thread {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime does not start: {error}")))?;
    let done = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Pub(args) => publish::run(args).await,
            Command::Sub(args) => subscribe::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Sim(args) => sim::run(args).await,
        }
    });
    // A thread that still reads stdin must not keep the program alive.
    runtime.shutdown_background();
    done
}
