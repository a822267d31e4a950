//! Workflows and their objects. A Workflow object is submitted once, and what is done to it is done to its workflow; a
//! workflow that was submitted otherwise (by a trigger, a schedule, the command line) gets an object that shows it. The
//! status of both is written.
//!
//! One process at a time does that. Who takes over begins as after a restart: with all objects, all journals, and what
//! differs. What a predecessor has on its way then does no harm: a submission is compare-and-set on the journal, a
//! status names the version of the object that it changes, a deletion its uid. One that was stopped and goes on writes
//! nothing more: whether it is its turn is asked after the version was read and before each write.

mod intake;
mod known;
mod mirror;
mod patch;
mod schedules;
mod status;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_bus::members::{self, Members};
use tiphys_bus::{Bus, BusError};
use tiphys_core::workflow::{Command, Submission};
use tiphys_kit::{CancellationToken, Tasks};
use tiphys_manifest::Kind;
use tracing::{debug, info};

use super::{GRACE, Shared};
pub use mirror::{WORKFLOW, workflow_of};

/// What is shared among processes.
const WORK: &str = "workflow-objects";
/// It is one piece.
const PIECE: &str = "all";
/// What a process had that died is another's within this time.
const PASSES_WITHIN: Duration = Duration::from_secs(4);

/// What the objects are to show.
pub trait Shown: Send + Sync {
    /// The Workflow with its status, as it is now.
    fn workflow(&self, namespace: &str, name: &str) -> Option<Value>;
    /// The least that is known of it.
    fn brief(&self, namespace: &str, name: &str) -> Option<Brief>;
    /// Its submission, and the commands since, in order.
    fn asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)>;
    /// Namespace and name of every workflow.
    fn names(&self) -> Vec<(String, String)>;
    /// Name and uid of what runs of a CronWorkflow.
    fn runs(&self, namespace: &str, name: &str) -> Vec<(String, String)>;
}

/// The least that is known of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its uid.
    pub uid: String,
    /// Whether it is over.
    pub over: bool,
}

/// Keeps workflows and their objects in step.
pub struct WorkflowObjects {
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    shown: Arc<dyn Shown>,
    owner: Option<String>,
}

/// One time of doing so.
struct Desk {
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    shown: Arc<dyn Shown>,
    workflows: known::Workflows,
    turn: Turn,
}

/// Whether this process is the one that writes.
enum Turn {
    /// There is no other.
    Alone,
    /// It is, as long as the others see that it is there.
    Among(Arc<Members>),
}

impl Turn {
    /// Returns when it may write: at once, or never where another has taken over, as this task is ended then.
    async fn comes(&self) {
        if let Self::Among(members) = self {
            members.held().await;
        }
    }
}

impl std::fmt::Debug for WorkflowObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowObjects").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl WorkflowObjects {
    pub(super) fn new(
        shared: Arc<Shared>,
        bus: Arc<dyn Bus>,
        shown: Arc<dyn Shown>,
        owner: Option<String>,
    ) -> Self {
        Self { shared, bus, shown, owner }
    }

    /// Works until `stop`, whenever it is this process's turn.
    ///
    /// # Errors
    /// Never by itself: a bus or cluster that is away is waited for.
    pub async fn run(self, stop: CancellationToken) -> Result<(), BusError> {
        match self.owner.clone() {
            None => {
                let work = self.begin(&stop, Turn::Alone);
                stop.cancelled().await;
                self.end(work).await;
            }
            Some(name) => self.take_turns(name, &stop).await,
        }
        Ok(())
    }

    async fn take_turns(&self, name: String, stop: &CancellationToken) {
        let config =
            members::Config { work: WORK.into(), name, group: String::new(), passes_within: PASSES_WITHIN };
        let members = Arc::new(Members::new(self.bus.clone(), config));
        let (member, tasks) = (members.clone(), Tasks::new(stop.child_token()));
        let until = tasks.stop().clone();
        tasks.spawn("workflow-objects", async move {
            if let Err(error) = member.run(&until).await {
                debug!(%error, "no member any more");
            }
        });
        let mut views = members.watch();
        let mut work = None;
        while !stop.is_cancelled() {
            let view = views.borrow_and_update().clone();
            match (view.is_mine(PIECE, None), work.take()) {
                (true, None) if view.is_settled() => {
                    info!("this process keeps workflows and their objects in step from now on");
                    work = Some(self.begin(stop, Turn::Among(members.clone())));
                }
                (true, going) => work = going,
                (false, Some(going)) => {
                    info!("another process keeps workflows and their objects in step from now on");
                    self.end(going).await;
                }
                (false, None) => {}
            }
            members.let_go(view.turn());
            tokio::select! {
                () = stop.cancelled() => {}
                changed = views.changed() => if changed.is_err() { break },
            }
        }
        if let Some(going) = work {
            self.end(going).await;
        }
        tasks.stop().cancel();
        tasks.drain(GRACE).await;
        members.leave().await;
    }

    fn begin(&self, stop: &CancellationToken, turn: Turn) -> Tasks {
        let desk = Arc::new(Desk {
            shared: self.shared.clone(),
            bus: self.bus.clone(),
            shown: self.shown.clone(),
            workflows: known::Workflows::default(),
            turn,
        });
        let tasks = Tasks::new(stop.child_token());
        tasks.spawn("workflows-intake", desk.clone().take_in(tasks.stop().clone()));
        tasks.spawn("workflows-schedules", desk.clone().show_schedules(tasks.stop().clone()));
        let (writer, until) = (status::StatusWriter::new(desk), tasks.stop().clone());
        tasks.spawn("workflows-status", async move { writer.run(until).await });
        tasks
    }

    async fn end(&self, tasks: Tasks) {
        tasks.stop().cancel();
        tasks.drain(GRACE).await;
        // What could not be read is the next one's to tell.
        self.shared.is_read(Kind::Workflow);
        self.shared.changed.notify_one();
    }
}
