//! `check` and `run`: the same seed does the same, and a failure says all there is to know.

#![allow(
    clippy::unwrap_used,
    reason = "the scenarios of a test fail it where they fail"
)]

mod support;

use distbus_sim::{
    Check, Fault, FaultKind, Latency, LinkConfig, Options, Profile, Run, Seeds, Sim, check, run,
};
use rand::RngExt;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{MS, SECOND, connect};

/// A program with some of everything, under drawn faults.
async fn program(sim: Sim) {
    let base = LinkConfig::default().with_latency(Latency::log_normal(5 * MS, 1.0));
    sim.network().set_default(base);
    sim.broker("hub");
    for n in 0..4 {
        sim.node(&format!("node{n}"), |node| async move {
            let mut rng = node.rng("pace");
            loop {
                let client = connect(&node, "hub").await;
                let bus = node.local_bus().build();
                if bus.link_with(&client, "n.*").await.is_err() {
                    continue;
                }
                let seen = node.clone();
                let entry = bus.entry("node");
                entry
                    .on_sync("n.*", move |event: &u64| seen.note(format!("saw {event}")))
                    .unwrap();
                for number in 0..50_u64 {
                    let topic = format!("n.{}", number % 3);
                    if bus.emit(&topic, number).await.is_err() || client.is_closed() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(rng.random_range(1..500))).await;
                }
                bus.close().await;
                client.close().await;
            }
        });
    }
    let faults = sim.draw_faults(&Profile::datagram());
    sim.inject(faults);
    sim.invariant("the network's books", |sim: &Sim| {
        let totals = sim.network().totals();
        if totals.adds_up() {
            Ok(())
        } else {
            Err(format!("{totals:?}"))
        }
    });
    sim.advance(45 * SECOND).await;
}

fn play(seed: u64) -> Run {
    let mut options = Options::seed(seed);
    options.trace = 200_000;
    let run = run(&options, program);
    assert_eq!(run.failure, None, "seed {seed}");
    run
}

#[test]
fn the_same_seed_does_the_same_and_another_does_something_else() {
    let mut hashes = BTreeSet::new();
    for seed in 0..4 {
        let first = play(seed);
        assert!(first.count > 500, "seed {seed}: {} things", first.count);
        for _ in 0..2 {
            let again = play(seed);
            if again.hash != first.hash {
                let differ = first.trace.iter().zip(&again.trace).find(|(one, two)| one != two);
                panic!("seed {seed} differs, first in {differ:?}");
            }
            assert_eq!(
                (again.count, again.time, again.faults),
                (first.count, first.time, first.faults.clone())
            );
        }
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 4);
}

#[test]
fn a_seed_does_the_same_on_another_thread_beside_others() {
    let here = play(3).hash;
    let others: Vec<_> = (0..3).map(|_| std::thread::spawn(|| play(3).hash)).collect();
    for other in others {
        assert_eq!(other.join().unwrap(), here);
    }
}

#[test]
fn a_quiet_day_passes() {
    let day = || {
        run(&Options::seed(1), |sim| async move {
            sim.broker("hub").ready().await;
            let (one, two) = (
                sim.at("one").connect("hub").await.unwrap(),
                sim.at("two").connect("hub").await.unwrap(),
            );
            sim.advance(Duration::from_secs(86_400)).await;
            assert!(!one.is_closed() && !two.is_closed());
        })
    };
    let (first, second) = (day(), day());
    assert_eq!((first.failure, first.hash), (None, second.hash));
    assert_eq!(first.time, Duration::from_secs(86_400));
    // A pulse each 15 s, to each.
    assert!(first.totals.arrived > 2 * 5760, "{:?}", first.totals);
}

/// What `check` panics with.
fn failure(
    check: Check,
    scenario: impl Fn(Sim) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| check.run(scenario))).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[test]
fn a_failure_says_how_to_replay_it_and_what_went_before() {
    let text = failure(Check::new(0..10), |sim| {
        Box::pin(async move {
            let clients = sim.rng("clients").random_range(1..5_u32);
            sim.drawn("clients", clients);
            sim.broker("hub").ready().await;
            sim.advance(SECOND).await;
            assert!(sim.seed() < 7, "the seventh is bad");
        })
    });
    for part in [
        "seed 7 failed after 1s of virtual time: the seventh is bad (at transports/sim/tests/check.rs:",
        "DISTBUS_SIM_SEED=7 cargo test -p distbus-sim a_failure_says_how_to_replay_it_and_what_went_before -- --exact",
        "drawn:\n    clients = ",
        "of virtual time",
        "hub                      listens at mem://hub\n",
        "things that happened, hash ",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains("faults"), "{text}");
}

#[test]
fn the_smallest_set_of_faults_is_found() {
    let text = failure(Check::new(1), |sim| {
        Box::pin(async move {
            sim.node("a", |_| std::future::pending::<()>());
            sim.node("b", |_| std::future::pending::<()>());
            let crash = |after: u32, node: &str| {
                Fault::new(
                    after * SECOND,
                    10 * SECOND,
                    FaultKind::Crash { node: node.into() },
                )
            };
            let stall =
                |after: u32| Fault::new(after * SECOND, SECOND, FaultKind::Stall { node: "a".into() });
            sim.inject([
                stall(1),
                crash(2, "a"),
                stall(3),
                stall(4),
                crash(5, "b"),
                stall(6),
                stall(20),
            ]);
            sim.invariant("one of them runs", |sim: &Sim| {
                let runs = sim.is_running("a") || sim.is_running("b");
                if runs {
                    Ok(())
                } else {
                    Err("both are down".to_owned())
                }
            });
            sim.advance(60 * SECOND).await;
        })
    });
    for part in [
        "seed 0 failed after 5s of virtual time: one of them runs: both are down",
        "faults, 7:",
        "it still fails with 2 of them: one of them runs: both are down\n      1  after 2s, a crashes, and is back 10s later\n      4  after 5s, b crashes",
        "DISTBUS_SIM_SEED=0 DISTBUS_SIM_FAULTS=1,4 cargo test -p distbus-sim the_smallest_set_of_faults_is_found -- --exact",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn faults_that_are_left_out_do_not_happen() {
    let crashes = |faults: Option<BTreeSet<usize>>| {
        let mut options = Options::seed(0);
        options.faults = faults;
        let run = run(&options, |sim| async move {
            sim.node("a", |_| std::future::pending::<()>());
            let crash = || Fault::new(SECOND, SECOND, FaultKind::Crash { node: "a".into() });
            sim.inject([crash()]);
            sim.advance(10 * SECOND).await;
            sim.inject([crash(), crash()]);
            sim.advance(10 * SECOND).await;
        });
        assert_eq!((run.failure, run.faults.len()), (None, 3));
        run.trace
            .iter()
            .filter(|record| record.to_string().contains("crashes"))
            .count()
    };
    // Two at the same moment are one.
    assert_eq!(crashes(None), 2);
    assert_eq!(crashes(Some([1].into())), 1);
    assert_eq!(crashes(Some([0, 2].into())), 2);
    assert_eq!(crashes(Some(BTreeSet::new())), 0);
}

#[test]
fn what_is_not_the_same_twice_is_found() {
    let runs = Arc::new(AtomicU64::new(0));
    let text = failure(Check::new(1), move |sim| {
        let run = runs.fetch_add(1, Relaxed);
        Box::pin(async move {
            sim.note("first");
            sim.note(format!("run {run}"));
        })
    });
    for part in ["did not do the same twice", "`biased`", "run 0\n", "run 1\n"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn the_first_difference_is_found_though_it_is_no_longer_kept() {
    let runs = Arc::new(AtomicU64::new(0));
    let text = failure(Check::new(1), move |sim| {
        let run = runs.fetch_add(1, Relaxed);
        Box::pin(async move {
            for number in 0..20_000 {
                let odd = if number == 12_345 { run } else { 0 };
                sim.note(format!("thing {number}, {odd}"));
            }
        })
    });
    // Of the second pair, which was run with everything kept.
    for part in [
        "did not do the same twice",
        "thing 12345, 2\n",
        "thing 12345, 3\n",
        "thing 12344, 0\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains("thing 12300,"), "{text}");
}

#[test]
fn where_two_runs_parted_is_told_when_they_do_not_differ_again() {
    let runs = Arc::new(AtomicU64::new(0));
    let text = failure(Check::new(1), move |sim| {
        let first = runs.fetch_add(1, Relaxed) == 0;
        Box::pin(async move {
            for number in 0..20_000 {
                tokio::time::sleep(MS).await;
                sim.note(format!("thing {number}, {}", first && number == 12_345));
            }
        })
    });
    assert!(
        text.contains(
            "They were the same for the first 12344 things, until 12.344s, and differed within the next 8."
        ),
        "{text}"
    );
}

/// Short, and long for a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn a_node_that_spins_fails_the_seed_though_no_time_passes() {
    let text = failure(Check::new(3..5).patience(PATIENCE), |sim| {
        Box::pin(async move {
            sim.node("spinning", |_| async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            sim.advance(SECOND).await;
        })
    });
    for part in [
        "seed 3 failed after 0ns of virtual time: no virtual time passes: for 2",
        "DISTBUS_SIM_SEED=3 cargo test",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_answers_itself_fails_the_seed_though_more_and_more_happens() {
    let run = {
        let mut options = Options::seed(0);
        options.patience = Some(PATIENCE / 10);
        run(&options, |sim| async move {
            sim.broker("hub").ready().await;
            let client = sim.at("a").connect("hub").await.unwrap();
            let out = client.clone();
            client
                .on("ping", move |number: u64| {
                    let out = out.clone();
                    async move { out.emit("ping", &(number + 1)).await.map(drop) }
                })
                .await
                .unwrap();
            client.emit("ping", &0).await.unwrap();
            sim.advance(SECOND).await;
        })
    };
    let failure = run.failure.unwrap();
    assert!(failure.starts_with("no virtual time passes"), "{failure}");
    assert!(run.count > 100, "{} things", run.count);
}

#[test]
fn a_handler_that_blocks_its_thread_ends_the_process_and_says_which_seed() {
    const CHILD: &str = "DISTBUS_SIM_TEST_BLOCKS";
    const NAME: &str = "a_handler_that_blocks_its_thread_ends_the_process_and_says_which_seed";
    if std::env::var_os(CHILD).is_some() {
        return check_that_blocks();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "{said}");
    for part in [
        &format!("seed 7, replayed by\n    DISTBUS_SIM_SEED=7 cargo test -p distbus-sim {NAME} -- --exact"),
        "is stuck: code that it runs blocks its thread",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

/// For a minute: should nobody end it, it fails for not having been ended.
fn check_that_blocks() {
    Check::new(Seeds::one(7))
        .patience(PATIENCE / 10)
        .run(|sim| async move {
            sim.node("blocking", |_| async { std::thread::sleep(60 * SECOND) });
            sim.advance(SECOND).await;
        });
}

#[test]
fn a_scenario_that_does_not_end_fails() {
    let text = failure(Check::new(1).time_limit(100 * SECOND), |_| {
        Box::pin(std::future::pending())
    });
    assert!(
        text.contains("has not ended after 100s of virtual time"),
        "{text}"
    );
}

#[test]
fn an_error_that_a_scenario_returns_fails_it() {
    let run = run(&Options::seed(0), |sim| async move {
        sim.at("a")
            .client()
            .connect_timeout(SECOND)
            .connect("mem://nobody")
            .await
            .map(drop)
    });
    let failure = run.failure.unwrap();
    assert!(
        failure.starts_with("the scenario returned an error: "),
        "{failure}"
    );
    assert_eq!(run.time, SECOND);
}

#[test]
fn what_comes_in_time_is_waited_for_and_what_does_not_is_told() {
    let run = run(&Options::seed(0), |sim| async move {
        let there = Arc::new(AtomicBool::new(false));
        let set = there.clone();
        tokio::spawn(async move {
            tokio::time::sleep(3 * SECOND).await;
            set.store(true, Relaxed);
        });
        sim.eventually(5 * SECOND, "it being there", || there.load(Relaxed))
            .await;
        assert!(sim.now() >= 3 * SECOND && sim.now() <= 3 * SECOND + 10 * MS);
        sim.eventually(5 * SECOND, "it being gone again", || !there.load(Relaxed))
            .await;
    });
    let failure = run.failure.unwrap();
    assert!(
        failure.starts_with("not within 5s: it being gone again"),
        "{failure}"
    );
}

#[test]
fn invariants_are_looked_at_while_a_scenario_waits_for_something_else() {
    let run = run(&Options::seed(0), |sim| async move {
        sim.broker("hub").ready().await;
        let client = sim.at("a").connect("hub").await.unwrap();
        sim.invariant("fewer than ten events", |sim: &Sim| {
            match sim.link("a", "hub").flow().entered {
                0..30 => Ok(()),
                many => Err(format!("{many} frames")),
            }
        });
        for number in 0..1000 {
            client.emit("n", &number).await.unwrap();
            tokio::time::sleep(SECOND).await;
        }
    });
    let failure = run.failure.unwrap();
    assert!(
        failure.starts_with("fewer than ten events: 30 frames"),
        "{failure}"
    );
    assert!(run.time < 40 * SECOND, "{:?}", run.time);
}

#[test]
fn a_panic_in_a_handler_is_in_the_trace() {
    let run = run(&Options::seed(0), |sim| async move {
        sim.broker("hub").ready().await;
        let client = sim.at("a").connect("hub").await.unwrap();
        client
            .on_sync("n", |_: u64| panic!("a bad handler"))
            .await
            .unwrap();
        client.emit("n", &1).await.unwrap();
        sim.advance(SECOND).await;
    });
    assert_eq!(run.failure, None);
    assert!(
        run.trace
            .iter()
            .any(|record| record.to_string().contains("a panic: a bad handler"))
    );
}

#[test]
fn every_seed_is_run_once_and_one_in_twenty_twice() {
    let counts = Arc::new(Mutex::new(HashMap::new()));
    let count = counts.clone();
    check(5..=45, move |sim| {
        *count.lock().unwrap().entry(sim.seed()).or_insert(0) += 1;
        async {}
    });
    let counts = counts.lock().unwrap();
    assert_eq!(counts.len(), 41);
    for (seed, count) in counts.iter() {
        assert_eq!(
            *count,
            if [5, 25, 45].contains(seed) { 2 } else { 1 },
            "seed {seed}"
        );
    }
    assert_eq!(Seeds::from(vec![4, 2]).all(), [4, 2]);
}
