//! Measuring: a sweep of standard cases with everything a process of its own, its two roles by themselves, and the bus inside a process.

mod case;
mod contestant;
mod figures;
mod local;
mod machine;
mod meter;
#[cfg(feature = "peers")]
mod nats;
mod plot;
mod program;
mod publish;
mod report;
mod row;
mod run;
mod subscribe;
mod sweep;
mod tables;
mod usage;
mod work;

use crate::failure::Failure;
use sweep::Sweep;

/// Measure the bus on this machine: standard cases, each with a broker, publishers and subscribers as processes of their own
///
/// Prints one table: events per second and latencies, the broker's processor time for each event and the most memory it had. Takes a minute or
/// two; --quick a few seconds. An event that is lost is a failure.
#[derive(clap::Args)]
#[command(
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "PART",
    subcommand_help_heading = "Parts"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    sweep: Sweep,
}

#[derive(clap::Subcommand)]
enum Role {
    Sub(subscribe::Args),
    Pub(publish::Args),
    Local(local::Args),
}

impl Args {
    /// Whether the work is best done by one thread.
    pub(crate) fn one_thread(&self) -> bool {
        match &self.role {
            Some(Role::Sub(args)) => args.one_thread(),
            Some(Role::Pub(args)) => args.one_thread(),
            Some(Role::Local(_)) | None => false,
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  distbus bench                                            all cases, three runs each
  distbus bench --quick --case json --case latency
  distbus bench --peers --plot rates.svg                   beside NATS and Python, where they are installed
  distbus bench --format csv > figures.csv
  distbus bench local                                      the bus inside one process

By hand, in three terminals:
  distbus serve --port 5555
  distbus bench sub --to tcp://127.0.0.1:5555 --events 1000000 --size 64
  distbus bench pub --to tcp://127.0.0.1:5555 --events 1000000 --size 64";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.role {
        None => sweep::run(args.sweep).await,
        Some(Role::Sub(args)) => subscribe::run(args).await,
        Some(Role::Pub(args)) => publish::run(args).await,
        Some(Role::Local(args)) => local::run(args).await,
    }
}
