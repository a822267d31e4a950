//! What becomes of a pod.

use std::time::Duration;

/// What a stub says of one pod.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Whether it ever runs.
    pub(super) runs: bool,
    pub(super) wait: Wait,
    /// How it ends; never, where there is none.
    pub(super) end: Option<End>,
}

/// What a pod that runs waits for before it ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Nothing,
    For(Duration),
    Release,
}

/// The end of a container.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) exit: i32,
    pub(super) reason: String,
    pub(super) message: Option<String>,
}

impl Fate {
    /// It ends at once, without having been seen running: `Succeeded` where the code is 0, else `Failed`.
    #[must_use]
    pub fn exits(code: i32) -> Self {
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        Self { runs: true, wait: Wait::Nothing, end: Some(End { exit: code, reason, message: None }) }
    }

    /// It runs for ever.
    #[must_use]
    pub const fn runs() -> Self {
        Self { runs: true, wait: Wait::Nothing, end: None }
    }

    /// It has a node and never runs, as where an image does not come.
    #[must_use]
    pub const fn waits() -> Self {
        Self { runs: false, wait: Wait::Nothing, end: None }
    }

    /// It runs for a time before it ends.
    #[must_use]
    pub const fn after(mut self, time: Duration) -> Self {
        self.wait = Wait::For(time);
        self
    }

    /// It runs until [`super::Kubelet::release`].
    #[must_use]
    pub const fn once_released(mut self) -> Self {
        self.wait = Wait::Release;
        self
    }

    /// Its containers leave a termination message.
    #[must_use]
    pub fn saying(mut self, message: &str) -> Self {
        if let Some(end) = &mut self.end {
            end.message = Some(message.to_owned());
        }
        self
    }

    /// Its containers end for another reason than `Completed` or `Error`, such as `OOMKilled`.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        if let Some(end) = &mut self.end {
            reason.clone_into(&mut end.reason);
        }
        self
    }
}
