//! Processes that the command left behind. In a container they would end with it; here the runner ends them:
//! it adopts orphans (it is a child subreaper), so even those that left the group and the session are found.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

use crate::proc;

/// They are not given more time than this between TERM and KILL.
pub(crate) const MOST: Duration = Duration::from_secs(2);
/// What does not even die of KILL (a device that hangs) is not waited for longer than this.
const HOPELESS: Duration = Duration::from_secs(10);

/// Ends all descendants: TERM to each, KILL after `grace`. `pause` is called to wait.
pub(crate) fn end(grace: Duration, mut pause: impl FnMut(Duration)) {
    let begin = Instant::now();
    let mut told = HashSet::new();
    let mut interval = Duration::from_millis(1);
    while any_left() && begin.elapsed() < grace + HOPELESS {
        let kill = begin.elapsed() >= grace;
        for child in children() {
            if kill {
                let _ = kill_process(child, Signal::KILL);
            } else if told.insert(child) {
                let _ = kill_process(child, Signal::TERM);
            }
        }
        // An orphan arrives without a signal, so looking again is the only way.
        pause(interval);
        interval = (interval * 2).min(Duration::from_millis(20));
    }
}

/// Reaps what has ended; whether any child is left.
fn any_left() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(error) if io::Error::from(error).kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().get();
    proc::all()
        .into_iter()
        .filter(|stat| stat.parent == own && stat.state != 'Z')
        .filter_map(|stat| Pid::from_raw(stat.pid))
        .collect()
}
