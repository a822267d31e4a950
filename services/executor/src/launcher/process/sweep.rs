//! What a step leaves behind when its runner was killed and could not tidy up itself.

use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tiphys_core::PodKey;
use tiphys_runner::proc::{self, Stat};

use super::environment;

/// What does not even die of KILL is not waited for longer than this.
const HOPELESS: Duration = Duration::from_secs(10);

/// Kills every process of the step. They are known by their environment; those that gave it up by their
/// session, if the caller saw its leader die just now (later the number may be somebody else's).
pub(super) fn end(key: &PodKey, session: Option<i32>) {
    let mark = environment::mark(key);
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let left: Vec<Stat> = proc::all()
            .into_iter()
            .filter(|stat| stat.state != 'Z')
            .filter(|stat| Some(stat.session) == session || proc::has_variable(stat.pid, &mark))
            .collect();
        left.iter().for_each(kill);
        if left.is_empty() || begin.elapsed() > HOPELESS {
            return;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Kills this very process, and no other that got its number meanwhile.
fn kill(stat: &Stat) {
    let Some(pid) = Pid::from_raw(stat.pid) else {
        return;
    };
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
        && proc::stat(stat.pid).is_some_and(|now| now.start == stat.start)
    {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}
