use std::ops::{Range, RangeInclusive};

/// Which seeds to run: a count (`100`: from 0 up to it), a range, a list, or [`Seeds::one`].
///
/// ```
/// use distbus_sim::Seeds;
///
/// assert_eq!(Seeds::from(3), Seeds::from(0..3));
/// assert_eq!(Seeds::from(7..=9), Seeds::from([7, 8, 9]));
/// assert_eq!(Seeds::one(7), Seeds::from(7..8));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

impl Seeds {
    /// This one alone.
    pub fn one(seed: u64) -> Self {
        Self(vec![seed])
    }

    /// All of them, in order.
    pub fn all(&self) -> &[u64] {
        &self.0
    }
}

impl From<u64> for Seeds {
    fn from(count: u64) -> Self {
        (0..count).into()
    }
}

impl From<Range<u64>> for Seeds {
    fn from(seeds: Range<u64>) -> Self {
        Self(seeds.collect())
    }
}

impl From<RangeInclusive<u64>> for Seeds {
    fn from(seeds: RangeInclusive<u64>) -> Self {
        Self(seeds.collect())
    }
}

impl<const N: usize> From<[u64; N]> for Seeds {
    fn from(seeds: [u64; N]) -> Self {
        Self(seeds.to_vec())
    }
}

impl From<Vec<u64>> for Seeds {
    fn from(seeds: Vec<u64>) -> Self {
        Self(seeds)
    }
}
