use crate::rng::SimRng;
use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};
use std::time::Duration;

/// How long a frame is on its way, in one direction.
///
/// Drawn for each frame, in whole microseconds; what a link carries still arrives in order, unless it is told to reorder. Timers
/// of `tokio` fire at whole milliseconds, so that is how finely arrivals are told apart.
///
/// ```
/// use distbus_sim::Latency;
/// use std::time::Duration;
///
/// let lan = Latency::from(Duration::from_millis(1));
/// let wan = Latency::log_normal(Duration::from_millis(40), 0.5);
/// assert_eq!(lan, Latency::Fixed(Duration::from_millis(1)));
/// # let _ = wan;
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// At least so long, and then an exponentially distributed time more: a queue on the way.
    Exponential {
        /// The shortest.
        least: Duration,
        /// What comes on top, on average.
        mean: Duration,
    },
    /// Half of the frames take less than the median, and few take much longer: what measurements of networks look like.
    LogNormal {
        /// The median.
        median: Duration,
        /// The standard deviation of the logarithm. 0.5 is a steady line, 1.5 one that often takes ten times as long.
        spread: f64,
    },
}

impl Latency {
    /// None at all.
    pub const NONE: Self = Self::Fixed(Duration::ZERO);
    /// No draw is longer.
    pub const MOST: Duration = Duration::from_secs(3600);

    /// Anything between the two.
    pub fn uniform(least: Duration, most: Duration) -> Self {
        Self::Uniform { least, most }
    }

    /// At least so long, and an exponentially distributed time of this mean more.
    pub fn exponential(least: Duration, mean: Duration) -> Self {
        Self::Exponential { least, mean }
    }

    /// Half of the draws are below the median; `spread` is the standard deviation of the logarithm.
    pub fn log_normal(median: Duration, spread: f64) -> Self {
        Self::LogNormal { median, spread }
    }

    /// One draw, at most [`MOST`](Self::MOST).
    pub fn draw(&self, rng: &mut SimRng) -> Duration {
        let drawn = match *self {
            Self::Fixed(time) => time,
            Self::Uniform { least, most } => {
                let (least, most) = (micros(least.min(most)), micros(least.max(most)));
                Duration::from_micros(rng.random_range(least..=most))
            }
            Self::Exponential { least, mean } => {
                let factor: f64 = Exp1.sample(rng);
                least.saturating_add(scaled(mean, factor))
            }
            Self::LogNormal { median, spread } => {
                let normal: f64 = StandardNormal.sample(rng);
                scaled(median, (normal * spread).exp())
            }
        };
        Duration::from_micros(micros(drawn))
    }
}

impl From<Duration> for Latency {
    fn from(time: Duration) -> Self {
        Self::Fixed(time)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::NONE
    }
}

/// In whole microseconds, at most [`Latency::MOST`].
fn micros(time: Duration) -> u64 {
    time.min(Latency::MOST).as_micros() as u64
}

/// A factor that is no number scales by one.
fn scaled(time: Duration, factor: f64) -> Duration {
    let factor = if factor.is_finite() {
        factor.clamp(0.0, 1e6)
    } else {
        1.0
    };
    time.min(Latency::MOST).mul_f64(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::derive;

    const MS: Duration = Duration::from_millis(1);

    fn draws(latency: Latency) -> Vec<Duration> {
        let mut rng = derive(7, &["latency"], 0);
        let mut drawn: Vec<_> = (0..10_000).map(|_| latency.draw(&mut rng)).collect();
        drawn.sort_unstable();
        drawn
    }

    fn mean(drawn: &[Duration]) -> Duration {
        drawn.iter().sum::<Duration>() / drawn.len() as u32
    }

    #[test]
    fn draws_are_distributed_as_they_say() {
        assert!(draws(Latency::Fixed(3 * MS)).iter().all(|time| *time == 3 * MS));
        let uniform = draws(Latency::uniform(10 * MS, 20 * MS));
        assert!(uniform[0] >= 10 * MS && uniform[9_999] <= 20 * MS);
        assert!(
            (14 * MS..16 * MS).contains(&mean(&uniform)),
            "{:?}",
            mean(&uniform)
        );
        let exponential = draws(Latency::exponential(10 * MS, 20 * MS));
        assert!(exponential[0] >= 10 * MS);
        assert!(
            (29 * MS..31 * MS).contains(&mean(&exponential)),
            "{:?}",
            mean(&exponential)
        );
        let normal = draws(Latency::log_normal(40 * MS, 1.0));
        assert!((38 * MS..42 * MS).contains(&normal[5_000]), "{:?}", normal[5_000]);
        // 84 of 100 are below the median times e.
        assert!(
            (100 * MS..118 * MS).contains(&normal[8_413]),
            "{:?}",
            normal[8_413]
        );
    }

    #[test]
    fn nonsense_is_harmless() {
        for latency in [
            Latency::uniform(20 * MS, 10 * MS),
            Latency::Fixed(Duration::MAX),
            Latency::exponential(Duration::MAX, Duration::MAX),
            Latency::log_normal(40 * MS, f64::NAN),
            Latency::log_normal(Duration::MAX, f64::INFINITY),
        ] {
            assert!(
                draws(latency).iter().all(|time| *time <= Latency::MOST),
                "{latency:?}"
            );
        }
    }
}
