//! Runs one step: command, time stamped logs, outputs, exit report.
//!
//! `tiphys runner DIR` is started once per attempt of a step. It reads `DIR/spec.json`, claims the folder by
//! `DIR/started`, runs the command, and writes `DIR/exit.json` as its last act. It talks to nobody: whoever
//! started it may die and come back, and finds everything in the folder.
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `spec.json` | launcher, synced, before the start | [`Spec`]: what to do; no secret |
//! | `stop` | launcher | "end it", seen even when the runner had not begun |
//! | `started` | runner, its first act, at most once | [`Started`]: pid, its start time, boot id |
//! | `log` | runner | both streams, a time on each line, see [`log`] |
//! | `artifacts/` | runner | packed output artifacts |
//! | `exit.json` | runner, synced, its last act | [`Exit`] |

pub mod archive;
pub mod durable;
pub mod exit;
pub mod expand;
mod leftover;
pub mod log;
mod output;
mod pipe;
pub mod proc;
pub mod spec;
pub mod started;
mod supervise;

use std::path::Path;

use jiff::Timestamp;

pub use exit::{Exit, Packed, Verdict};
pub use spec::{Archive, Output, Parameter, Spec, Variable};
pub use started::Started;

/// The report is written.
pub const DONE: i32 = 0;
/// Another runner has the folder; this one touched nothing.
pub const TAKEN: i32 = 3;
/// The folder could not be read or written; the reason is on standard error.
pub const UNUSABLE: i32 = 4;

/// Carries out the step whose folder is `dir`. The number is the exit code for the process.
#[must_use]
pub fn main(dir: &Path) -> i32 {
    match attempt(dir, Timestamp::now) {
        Ok(true) => DONE,
        Ok(false) => TAKEN,
        Err(error) => {
            eprintln!("tiphys runner: {}: {error}", dir.display());
            UNUSABLE
        }
    }
}

/// Returns whether the folder was ours.
fn attempt(dir: &Path, now: fn() -> Timestamp) -> std::io::Result<bool> {
    // A session of its own: a Ctrl-C in the terminal of whoever started us is not meant for the step. It fails
    // only where we lead one already.
    let _ = rustix::process::setsid();
    // Orphans of the step become our children, so that none is left behind.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let spec = Spec::read(dir)?;
    let started = Started {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        since: proc::own_start()?,
        boot: spec.boot.clone(),
        time: now(),
    };
    let requests = supervise::Requests::catch()?;
    if !started.claim(dir)? {
        return Ok(false);
    }
    supervise::step(dir, &spec, started.time, requests, now).write(dir)?;
    Ok(true)
}
