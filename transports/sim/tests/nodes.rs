//! Nodes: they start, crash, come back, and see the clock that they are given.

#![allow(
    clippy::unwrap_used,
    reason = "the scenarios of a test fail it where they fail"
)]

mod support;

use distbus::{ClosedBy, Host, MessagePack};
use distbus_sim::{Fault, FaultKind, Injected, LinkConfig, Node, Options, Sim, Skew, What, run};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Log, MS, SECOND, connect, listener, play};

/// Emits its run and a count, once a second, for ever.
async fn counter(node: Node) -> Result<(), distbus::Error> {
    loop {
        let client = connect(&node, "hub").await;
        for count in 0.. {
            if client.emit("n", &(node.run() * 1000 + count)).await.is_err() {
                break;
            }
            tokio::time::sleep(SECOND).await;
        }
    }
}

#[test]
fn a_crashed_node_says_nothing_more_and_comes_back_from_its_factory() {
    let run = play(1, |sim| async move {
        sim.broker("hub").ready().await;
        let (_display, log) = listener(&sim, "display", "n").await;
        sim.network()
            .set_default(LinkConfig::default().with_latency(200 * MS));
        sim.node("counter", counter);
        sim.advance(3300 * MS).await;
        assert!(sim.is_running("counter"));
        let before = log.numbers();
        assert!(before.len() >= 2 && before[0] == 1000, "{before:?}");
        // One is on its way now.
        let flying = sim.link("counter", "hub").flow().in_flight;
        sim.crash("counter");
        assert!(!sim.is_running("counter"));
        let flow = sim.link("counter", "hub").flow();
        assert_eq!((flow.in_flight, flow.count(Injected::Cut)), (0, flying));
        // What the broker had is still delivered; then nothing more is.
        sim.advance(SECOND).await;
        let after = log.len();
        sim.advance(10 * SECOND).await;
        assert_eq!(log.len(), after);
        sim.restart("counter");
        sim.advance(2 * SECOND).await;
        assert!(log.numbers()[after..].starts_with(&[2000]), "{:?}", log.numbers());
    });
    let crashes = run
        .trace
        .iter()
        .filter(|record| record.what == What::Crashed)
        .count();
    assert_eq!(crashes, 1);
}

/// Says so when it is dropped.
struct Held(Arc<AtomicU64>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn what_a_node_runs_is_dropped_with_it_before_time_goes_on() {
    play(2, |sim| async move {
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        sim.node("node", move |node| {
            let (one, two) = (Held(count.clone()), Held(count.clone()));
            async move {
                node.spawn(async move {
                    let _two = two;
                    std::future::pending::<()>().await;
                });
                let _one = one;
                std::future::pending::<()>().await;
            }
        });
        sim.advance(SECOND).await;
        let start = sim.now();
        sim.crash("node");
        while dropped.load(Relaxed) < 2 {
            tokio::task::yield_now().await;
            assert_eq!(sim.now(), start, "time went on first");
        }
        // Twice is once.
        sim.crash("node");
    });
}

#[test]
fn a_broker_crashes_and_listens_again() {
    play(3, |sim| async move {
        let hub = sim.broker("hub");
        hub.ready().await;
        let node = sim.at("sensor");
        let sensor = node.connect("hub").await.unwrap();
        sensor.emit("n", &1).await.unwrap();
        sensor.flush().await.unwrap();
        assert_eq!(hub.stats().relayed, 1);
        sim.crash("hub");
        assert!(matches!(sensor.closed().await, ClosedBy::Lost(_)));
        assert!(hub.broker().is_none());
        // In the same moment, though what is left of the old run may still be there.
        sim.restart("hub");
        hub.ready().await;
        let again = node.connect("hub").await.unwrap();
        again.emit("n", &1).await.unwrap();
        again.flush().await.unwrap();
        assert_eq!((hub.stats().relayed, hub.stats().handshakes), (1, 1));
        sim.restart("hub");
        sim.restart("hub");
        sim.advance(SECOND).await;
        assert!(sim.is_running("hub") && hub.broker().is_some());
    });
}

#[test]
fn an_old_run_is_cut_off_for_ever() {
    play(4, |sim| async move {
        sim.broker("hub").ready().await;
        let (_display, log) = listener(&sim, "display", "n").await;
        let old = sim.at("ghost");
        let client = old.connect("hub").await.unwrap();
        let (_listening, heard) = listener(&sim, "ghost", "n").await;
        sim.crash("ghost");
        sim.advance(MS).await;
        assert!(client.is_closed());
        // It is tried; the engine refuses, and so does the network.
        assert!(client.emit("n", &1).await.is_err());
        assert!(old.connect("hub").await.is_err());
        let bound = tokio::time::timeout(SECOND, old.broker().bind("mem://ghost"));
        assert!(bound.await.is_err());
        let new = sim.at("ghost");
        assert_eq!((old.run(), new.run()), (1, 2));
        let client = new.connect("hub").await.unwrap();
        client.emit("n", &2).await.unwrap();
        sim.advance(SECOND).await;
        assert_eq!((log.numbers(), heard.numbers()), (vec![2], vec![]));
    });
}

#[test]
fn a_stalled_program_does_nothing() {
    play(5, |sim| async move {
        let log = Log::default();
        let (seen, clock) = (log.clone(), sim.clone());
        sim.node("ticker", move |_| {
            let (seen, clock) = (seen.clone(), clock.clone());
            async move {
                for number in 0.. {
                    seen.add(&clock, number);
                    tokio::time::sleep(SECOND).await;
                }
            }
        });
        sim.advance(2500 * MS).await;
        sim.stall("ticker", 10 * SECOND);
        sim.advance(12 * SECOND).await;
        let times: Vec<_> = log.all().iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 1000, 2000, 12_500, 13_500]);
    });
}

#[test]
fn each_node_has_a_clock_and_randomness_of_its_own() {
    let draw = |seed| {
        let found = Arc::new(Mutex::new(Vec::new()));
        let out = found.clone();
        play(seed, move |sim| async move {
            let (a, b) = (sim.at("a"), sim.at("b"));
            assert_eq!(a.host().now().to_string(), "2030-01-01T00:00:00.000000");
            sim.advance(90 * SECOND).await;
            sim.skew("a", 30 * SECOND);
            sim.skew("b", Skew::Behind(90 * SECOND + MS));
            assert_eq!(a.host().now().to_string(), "2030-01-01T00:02:00.000000");
            assert_eq!(b.host().now().to_string(), "2029-12-31T23:59:59.999000");
            let mut numbers = vec![a.host().random(), a.host().random(), b.host().random()];
            sim.crash("a");
            numbers.push(sim.at("a").host().random());
            out.lock().unwrap().extend(numbers);
        });
        std::mem::take(&mut *found.lock().unwrap())
    };
    let numbers = draw(6);
    assert_eq!(numbers, draw(6));
    let mut all = [numbers, draw(7)].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8);
}

#[test]
fn brokers_are_built_as_you_like() {
    play(8, |sim| async move {
        let hub = sim.broker_with("hub", |builder| builder.codec(MessagePack).pulse(SECOND));
        hub.ready().await;
        let client = sim
            .at("a")
            .client()
            .codec(MessagePack)
            .connect(hub.endpoint())
            .await
            .unwrap();
        let mut numbers = client.subscribe::<u64>("n").await.unwrap();
        client.emit("n", &7_u64).await.unwrap();
        assert_eq!(numbers.next().await.as_deref(), Some(&7));
        sim.advance(10 * SECOND).await;
        assert!(hub.stats().pulses >= 10);
    });
}

#[test]
fn a_node_that_panics_fails_the_scenario_and_one_that_returns_does_not() {
    let failed = run(&Options::seed(9), |sim| async move {
        sim.node("fine", |_| async { Err::<(), _>("of no use") });
        sim.node("bad", |_| async {
            tokio::time::sleep(SECOND).await;
            panic!("out of paper");
        });
        sim.advance(3600 * SECOND).await;
    });
    assert_eq!(failed.failure.as_deref(), Some("node bad panicked: out of paper"));
    assert_eq!(failed.time, SECOND);
    assert!(
        failed
            .trace
            .iter()
            .any(|record| record.to_string().ends_with("ends: of no use"))
    );
}

#[test]
fn faults_happen_and_end_as_planned() {
    let fault = |after: u32, lasting: u32, kind| Fault::new(after * SECOND, lasting * SECOND, kind);
    let name = |name: &str| name.to_owned();
    let run = play(10, move |sim| async move {
        sim.broker("hub").ready().await;
        let (_display, log) = listener(&sim, "display", "n").await;
        sim.node("counter", counter);
        let (a, b) = (name("counter"), name("hub"));
        sim.inject([
            fault(
                10,
                5,
                FaultKind::Crash {
                    node: name("counter"),
                },
            ),
            fault(
                20,
                5,
                FaultKind::Partition {
                    a: a.clone(),
                    b: b.clone(),
                },
            ),
            fault(
                22,
                8,
                FaultKind::OneWay {
                    from: a.clone(),
                    to: b.clone(),
                },
            ),
            fault(
                40,
                5,
                FaultKind::Clog {
                    a: a.clone(),
                    b: b.clone(),
                },
            ),
            fault(
                50,
                5,
                FaultKind::Stall {
                    node: name("counter"),
                },
            ),
            fault(
                60,
                0,
                FaultKind::Disconnect {
                    a: a.clone(),
                    b: b.clone(),
                },
            ),
            fault(
                70,
                5,
                FaultKind::Skew {
                    node: a.clone(),
                    skew: Skew::Ahead(SECOND),
                },
            ),
            fault(
                80,
                5,
                FaultKind::SlowReader {
                    node: name("display"),
                    bytes_per_second: 10,
                },
            ),
            fault(
                90,
                5,
                FaultKind::Degrade {
                    a,
                    b,
                    config: LinkConfig::default().with_loss(1.0),
                },
            ),
        ]);
        sim.advance(120 * SECOND).await;
        let times: Vec<_> = log.all().iter().map(|(at, _)| at / 1000).collect();
        let between = |from, to| times.iter().filter(|at| (from..to).contains(*at)).count();
        for quiet in [10..15, 20..30, 40..45, 50..55, 90..95] {
            assert!(between(quiet.start, quiet.end) <= 1, "{quiet:?}: {times:?}");
        }
        for busy in [0..10, 30..40, 61..90, 95..120] {
            let enough = (busy.end - busy.start) as usize - 8;
            assert!(between(busy.start, busy.end) >= enough, "{busy:?}: {times:?}");
        }
        assert_eq!(sim.faults().len(), 9);
    });
    assert!(run.totals.adds_up(), "{:?}", run.totals);
}

#[test]
fn healing_ends_planned_faults_with_what_they_keep_down() {
    play(11, |sim| async move {
        sim.broker("hub").ready().await;
        sim.node("counter", counter);
        let long = Duration::from_secs(1_000_000);
        let crash = FaultKind::Crash {
            node: "counter".to_owned(),
        };
        let partition = FaultKind::Partition {
            a: "counter".into(),
            b: "hub".into(),
        };
        sim.inject([
            Fault::new(SECOND, long, crash.clone()),
            Fault::new(SECOND, long, partition),
            Fault::new(100 * SECOND, long, crash),
        ]);
        sim.advance(50 * SECOND).await;
        assert!(!sim.is_running("counter"));
        sim.heal_all();
        sim.advance(100 * SECOND).await;
        assert!(sim.is_running("counter") && !sim.link("counter", "hub").is_partitioned());
        assert!(sim.link("counter", "hub").flow().in_flight == 0);
    });
}

#[test]
fn an_isolated_node_is_alone() {
    play(12, |sim| async move {
        sim.broker("hub").ready().await;
        sim.broker("other").ready().await;
        let node = sim.at("node");
        let (one, two) = (
            node.connect("hub").await.unwrap(),
            node.connect("other").await.unwrap(),
        );
        sim.isolate("node");
        assert!(sim.link("node", "hub").is_partitioned() && sim.link("node", "other").is_partitioned());
        one.closed().await;
        two.closed().await;
        sim.heal_all();
        node.connect("hub").await.unwrap();
    });
}

#[test]
fn names_are_unique() {
    let failed = run(&Options::seed(13), |sim: Sim| async move {
        sim.broker("hub");
        sim.broker("hub");
    });
    let failure = failed.failure.unwrap();
    assert!(failure.starts_with("there is a node hub already"), "{failure}");
}
