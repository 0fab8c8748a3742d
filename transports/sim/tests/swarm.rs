//! The engine under drawn workloads, limits and faults.

#![allow(clippy::unwrap_used, reason = "a test fails where it fails")]

use distbus_sim::{Check, swarm};

/// Half of the seeds on each of two threads; `Check` runs one in twenty twice and compares the hashes.
#[test]
fn three_hundred_seeds_hold_every_invariant() {
    std::thread::scope(|scope| {
        let halves =
            [0..150, 150..300].map(|seeds| scope.spawn(|| Check::new(seeds).attempt(swarm, |_| true)));
        for half in halves {
            let ended = half
                .join()
                .unwrap_or_else(|_| Err("a thread panicked".to_owned()));
            assert!(ended.is_ok(), "{}", ended.unwrap_err());
        }
    });
}
