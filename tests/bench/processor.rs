//! Processor time. What others do on the machine at the same time does not count.

use rustix::thread::ClockId;

use crate::program;

/// Seconds that this thread has had.
pub(crate) fn of_thread() -> f64 {
    read(ClockId::ThreadCPUTime)
}

/// Seconds that this process has had, all threads together.
pub(crate) fn of_process() -> f64 {
    read(ClockId::ProcessCPUTime)
}

/// Seconds that the threads of this process of one name have had.
pub(crate) fn of_threads(name: &str) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        // One may end while it is looked at.
        let known = std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        if known.trim_end() == name {
            seconds += program::processor_of(&thread)?;
        }
    }
    Ok(seconds)
}

fn read(clock: ClockId) -> f64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
