//! Measuring: the two roles of a benchmark, each a process of its own.

mod publish;
mod subscribe;
mod work;

use crate::failure::Failure;

/// Measure the bus: two roles, each a process of its own, with a broker between them
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    Sub(subscribe::Args),
    Pub(publish::Args),
}

const AFTER_HELP: &str = "\
Example, in three terminals:
  distbus serve --port 5555
  distbus bench sub --to tcp://127.0.0.1:5555 --events 1000000 --size 64
  distbus bench pub --to tcp://127.0.0.1:5555 --events 1000000 --size 64";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.role {
        Role::Sub(args) => subscribe::run(args).await,
        Role::Pub(args) => publish::run(args).await,
    }
}
