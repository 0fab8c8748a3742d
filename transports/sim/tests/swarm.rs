//! The engine under drawn workloads, limits and faults.

#![allow(clippy::unwrap_used, reason = "a test fails where it fails")]

use distbus_sim::{Check, Seeds, swarm};

/// Half of the seeds on each of two threads; `Check` runs one in twenty twice and compares the hashes.
fn hold(halves: [Seeds; 2]) {
    // The threads have no name: what replays a seed says which test it is.
    let command = |seed: u64, faults: Option<&str>| {
        let faults = faults.map_or_else(String::new, |faults| format!("DISTBUS_SIM_FAULTS={faults} "));
        format!("DISTBUS_SIM_SEED={seed} {faults}cargo test -p distbus-sim --test swarm")
    };
    std::thread::scope(|scope| {
        let halves = halves
            .map(|seeds| scope.spawn(move || Check::new(seeds).command(command).attempt(swarm, |_| true)));
        for half in halves {
            let ended = half
                .join()
                .unwrap_or_else(|_| Err("a thread panicked".to_owned()));
            assert!(ended.is_ok(), "{}", ended.unwrap_err());
        }
    });
}

#[test]
fn three_hundred_seeds_hold_every_invariant() {
    hold([(0..150).into(), (150..300).into()]);
}
