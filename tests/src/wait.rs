//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Looks until there is something, for at most 60 s.
///
/// # Panics
/// When the time is over; `what` says what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
