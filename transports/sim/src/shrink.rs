/// The smallest set of faults found that still fails, by leaving out ever smaller parts (delta debugging), with at most so many tries.
///
/// `fails` must hold for all of them.
pub(crate) fn shrink(count: usize, tries: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut left = tries;
    let mut kept: Vec<usize> = (0..count).collect();
    let mut parts = 1;
    while !kept.is_empty() && left > 0 {
        let size = kept.len().div_ceil(parts);
        let smaller = (0..kept.len()).step_by(size).find_map(|start| {
            left = left.checked_sub(1)?;
            let end = (start + size).min(kept.len());
            let without = [&kept[..start], &kept[end..]].concat();
            fails(&without).then_some(without)
        });
        match smaller {
            Some(smaller) => {
                kept = smaller;
                parts = parts.saturating_sub(1).max(1);
            }
            None if size == 1 => break,
            None => parts = (2 * parts).min(kept.len()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrunk(count: usize, needed: &[usize]) -> (Vec<usize>, usize) {
        let mut tries = 0;
        let kept = shrink(count, 1000, |kept| {
            tries += 1;
            needed.iter().all(|n| kept.contains(n))
        });
        (kept, tries)
    }

    #[test]
    fn only_what_is_needed_is_left() {
        for needed in [
            &[][..],
            &[3],
            &[0, 9],
            &[2, 3, 4],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        ] {
            let (kept, tries) = shrunk(10, needed);
            assert_eq!(kept, needed);
            assert!(tries < 60, "{tries} for {needed:?}");
        }
        let (kept, tries) = shrunk(500, &[77, 401]);
        assert_eq!(kept, [77, 401]);
        assert!(tries < 200, "{tries}");
    }

    #[test]
    fn tries_are_bounded_and_what_is_left_still_fails() {
        for tries in 0..20 {
            let mut used = 0;
            let kept = shrink(50, tries, |kept| {
                used += 1;
                kept.contains(&7) && kept.contains(&44)
            });
            assert!(used <= tries);
            assert!(kept.contains(&7) && kept.contains(&44));
        }
        assert!(shrink(0, 10, |_| true).is_empty());
    }
}
