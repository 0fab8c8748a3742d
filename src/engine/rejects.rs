use super::topic::PULSE;
use distbus_transport::{Reject, Tally};

/// Counts what was refused and says so: each reason the first time, then whenever its count has doubled, so that whoever floods
/// a broker with rubbish does not flood its log.
pub(crate) fn reject(tally: &Tally<Reject>, reason: Reject, topic: &[u8]) {
    let count = tally.add(reason, 1);
    if count.is_power_of_two() {
        let topic = String::from_utf8_lossy(&topic[..topic.len().min(2 * PULSE.len())]);
        tracing::warn!(%topic, %reason, count, "an event was refused");
    }
}
