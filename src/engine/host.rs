use crate::Timestamp;
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
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Timestamp {
        // The one place where the wall clock is read. A clock set before 1970 reads as 1970: an event's time is information, not logic.
        #[expect(clippy::disallowed_methods)]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // In 64 bits: enough for the next 290,000 years, and read for every event.
        let micros = (since.as_secs() as i64).saturating_mul(1_000_000);
        Timestamp::from_micros(micros.saturating_add(since.subsec_micros().into()))
    }

    fn random(&self) -> u64 {
        // Without randomness from the system, the hasher's keys are still different for each process.
        getrandom::u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(self.now().as_micros())
        })
    }
}
