use rand::{RngExt, SeedableRng};
use rapidhash::v3::rapidhash_v3;

/// The generator behind every choice of the network and the faults: small, quick, and the same on every machine.
///
/// It implements the traits of `rand` 0.10.
pub type SimRng = rand::rngs::Xoshiro256PlusPlus;

/// A generator of its own for one purpose. What one purpose draws changes nothing for another: a fault that is taken away leaves the rest
/// of a scenario as it was.
pub(crate) fn derive(seed: u64, labels: &[&str], number: u64) -> SimRng {
    let mut bytes = seed.to_le_bytes().to_vec();
    for label in labels {
        bytes.extend((label.len() as u64).to_le_bytes());
        bytes.extend(label.as_bytes());
    }
    bytes.extend(number.to_le_bytes());
    SimRng::seed_from_u64(rapidhash_v3(&bytes))
}

/// Whether something happens that happens with this probability. Draws nothing where it is certain.
pub(crate) fn hit(rng: &mut SimRng, probability: f64) -> bool {
    // A probability that is no number is none.
    if probability.is_nan() || probability <= 0.0 {
        return false;
    }
    probability >= 1.0 || rng.random_bool(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_draw_the_same() {
        let draw = |seed, labels: &[&str], number| derive(seed, labels, number).random::<u64>();
        assert_eq!(draw(1, &["a", "b"], 2), draw(1, &["a", "b"], 2));
        for (seed, labels, number) in [
            (2, &["a", "b"][..], 2),
            (1, &["a"][..], 2),
            (1, &["ab", ""][..], 2),
            (1, &["b", "a"][..], 2),
            (1, &["a", "b"][..], 3),
        ] {
            assert_ne!(
                draw(1, &["a", "b"], 2),
                draw(seed, labels, number),
                "{seed} {labels:?} {number}"
            );
        }
    }

    #[test]
    fn probabilities_outside_their_range_are_certain() {
        let mut rng = derive(0, &[], 0);
        for (probability, expected) in [
            (-1.0, false),
            (0.0, false),
            (f64::NAN, false),
            (1.0, true),
            (7.0, true),
            (f64::INFINITY, true),
        ] {
            assert_eq!(hit(&mut rng, probability), expected, "{probability}");
        }
        let hits = (0..10_000).filter(|_| hit(&mut rng, 0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits} of 10,000 at 0.3");
    }
}
