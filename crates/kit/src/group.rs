//! The only place that spawns. A task has a name, belongs to somebody, and its failure is seen.
#![expect(clippy::disallowed_methods, reason = "this is the spawner that all others use")]

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tiphys_core::chain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, error, info_span, warn};

/// Named long-lived tasks that start together, stop together and report the first failure.
#[derive(Debug)]
pub struct Group {
    stop: CancellationToken,
    tasks: JoinSet<Result<(), String>>,
}

impl Group {
    /// A group that stops when `stop` is cancelled.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, tasks: JoinSet::new() }
    }

    /// Starts a task. It is given a token to stop by; ending before that is a failure of the group.
    pub fn spawn<F, E>(&mut self, name: &'static str, start: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + 'static,
    {
        let (task, stop) = (start(self.stop.child_token()), self.stop.clone());
        let watched = async move {
            match task.await {
                Ok(()) if stop.is_cancelled() => Ok(()),
                Ok(()) => Err(format!("{name} ended before shutdown")),
                Err(failure) => Err(format!("{name}: {}", chain(&failure))),
            }
        };
        self.tasks.spawn(watched.instrument(info_span!("task", task = name)));
    }

    /// Returns when the first task ends, with why.
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(ended) => flatten(ended).err().unwrap_or_else(|| "a task ended".into()),
            None => std::future::pending().await,
        }
    }

    /// Tells the tasks to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs until shutdown or the first failure, then drains for at most `grace`.
    ///
    /// # Errors
    /// The first failure of a task, as text.
    pub async fn join(mut self, grace: Duration) -> Result<(), String> {
        let stop = self.stop.clone();
        let mut outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(first) = self.tasks.join_next() => flatten(first),
        };
        self.stop.cancel();
        let drain = async {
            while let Some(next) = self.tasks.join_next().await {
                outcome = outcome.clone().and(flatten(next));
            }
        };
        if tokio::time::timeout(grace, drain).await.is_err() {
            warn!(left = self.tasks.len(), "the grace period is over, aborting what is left");
        }
        outcome
    }
}

fn flatten(joined: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    joined.unwrap_or_else(|panic| Err(panic.to_string()))
}

/// Short-lived tasks of one owner (a connection, a delivery, a workflow), drained with it.
///
/// The owner bounds how many there are (a semaphore, a consumer's `max_ack_pending`).
#[derive(Debug, Clone)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// A set whose tasks may look at `stop` to end early.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, tracker: TaskTracker::new() }
    }

    /// Starts a task. A panic in it is logged, and hurts nobody else.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // Of no interest to those who read on the level of info.
        let span = debug_span!("task", task = name);
        let inner = tokio::spawn(self.tracker.track_future(task.instrument(span)));
        // Tracked too, so that a drain also waits for the report of a panic.
        tokio::spawn(self.tracker.track_future(async move {
            if let Err(failure) = inner.await
                && failure.is_panic()
            {
                error!(name, %failure, "a task panicked");
            }
        }));
    }

    /// The token by which the tasks are told to stop.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len() / 2
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits for all to end, for at most `grace`. Returns whether all did.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_early_end_is_a_failure() {
        let mut group = Group::new(CancellationToken::new());
        group.spawn("short", |_| async { Ok::<(), std::io::Error>(()) });
        group.spawn("long", |stop| async move {
            stop.cancelled().await;
            Ok::<(), std::io::Error>(())
        });
        let outcome = group.join(Duration::from_secs(5)).await;
        assert_eq!(outcome, Err("short ended before shutdown".into()));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_a_deaf_task_is_aborted() {
        let mut group = Group::new(CancellationToken::new());
        group.spawn("deaf", |_| std::future::pending::<Result<(), std::io::Error>>());
        group.spawn("loud", |_| async {
            assert!(std::hint::black_box(false), "on purpose");
            Ok::<(), std::io::Error>(())
        });
        assert!(group.join(Duration::from_millis(20)).await.is_err());
    }

    #[tokio::test]
    async fn tasks_drain() {
        let tasks = Tasks::new(CancellationToken::new());
        let (send, receive) = tokio::sync::oneshot::channel();
        tasks.spawn("one", async move {
            let _ = receive.await;
        });
        assert_eq!(tasks.len(), 1);
        assert!(!tasks.drain(Duration::from_millis(10)).await);
        let _ = send.send(());
        assert!(tasks.drain(Duration::from_secs(5)).await);
    }
}
