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
pub mod input;
mod leftover;
pub mod log;
pub mod network;
mod output;
mod pipe;
pub mod pod;
pub mod proc;
mod program;
pub mod spec;
pub mod started;
mod supervise;

use std::path::Path;

use jiff::Timestamp;

pub use exit::{Exit, Packed, Verdict};
pub use spec::{Archive, Input, Output, Parameter, Spec, Variable};
pub use started::Started;

/// The report is written.
pub const DONE: i32 = 0;
/// Another runner has the folder; this one touched nothing.
pub const TAKEN: i32 = 3;
/// In a container, where the step's own exit code is the runner's: something around the step failed. It is Argo's number.
pub const AROUND: i32 = 64;
/// The folder could not be read or written; the reason is on standard error.
pub const UNUSABLE: i32 = 4;

/// Carries out the step whose folder is `dir`. The number is the exit code for the process.
#[must_use]
pub fn main(dir: &Path) -> i32 {
    match attempt(dir, Timestamp::now) {
        Ok(Some(code)) => code,
        Ok(None) => TAKEN,
        Err(error) => {
            eprintln!("tiphys runner: {}: {error}", dir.display());
            UNUSABLE
        }
    }
}

/// Returns the exit code. `None`: the folder was not ours.
fn attempt(dir: &Path, now: fn() -> Timestamp) -> std::io::Result<Option<i32>> {
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
        return Ok(None);
    }
    let exit = supervise::step(dir, &spec, started.time, requests, now);
    exit.write(dir)?;
    Ok(Some(if spec.contained { own_code(&exit) } else { DONE }))
}

/// The runner's exit code where it is all that is seen of the step.
fn own_code(exit: &Exit) -> i32 {
    match (exit.verdict, exit.exit_code) {
        (Verdict::Succeeded, _) => DONE,
        (Verdict::Failed, Some(code)) if code != 0 => code,
        // Out of time with a command that ended well: not a success.
        (Verdict::Failed, _) => 1,
        (Verdict::Error, _) => AROUND,
    }
}
