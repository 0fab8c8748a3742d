/// Whether the broker still lives, judged by its pulses. Pure: told of each pulse and of each check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    limit: u32,
    heard: bool,
    empty: u32,
}

impl Liveness {
    /// Gives up after more than `limit` checks in a row without a pulse.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            heard: false,
            empty: 0,
        }
    }

    /// A pulse came, or anything else that proves life.
    pub(crate) fn heard(&mut self) {
        self.heard = true;
    }

    /// One interval has passed; true when it is over.
    pub(crate) fn check(&mut self) -> bool {
        self.empty = if std::mem::take(&mut self.heard) {
            0
        } else {
            self.empty + 1
        };
        self.empty > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_more_than_the_limit() {
        let mut liveness = Liveness::new(2);
        assert_eq!(
            [liveness.check(), liveness.check(), liveness.check()],
            [false, false, true]
        );
    }

    #[test]
    fn a_pulse_starts_the_count_again() {
        let mut liveness = Liveness::new(1);
        assert!(!liveness.check());
        liveness.heard();
        assert!(!liveness.check());
        assert!(!liveness.check());
        assert!(liveness.check());
    }
}
