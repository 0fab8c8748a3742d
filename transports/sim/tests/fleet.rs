//! The example `fleet`: the program comes right under every seed, its mistake is found, and what is found can be played again.

#![allow(clippy::unwrap_used, reason = "a test fails where it fails")]

#[path = "../examples/fleet/program.rs"]
mod program;
#[path = "../examples/fleet/scenario.rs"]
mod scenario;

use distbus::{Broker, Client};
use distbus_sim::{Check, Options, check, run};
use distbus_zmtp::Zmtp;
use program::{Board, dashboard, sensor};
use scenario::fleet;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_dashboard_comes_right() {
    check(100, |sim| fleet(sim, true));
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?} in:\n{text}"));
    let (found, _) = rest
        .split_once(after)
        .unwrap_or_else(|| panic!("no {after:?} after {before:?} in:\n{text}"));
    found
}

#[test]
fn the_mistake_is_found_with_few_faults_and_found_again() {
    let ended = Check::new(100).attempt(|sim| fleet(sim, false), |_| true);
    let report = ended.expect_err("a dashboard that does not ask again");

    // The report leads there: the seed, the fewest faults, and a command with both.
    let (_, fewest) = report.split_once("it still fails with ").unwrap();
    let why = between(fewest, "of them: ", "\n");
    assert!(why.contains(" litres, the dashboard shows "), "{why}");
    let command = between(fewest, "replay that:\n    ", "\n");
    let (environment, test) = command.split_once(" cargo test ").unwrap();
    assert_eq!(
        test,
        "-p distbus-sim the_mistake_is_found_with_few_faults_and_found_again -- --exact"
    );
    let seed = between(environment, "DISTBUS_SIM_SEED=", " ").parse().unwrap();
    let (_, numbers) = environment.split_once("DISTBUS_SIM_FAULTS=").unwrap();
    let faults: BTreeSet<usize> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    assert_eq!(
        faults.len().to_string(),
        between(&report, "it still fails with ", " ")
    );
    assert!(faults.len() <= 3, "{report}");

    // What the command does: the same failure, and all that went before it.
    let mut options = Options::seed(seed);
    options.faults = Some(faults);
    let again = run(&options, |sim| fleet(sim, false));
    assert_eq!(again.failure.as_deref(), Some(why));
    assert_eq!(format!("{:016x}", again.hash), between(fewest, "hash ", ":"));
    // And it is the mistake that fails.
    let right = run(&options, |sim| fleet(sim, true));
    assert_eq!(right.failure, None);
}

/// The same program over sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_runs_over_tcp() {
    let hub = Broker::builder()
        .transport(Zmtp::new())
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let endpoint = hub.endpoint().clone();
    let join = move || Client::builder().transport(Zmtp::new()).connect(endpoint.clone());
    let board = Board::default();
    let parts = [
        tokio::spawn(dashboard(join.clone(), board.clone(), true)),
        tokio::spawn(sensor("meter0".to_owned(), join.clone(), || 7)),
        tokio::spawn(sensor("meter1".to_owned(), join, || 8)),
    ];
    let shown = async {
        while board.lines().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(30), shown).await;
    shown.expect("both meters on the board within 30 s");
    let litres: Vec<_> = board.lines().values().map(|line| line.litres).collect();
    assert_eq!(litres, [7, 8]);
    for part in parts {
        part.abort();
    }
}
