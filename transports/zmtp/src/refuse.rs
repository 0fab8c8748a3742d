use distbus_transport::{Counters, Reject};

/// Counts messages that mean nothing, from a peer that otherwise keeps to the protocol and may stay. Said the first time, then
/// whenever the count has doubled, so that whoever floods a broker with rubbish does not flood its log.
pub(crate) fn refuse(counters: &Counters, reason: Reject, messages: u64, what: &str) {
    if messages == 0 {
        return;
    }
    let count = counters.rejected.add(reason, messages);
    if count.checked_ilog2() != (count - messages).checked_ilog2() {
        tracing::warn!(%reason, count, "a message was refused: {what}");
    }
}
