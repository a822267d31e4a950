//! How often and how long is measured.

use std::time::Duration;

/// How much is done for a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Pairs of measurements, ours and the baseline's.
    pub(crate) rounds: usize,
    /// How long one side of a pair is measured, where time is what is given.
    pub(crate) time: Duration,
    /// By how much counts are divided.
    pub(crate) divisor: usize,
}

impl Effort {
    /// Numbers that can be quoted.
    pub(crate) const fn full() -> Self {
        Self { rounds: 5, time: Duration::from_secs(3), divisor: 1 }
    }

    /// Just enough to see that it works.
    pub(crate) const fn quick() -> Self {
        Self { rounds: 1, time: Duration::from_millis(500), divisor: 20 }
    }

    /// So many of them, or fewer where it is to be quick.
    pub(crate) const fn count(self, full: usize) -> usize {
        full.div_ceil(self.divisor)
    }
}
