use distbus::{BrokerStats, ClientStats, Snapshot};
use tokio::sync::watch;

/// Counts deliveries, and lets somebody wait for a number of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(watch::Sender<u64>);

impl Tally {
    pub(super) fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(super) fn now(&self) -> u64 {
        *self.0.borrow()
    }

    /// Returns once there are as many.
    pub(super) async fn reach(&self, count: u64) {
        // It fails only when the sender is gone, which is `self`.
        let _ = self.0.subscribe().wait_for(|now| *now >= count).await;
    }
}

/// What was counted, beside what it has to be.
#[derive(Debug, Default)]
pub(super) struct Checks {
    rows: Vec<(String, u64, u64)>,
}

impl Checks {
    pub(super) fn row(&mut self, what: impl Into<String>, counted: u64, expected: u64) {
        self.rows.push((what.into(), counted, expected));
    }

    /// A client's own books: nothing missing, nothing left over.
    pub(super) fn client(&mut self, name: &str, stats: &ClientStats) {
        let rejected: u64 = stats.rejected.iter().map(|(_, count)| count).sum();
        let came = rejected + stats.internal + stats.unmatched + stats.dispatched + stats.waiting;
        let handled = stats.handled.delivered + stats.handled.total_dropped();
        self.quiet(format!("{name}: frames received"), stats.received, came);
        self.quiet(
            format!("{name}: copies for handlers"),
            stats.handled.offered,
            handled,
        );
        self.quiet(format!("{name}: events sent"), stats.sent, stats.emitted);
        self.quiet(format!("{name}: events missing"), stats.missing, 0);
        self.quiet(format!("{name}: events that came twice"), stats.repeated, 0);
        self.quiet(
            format!("{name}: events refused or dropped"),
            rejected + stats.handled.total_dropped(),
            0,
        );
    }

    /// The broker's: it relays the events, and besides them the probes of its clients.
    pub(super) fn broker(&mut self, stats: &BrokerStats, events: u64) {
        self.quiet("broker: events relayed".into(), stats.relayed, events);
        let rejected: u64 = stats.rejected.iter().map(|(_, count)| count).sum();
        self.quiet(
            "broker: messages received".into(),
            stats.received,
            stats.relayed + stats.probes + rejected,
        );
        self.quiet(
            "broker: messages refused".into(),
            rejected + stats.transport.total_rejected(),
            0,
        );
    }

    /// Anything else whose deliveries are counted.
    pub(super) fn deliveries(&mut self, name: &str, stats: &Snapshot) {
        self.quiet(
            format!("{name}: copies"),
            stats.offered,
            stats.delivered + stats.total_dropped(),
        );
        self.quiet(format!("{name}: copies dropped"), stats.total_dropped(), 0);
    }

    /// A row that is shown only when it is wrong.
    fn quiet(&mut self, what: String, counted: u64, expected: u64) {
        if counted != expected {
            self.row(what, counted, expected);
        }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let width = self.rows.iter().map(|(what, ..)| what.len()).max().unwrap_or(0);
        self.rows.iter().map(move |(what, counted, expected)| {
            let verdict = if counted == expected {
                String::new()
            } else {
                format!("   but {expected} were expected")
            };
            format!("  {what:<width$}  {counted:>6}{verdict}")
        })
    }

    pub(super) fn wrong(&self) -> usize {
        self.rows
            .iter()
            .filter(|(_, counted, expected)| counted != expected)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_off_is_seen() {
        let mut checks = Checks::default();
        checks.row("sent", 3, 3);
        checks.row("received", 2, 3);
        checks.broker(&BrokerStats::default(), 0);
        assert_eq!(checks.wrong(), 1);
        assert_eq!(
            checks.lines().collect::<Vec<_>>(),
            ["  sent           3", "  received       2   but 3 were expected"]
        );
    }
}
