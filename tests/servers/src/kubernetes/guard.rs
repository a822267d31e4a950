//! What ends a cluster. A process of its own does it, because a cluster that tests share is a static, which is never
//! dropped, and because a test may be killed.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Kills what it was told of, and removes the folder, once it is dropped or this process has ended.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    input: Option<ChildStdin>,
}

impl Guard {
    pub(super) fn of(folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("../../kubernetes/guard.sh"), "guard.sh"]).arg(folder);
        // Whoever stops the tests from a terminal stops their process group; this one still has work to do.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a guard");
        let input = child.stdin.take();
        Self { child, input }
    }

    /// A process to kill, whose working directory is the folder.
    pub(super) fn process(&mut self, id: u32) {
        self.tell(&format!("pid {id}\n"));
    }

    /// A network interface to delete.
    pub(super) fn link(&mut self, name: &str) {
        self.tell(&format!("link {name}\n"));
    }

    fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("a guard that waits");
        input.write_all(line.as_bytes()).expect("a guard that listens");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
