//! What can be done to a frame.

use crate::rng::SimRng;
use distbus_transport::Frame;
use rand::RngExt;

/// The frame with one to three bits of its body and checksum changed. It is never intact.
pub(crate) fn corrupted(frame: &Frame, rng: &mut SimRng) -> Frame {
    let mut body = frame.body().to_vec();
    let mut checksum = frame.checksum();
    let bits = body.len() as u64 * 8 + 32;
    for _ in 0..rng.random_range(1..=3) {
        let bit = rng.random_range(0..bits);
        match body.get_mut((bit / 8) as usize) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => checksum ^= 1 << (bit % 32),
        }
    }
    spoiled(frame, body, checksum)
}

/// The frame without the end of its body. It is never intact.
pub(crate) fn truncated(frame: &Frame, rng: &mut SimRng) -> Frame {
    let mut body = frame.body().to_vec();
    if !body.is_empty() {
        body.truncate(rng.random_range(0..body.len()));
    }
    spoiled(frame, body, frame.checksum())
}

/// Changes may cancel out, and a checksum of 32 bits fits one wrong body in four thousand million.
fn spoiled(frame: &Frame, body: Vec<u8>, checksum: u32) -> Frame {
    let damaged = Frame::new(frame.topic().clone(), body, checksum);
    if damaged.is_intact() {
        return Frame::new(damaged.topic().clone(), damaged.body().clone(), !checksum);
    }
    damaged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::derive;

    #[test]
    fn damage_is_always_seen_and_leaves_the_topic() {
        let mut rng = derive(3, &["damage"], 0);
        for length in 0..300 {
            let frame = Frame::sealed("lab.temp", vec![7; length]);
            for damaged in [corrupted(&frame, &mut rng), truncated(&frame, &mut rng)] {
                assert!(!damaged.is_intact(), "{length} bytes");
                assert_eq!(damaged.topic(), frame.topic());
                assert!(damaged.body().len() <= length);
            }
        }
        let frame = Frame::sealed("lab.temp", vec![7; 100]);
        assert!(truncated(&frame, &mut rng).body().len() < 100);
    }
}
