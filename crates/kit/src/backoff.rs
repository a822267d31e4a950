//! Waits between attempts: exponential, capped, jittered, always cancellable by the caller's `select!`.

use std::time::Duration;

/// A schedule of waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    /// Doubles from `first` up to `cap`, with ±20 % of jitter.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, attempt: 0 }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let plain = self.first.saturating_mul(1 << self.attempt.min(20)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        plain.mul_f64(0.8 + 0.4 * random_fraction())
    }

    /// Begins anew; to be called after success.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many waits were given since the last reset.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }
}

/// A number in `0.0..1.0` from the system's randomness; a half when there is none.
fn random_fraction() -> f64 {
    let mut bytes = [0u8; 4];
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..6).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(80) && waits[0] <= Duration::from_millis(120));
        assert!(waits[5] >= Duration::from_millis(800) && waits[5] <= Duration::from_millis(1200));
    }
}
