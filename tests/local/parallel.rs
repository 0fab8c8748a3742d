//! Many threads at once.

use super::lab::assert_law;
use distbus::LocalBus;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

#[test]
fn emitters_in_parallel_while_others_subscribe_and_leave() {
    const EMITTERS: u64 = 4;
    const EVENTS: u64 = 20_000;
    let bus = LocalBus::new();
    let sum = Arc::new(AtomicU64::new(0));
    let s = Arc::clone(&sum);
    bus.entry("steady")
        .on_sync("n", move |n: &u64| {
            s.fetch_add(*n, SeqCst);
        })
        .unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = (0..2).map(|i| {
            let (bus, over) = (&bus, &over);
            scope.spawn(move || {
                let entry = bus.entry("churn");
                let mut changes = 0_u64;
                while !over.load(SeqCst) {
                    let pattern = ["n".into(), "*".into(), format!("n.{i}.*"), format!("x.{changes}")];
                    for pattern in &pattern {
                        entry.on_sync(pattern, |_: &u64| ()).unwrap();
                    }
                    drop(entry.subscribe_events("n"));
                    for pattern in &pattern {
                        entry.off(pattern).unwrap();
                    }
                    changes += 1;
                }
                changes
            })
        });
        let churn: Vec<_> = churn.collect();
        let emitters: Vec<_> = (0..EMITTERS)
            .map(|_| {
                let bus = &bus;
                scope.spawn(move || {
                    for n in 0..EVENTS {
                        let emitted = futures_util::future::FutureExt::now_or_never(bus.emit("n", n));
                        emitted.expect("nothing to wait for").unwrap();
                    }
                })
            })
            .collect();
        for emitter in emitters {
            emitter.join().unwrap();
        }
        over.store(true, SeqCst);
        for churn in churn {
            assert!(churn.join().unwrap() > 0);
        }
    });
    assert_eq!(sum.load(SeqCst), EMITTERS * EVENTS * (EVENTS - 1) / 2);
    assert_law(&bus);
}

#[test]
fn no_emission_that_begins_after_off_calls_the_handler() {
    const EMITTERS: usize = 2;
    const ROUNDS: usize = 200;
    let bus = LocalBus::new();
    let (pump, keeper) = (bus.entry("pump"), bus.entry("keeper"));
    // Somebody is always there, so that emitters find the topic in every table.
    keeper.on_sync("n", |_: &usize| ()).unwrap();
    // The last round whose handler is off again, and the rounds that emissions were called in which began after that.
    let (off, late) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    let (over, begun) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..EMITTERS {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let off_before = off.load(SeqCst);
                    let emitted = futures_util::future::FutureExt::now_or_never(bus.emit("n", off_before));
                    emitted.expect("nothing to wait for").unwrap();
                    begun.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 1..=ROUNDS {
            let late = Arc::clone(&late);
            let handler = move |off_before: &usize| {
                if *off_before >= round {
                    late.lock().unwrap().push(round);
                }
            };
            pump.on_sync("n", handler).unwrap();
            let before = begun.load(SeqCst);
            while begun.load(SeqCst) < before + EMITTERS as u64 {
                std::thread::yield_now();
            }
            pump.off("n").unwrap();
            off.store(round, SeqCst);
        }
        over.store(true, SeqCst);
    });
    assert_eq!(*late.lock().unwrap(), [0_usize; 0]);
    assert_law(&bus);
}
