use crate::Timestamp;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::UNIX_EPOCH;

/// The two things the engine asks of the world outside: what time it is, and a random number.
///
/// Everything else about time comes from `tokio::time`, which a test can pause. Hand a [`Host`] of your own to a
/// builder and a program repeats exactly.
///
/// ```
/// use distbus::{Host, Timestamp};
///
/// /// The same ids and times in each run.
/// struct Fixed(std::sync::atomic::AtomicU64);
///
/// impl Host for Fixed {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_micros(0)
///     }
///     fn random(&self) -> u64 {
///         self.0.fetch_add(0x9E37_79B9_7F4A_7C15, std::sync::atomic::Ordering::Relaxed)
///     }
/// }
/// ```
pub trait Host: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// 64 random bits. They name publishers and connections, so two hosts that meet MUST NOT agree by chance; they guard no secret.
    fn random(&self) -> u64;
}

/// The operating system's clock and randomness.
///
/// Where the processor has a counter that runs evenly, the time is read from that, and set by the system's clock a hundred times a second: so a
/// clock that is put forward or back is followed within 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Timestamp {
        static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);
        Timestamp::from_micros(CLOCK.now())
    }

    fn random(&self) -> u64 {
        // Without randomness from the system, the hasher's keys are still different for each process.
        getrandom::u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(self.now().as_micros())
        })
    }
}

/// The wall clock in microseconds, for every event that is emitted: the system's takes longer to ask than an event takes to write.
struct Clock {
    counter: quanta::Clock,
    start: u64,
    /// The wall clock's microseconds when the counter started.
    offset: AtomicI64,
    /// Nanoseconds from the start until the offset is due to be set again.
    due: AtomicU64,
}

impl Clock {
    const SET_EVERY: u64 = 10_000_000;
    /// A longer time between two looks at the counter says nothing about when the one at the clock was.
    const TOGETHER: u64 = 20_000;

    fn new() -> Self {
        let counter = quanta::Clock::new();
        Self {
            start: counter.raw(),
            counter,
            offset: AtomicI64::new(0),
            due: AtomicU64::new(0),
        }
    }

    fn passed(&self) -> u64 {
        self.counter.delta_as_nanos(self.start, self.counter.raw())
    }

    fn now(&self) -> i64 {
        let passed = self.passed();
        if passed >= self.due.load(Acquire) {
            return self.set(passed);
        }
        self.offset.load(Relaxed) + (passed / 1000) as i64
    }

    #[cold]
    fn set(&self, before: u64) -> i64 {
        let wall = system_clock();
        let passed = self.passed();
        // Two processors' counters need not agree to the last tick.
        if passed.saturating_sub(before) < Self::TOGETHER {
            self.offset.store(wall - (passed / 1000) as i64, Relaxed);
            self.due.store(passed + Self::SET_EVERY, Release);
        }
        wall
    }
}

/// Microseconds since 1970; a clock set before that reads as 1970: an event's time is information, not logic.
fn system_clock() -> i64 {
    // The one place where the wall clock is read.
    #[expect(clippy::disallowed_methods)]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // In 64 bits: enough for the next 290,000 years.
    let micros = (since.as_secs() as i64).saturating_mul(1_000_000);
    micros.saturating_add(since.subsec_micros().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds it against the system's clock around it, across a time in which it is set several times.
    #[test]
    fn it_says_what_the_system_says() {
        let start = system_clock();
        let mut furthest = 0;
        while (0..50_000).contains(&(system_clock() - start)) {
            let before = system_clock();
            let now = SystemHost.now().as_micros();
            let after = system_clock();
            furthest = furthest.max(before - now).max(now - after);
        }
        // What a counter can go wrong in 10 ms, and much more.
        assert!(furthest < 1000, "{furthest} us from the system's clock");
    }
}
