//! Processor time. What others do on the machine at the same time does not count.

use rustix::thread::ClockId;

/// Seconds that this thread has had.
pub(crate) fn of_thread() -> f64 {
    read(ClockId::ThreadCPUTime)
}

/// Seconds that this process has had, all threads together.
pub(crate) fn of_process() -> f64 {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> f64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
