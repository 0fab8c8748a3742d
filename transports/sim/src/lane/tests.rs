use super::*;
use crate::Latency;
use crate::rng::derive;

const MS: Duration = Duration::from_millis(1);

/// A lane with what is said of it.
struct Bench {
    lane: Lane,
    flow: Flow,
    start: Instant,
    config: LinkConfig,
}

impl Bench {
    fn new(config: LinkConfig) -> Self {
        let start = Instant::now();
        Self {
            lane: Lane::new(start, derive(5, &["lane"], 0)),
            flow: Flow::default(),
            start,
            config,
        }
    }

    fn send(&mut self, after: Duration, number: u32, verdict: Verdict) {
        let frame = Frame::sealed("t", number.to_be_bytes().repeat(25));
        let mut by = Sending {
            now: self.start + after,
            config: &self.config,
            flow: &self.flow,
            log: &mut |_| {},
        };
        self.lane.send(&frame, verdict, &mut by);
    }

    /// The frames that arrive by then, by number; corrupt ones are `None`.
    fn arrived(&mut self, by: Duration) -> Vec<Option<u32>> {
        let mut numbers = Vec::new();
        while let Some(cargo) = self.lane.pop(self.start + by) {
            self.lane.free(cargo.cost(), 1);
            if let Cargo::Frame(frame) = cargo {
                self.flow.arrive(std::iter::once(frame.view()));
                let number = frame.body().first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                numbers.push(number.filter(|_| frame.is_intact()));
            }
        }
        numbers
    }

    fn all(&mut self) -> Vec<Option<u32>> {
        self.arrived(Duration::from_secs(1_000_000))
    }
}

fn in_order(count: u32) -> Vec<Option<u32>> {
    (0..count).map(Some).collect()
}

#[test]
fn a_perfect_line_is_a_queue() {
    let mut bench = Bench::new(LinkConfig::default());
    for n in 0..10 {
        bench.send(Duration::ZERO, n, Verdict::Pass);
    }
    assert_eq!(bench.arrived(Duration::ZERO), in_order(10));
    assert!(bench.flow.stats().adds_up() && bench.lane.fits(usize::MAX, 0));
}

#[test]
fn latency_delays_and_keeps_the_order() {
    let latency = Latency::uniform(10 * MS, 100 * MS);
    let mut bench = Bench::new(LinkConfig::default().with_latency(latency));
    for n in 0..100 {
        bench.send(n * MS, n, Verdict::Pass);
    }
    assert_eq!(bench.arrived(9 * MS), []);
    let early = bench.arrived(110 * MS);
    assert!(!early.is_empty());
    assert_eq!([early, bench.arrived(199 * MS)].concat(), in_order(100));
}

#[test]
fn bandwidth_spaces_frames_out() {
    // 105 bytes each: ten a second.
    let mut bench = Bench::new(
        LinkConfig::default()
            .with_bandwidth(Some(1050))
            .with_latency(50 * MS),
    );
    for n in 0..10 {
        bench.send(Duration::ZERO, n, Verdict::Pass);
    }
    assert_eq!(bench.arrived(149 * MS), []);
    assert_eq!(bench.arrived(151 * MS), [Some(0)]);
    assert_eq!(bench.arrived(751 * MS).len(), 6);
    // After a pause the line is free again.
    assert_eq!(bench.all().len(), 3);
    bench.send(5000 * MS, 10, Verdict::Pass);
    assert_eq!(bench.arrived(5149 * MS), []);
    assert_eq!(bench.arrived(5151 * MS), [Some(10)]);
}

#[test]
fn the_window_counts_what_the_receiver_has_not_got() {
    let mut bench = Bench::new(LinkConfig::default());
    assert!(bench.lane.fits(1_000_000, 10), "one always passes");
    bench.send(Duration::ZERO, 0, Verdict::Pass);
    assert!(bench.lane.fits(105, 210) && !bench.lane.fits(106, 210));
    let cargo = bench.lane.pop(bench.start).unwrap();
    assert!(!bench.lane.fits(106, 210), "taken, but not delivered");
    bench.lane.free(cargo.cost(), 1);
    assert!(bench.lane.fits(106, 210));
}

#[test]
fn every_fault_is_counted_and_nothing_is_lost_in_silence() {
    let config = LinkConfig::default()
        .with_loss(0.1)
        .with_duplicate(0.1)
        .with_corrupt(0.1)
        .with_truncate(0.1)
        .with_reorder(0.1)
        .with_latency(Latency::exponential(MS, 5 * MS));
    let mut bench = Bench::new(config);
    for n in 0..10_000 {
        bench.send(n * MS, n, Verdict::Pass);
    }
    let half = bench.arrived(5000 * MS);
    assert!(bench.flow.stats().adds_up());
    let all = [half, bench.all()].concat();
    let stats = bench.flow.stats();
    assert!(stats.adds_up() && stats.in_flight == 0, "{stats:?}");
    assert_eq!(all.len() as u64, stats.arrived);
    for what in [
        Injected::Lost,
        Injected::Duplicated,
        Injected::Corrupted,
        Injected::Truncated,
        Injected::Reordered,
    ] {
        assert!((800..1300).contains(&stats.count(what)), "{what:?}: {stats:?}");
    }
    let damaged = all.iter().filter(|number| number.is_none()).count() as u64;
    let both = stats.count(Injected::Corrupted) + stats.count(Injected::Truncated);
    // Some are both, and never intact for that.
    assert!(damaged <= both && damaged > both - 200, "{damaged} of {both}");
    let intact: Vec<_> = all.into_iter().flatten().collect();
    assert!(!intact.is_sorted(), "nothing was overtaken");
}

#[test]
fn verdicts_are_obeyed() {
    let mut bench = Bench::new(LinkConfig::default().with_latency(MS));
    for (n, verdict) in [
        Verdict::Delay(10 * MS),
        Verdict::Drop,
        Verdict::Duplicate,
        Verdict::Corrupt,
        Verdict::Truncate,
        Verdict::Replace(Frame::sealed("t", 99_u32.to_be_bytes().to_vec())),
        Verdict::Disconnect,
        Verdict::Pass,
    ]
    .into_iter()
    .enumerate()
    {
        bench.send(Duration::ZERO, n as u32, verdict);
    }
    assert_eq!(
        bench.arrived(2 * MS),
        [Some(2), Some(2), None, None, Some(99), Some(7)]
    );
    assert_eq!(bench.arrived(11 * MS), [Some(0)]);
    let stats = bench.flow.stats();
    assert!(stats.adds_up(), "{stats:?}");
    for what in Injected::ALL_VERDICTS {
        assert_eq!(stats.count(what), 1, "{what:?}");
    }
}

impl Injected {
    const ALL_VERDICTS: [Self; 7] = [
        Self::Lost,
        Self::Duplicated,
        Self::Delayed,
        Self::Corrupted,
        Self::Truncated,
        Self::Replaced,
        Self::Cut,
    ];
}

#[test]
fn the_end_comes_last_and_nothing_after_it() {
    let mut bench = Bench::new(LinkConfig::default());
    bench.send(Duration::ZERO, 0, Verdict::Delay(10 * MS));
    bench.lane.finish(bench.start, End::Closed, &bench.config);
    bench.send(Duration::ZERO, 1, Verdict::Pass);
    assert_eq!(bench.lane.pop(bench.start), None);
    let later = bench.start + 10 * MS;
    assert!(matches!(bench.lane.pop(later), Some(Cargo::Frame(_))));
    assert_eq!(bench.lane.pop(later), Some(Cargo::End(End::Closed)));
    assert!(bench.lane.next_due().is_none() && bench.lane.is_closed());
    assert_eq!(
        bench.flow.stats().count(Injected::Cut),
        1,
        "what came after the end"
    );
}

#[test]
fn a_cut_leaves_nothing_but_the_end() {
    let mut bench = Bench::new(LinkConfig::default().with_latency(10 * MS));
    for n in 0..3 {
        bench.send(Duration::ZERO, n, Verdict::Pass);
    }
    bench
        .lane
        .order(bench.start, Cargo::Subscribe("x".into()), &bench.config);
    let cut = bench
        .lane
        .end_with(bench.start + 5 * MS, End::Reset, &bench.config);
    assert_eq!(cut.len(), 3);
    assert_eq!(bench.lane.pop(bench.start + 14 * MS), None);
    assert_eq!(
        bench.lane.pop(bench.start + 15 * MS),
        Some(Cargo::End(End::Reset))
    );
    assert!(bench.lane.next_due().is_none() && bench.lane.fits(105, 105));
}

#[test]
fn what_was_held_up_comes_later_and_in_order() {
    let mut bench = Bench::new(LinkConfig::default().with_latency(10 * MS));
    for n in 0..3 {
        bench.send(n * 10 * MS, n, Verdict::Pass);
    }
    // Due at 10, 20 and 30 ms.
    bench.lane.hold_until(bench.start + 25 * MS);
    assert_eq!(bench.arrived(24 * MS), []);
    assert_eq!(bench.arrived(25 * MS), [Some(0), Some(1)]);
    bench.send(Duration::ZERO, 3, Verdict::Pass);
    assert_eq!(bench.all(), [Some(2), Some(3)]);
}

#[test]
fn the_same_seed_does_the_same() {
    let run = || {
        let config = LinkConfig::default()
            .with_loss(0.2)
            .with_reorder(0.2)
            .with_corrupt(0.2)
            .with_latency(Latency::log_normal(5 * MS, 1.0));
        let mut bench = Bench::new(config);
        for n in 0..500 {
            bench.send(n * MS, n, Verdict::Pass);
        }
        bench.all()
    };
    assert_eq!(run(), run());
}
