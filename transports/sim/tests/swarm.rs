//! The engine under drawn workloads, limits and faults.

#![allow(clippy::unwrap_used, reason = "a test fails where it fails")]

use distbus_sim::{Check, Seeds, swarm};

/// Seeds that have failed, each with what was wrong then. So far the engine was broken on purpose each time, one way at a time: these are the
/// first seeds that saw it. A seed that finds a bug of ours comes here, too, and stays.
const PAST: &[(u64, &str)] = &[
    (
        0,
        "`off` left the subscription at the broker; the look-ups of the dispatcher outlived `off`; a queue did not wake its reader",
    ),
    (
        1,
        "a queue gave its items out in reverse; a bridge let an event in, or out, again",
    ),
    (4, "the broker relayed what has a wrong checksum"),
    (6, "a drop for a slow subscriber was counted twice"),
    (13, "a drop for a slow sink was counted twice"),
    (15, "`on` returned before its probe was back"),
    (26, "whoever waited for room to emit was not woken"),
    (31, "a probe that was lost was not sent again"),
];

/// Half of the seeds on each of two threads; one in so many is run twice, and the hashes compared.
fn hold(halves: [Seeds; 2], twice: usize) {
    // The threads have no name: what replays a seed says which test it is.
    let command = |seed: u64, faults: Option<&str>| {
        let faults = faults.map_or_else(String::new, |faults| format!("DISTBUS_SIM_FAULTS={faults} "));
        format!("DISTBUS_SIM_SEED={seed} {faults}cargo test -p distbus-sim --test swarm")
    };
    std::thread::scope(|scope| {
        let halves = halves.map(|seeds| {
            let check = Check::new(seeds).command(command).twice(twice);
            scope.spawn(move || check.attempt(swarm, |_| true))
        });
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
    hold([(0..150).into(), (150..300).into()], 20);
}

#[test]
fn seeds_that_have_failed_do_not_fail_again_and_do_the_same_twice() {
    let seeds: Vec<_> = PAST.iter().map(|(seed, _)| *seed).collect();
    let (one, two) = seeds.split_at(seeds.len() / 2);
    hold([one.to_vec().into(), two.to_vec().into()], 1);
}
