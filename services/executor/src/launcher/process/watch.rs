//! Runners at work: found, watched without polling, stopped, and what came of them.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tiphys_core::{PodKey, Timestamp};
use tiphys_runner::{Exit, Spec, Started, spec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::folder::{Folder, Found};
use super::{LaunchError, Pod, PodResult, PodState, Shared, blocking, report, sweep, unavailable};

/// A process that runs a step.
pub(super) struct Runner {
    pub(super) pid: i32,
    pub(super) started: Timestamp,
    fd: AsyncFd<OwnedFd>,
    /// Ours to reap, if it was started by this Tiphys.
    child: Mutex<Option<Child>>,
}

impl Runner {
    /// A runner just spawned.
    pub(super) fn of_child(child: Child, started: Timestamp) -> Result<Self, LaunchError> {
        let pid = Pid::from_child(&child);
        let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| unavailable(&error.into()))?;
        Self::new(pid, started, fd, Some(child)).map_err(|error| unavailable(&error))
    }

    /// A runner of an earlier Tiphys, if it is still there.
    fn of_before(started: &Started, boot: &str) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(started.pid) else {
            return Ok(None);
        };
        let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(None);
        };
        // Asked after it was opened: so the descriptor is that of this process, not of a later one.
        if !started.is_alive(boot) {
            return Ok(None);
        }
        Self::new(pid, started.time, fd, None).map(Some)
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, which is forbidden here; an OwnedFd, never handed out, keeps what it asks for"
    )]
    fn new(pid: Pid, started: Timestamp, fd: OwnedFd, child: Option<Child>) -> io::Result<Self> {
        Ok(Self {
            pid: pid.as_raw_nonzero().get(),
            started,
            fd: AsyncFd::with_interest(fd, Interest::READABLE)?,
            child: Mutex::new(child),
        })
    }

    /// Returns when it has ended. May be awaited more than once.
    pub(super) async fn ended(&self) {
        if let Ok(mut guard) = self.fd.readable().await {
            guard.retain_ready();
        }
    }

    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(self.fd.get_ref(), Signal::KILL);
    }

    fn ask_to_stop(&self) {
        let _ = pidfd_send_signal(self.fd.get_ref(), Signal::TERM);
    }

    /// How it ended, for a message; reaps it.
    fn reap(&self) -> Option<String> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        child.and_then(|mut child| child.wait().ok()).map(|status| status.to_string())
    }
}

impl Shared {
    /// What is known of a pod, from memory or from its folder; what runs is watched from then on.
    pub(super) async fn resolve(self: &Arc<Self>, key: &PodKey) -> Result<PodState, LaunchError> {
        if let Some(pod) = self.pod(key) {
            return Ok(pod.state());
        }
        let folder = self.folder(key)?;
        let looked = folder.clone();
        let found = blocking(move || looked.look().map_err(|error| unavailable(&error))).await?;
        let boot = &self.config.boot;
        let exit = match found {
            Found::Nothing => return Ok(PodState::Unknown),
            Found::Ready(spec) if spec.boot == *boot => return Ok(PodState::Unknown),
            Found::Ready(spec) => self.lost(&folder, &spec, None, None).await?,
            Found::Claimed(spec, started) => {
                match Runner::of_before(&started, boot).map_err(|error| unavailable(&error))? {
                    Some(runner) => {
                        let started = runner.started;
                        self.watch_pod(key, runner);
                        return Ok(PodState::Running { started, ready: true, address: None });
                    }
                    None => self.lost(&folder, &spec, Some(started), None).await?,
                }
            }
            Found::Reported(exit) => *exit,
        };
        let result = report::result(&*self.store, &folder, exit).await;
        Ok(self.ended(key, result).state())
    }

    fn ended(&self, key: &PodKey, result: PodResult) -> Pod {
        let pod = Pod::Ended(Arc::new(result));
        self.pods().insert(key.clone(), pod.clone());
        pod
    }

    /// Keeps an eye on a runner until it ends.
    pub(super) fn watch_pod(self: &Arc<Self>, key: &PodKey, runner: Runner) {
        let runner = Arc::new(runner);
        let running = Pod::Running { runner: Arc::clone(&runner), stopping: false };
        self.pods().insert(key.clone(), running);
        let (shared, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn("watch step", async move {
            tokio::select! {
                () = runner.ended() => {}
                () = shared.tasks.stop().cancelled() => return,
            }
            let settled = {
                // Not while the folder is being removed.
                let _lock = shared.lock(&key).await;
                shared.settle(&key, &runner).await
            };
            if let Err(error) = settled {
                tracing::warn!(%key, %error, "the end of a step could not be recorded; it is tried again when asked");
                shared.pods().remove(&key);
            }
            shared.announce(&key).await;
        });
    }

    /// Makes the result of a pod whose runner has ended.
    async fn settle(self: &Arc<Self>, key: &PodKey, runner: &Runner) -> Result<(), LaunchError> {
        let how = runner.reap();
        let folder = self.folder(key)?;
        let looked = folder.clone();
        let found = blocking(move || looked.look().map_err(|error| unavailable(&error))).await?;
        let exit = match found {
            Found::Reported(exit) => *exit,
            // Removed meanwhile.
            Found::Nothing => {
                self.pods().remove(key);
                return Ok(());
            }
            Found::Claimed(spec, started) if started.pid == runner.pid => {
                self.lost(&folder, &spec, Some(started), Some(runner.pid)).await?
            }
            Found::Claimed(..) => {
                // Another runner was there first, spawned by an earlier Tiphys.
                self.pods().remove(key);
                return Box::pin(self.resolve(key)).await.map(drop);
            }
            Found::Ready(_) => self.never_began(&folder, how).await?,
        };
        let result = report::result(&*self.store, &folder, exit).await;
        // Unless it was removed while this went on.
        if let Some(pod) = self.pods().get_mut(key) {
            *pod = Pod::Ended(Arc::new(result));
        }
        Ok(())
    }

    /// Tidies up after a runner that is gone without a report, and writes the report in its place.
    async fn lost(
        &self,
        folder: &Folder,
        spec: &Spec,
        started: Option<Started>,
        session: Option<i32>,
    ) -> Result<Exit, LaunchError> {
        let message = if spec.boot == self.config.boot {
            "the runner was killed; what was left of the step was ended"
        } else {
            "the machine was restarted while the step ran"
        };
        let same_boot = spec.boot == self.config.boot;
        let (folder, now) = (folder.clone(), self.clock.now());
        blocking(move || {
            if same_boot {
                sweep::end(&folder.key, session);
            }
            // It may have reported between our looks.
            if let Ok(exit) = Exit::read(&folder.path) {
                return Ok(exit);
            }
            let exit = Exit::error(started.map(|started| started.time), now, message.to_owned());
            exit.write(&folder.path).map_err(|error| unavailable(&error))?;
            Ok(exit)
        })
        .await
    }

    /// The runner ended without having touched the folder: nothing of the step ran.
    async fn never_began(&self, folder: &Folder, how: Option<String>) -> Result<Exit, LaunchError> {
        let stopped = folder.file(spec::STOP).exists();
        let message = if stopped {
            "stopped before it began".to_owned()
        } else {
            format!(
                "the runner ended before it began ({}); to see why, run it by hand: {} {}",
                how.as_deref().unwrap_or("nobody saw how"),
                self.config.runner.join(" "),
                folder.path.display()
            )
        };
        let (folder, now) = (folder.clone(), self.clock.now());
        blocking(move || {
            let mut exit = Exit::error(None, now, message);
            if stopped {
                exit.verdict = tiphys_runner::Verdict::Failed;
            }
            exit.write(&folder.path).map_err(|error| unavailable(&error))?;
            Ok(exit)
        })
        .await
    }

    /// Asks a runner to end its step, and kills it if it does not.
    pub(super) fn stop(self: &Arc<Self>, key: &PodKey) -> Result<(), LaunchError> {
        if matches!(self.pod(key), Some(Pod::Ended(_))) {
            return Ok(());
        }
        let folder = self.folder(key)?;
        // A runner that has not begun yet looks for it.
        if folder.path.exists() {
            std::fs::write(folder.file(spec::STOP), "").map_err(|error| unavailable(&error))?;
        }
        let runner = match self.pods().get_mut(key) {
            Some(Pod::Running { runner, stopping }) if !*stopping => {
                *stopping = true;
                Arc::clone(runner)
            }
            _ => return Ok(()),
        };
        runner.ask_to_stop();
        let grace = Spec::read(&folder.path).map_or(0, |spec| spec.grace);
        let patience = self.config.stuck.saturating_add(std::time::Duration::from_millis(grace));
        let (stop, key) = (self.tasks.stop().clone(), key.clone());
        self.tasks.spawn("stop step", async move {
            let waited = tokio::time::timeout(patience, runner.ended());
            let outcome = tokio::select! {
                outcome = waited => outcome,
                () = stop.cancelled() => return,
            };
            if outcome.is_err() {
                tracing::warn!(%key, "a runner did not stop its step in time and is killed");
                runner.kill();
            }
        });
        Ok(())
    }
}
