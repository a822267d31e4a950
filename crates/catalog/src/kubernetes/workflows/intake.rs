//! Follows the Workflow objects. What is changed of one by hand (`suspend`, `shutdown`, its deletion) becomes a command.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tiphys_bus::streams;
use tiphys_core::chain;
use tiphys_core::workflow::{Command, Submission, Verb};
use tiphys_kit::kubernetes::{Event, Failure, Objects};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tracing::{debug, warn};

use super::Desk;
use super::known::{Key, Known, is_over, live_of};
use super::mirror;
use super::status::names_of;
use super::submit::BY;
use crate::error::CatalogError;
use crate::kubernetes::kind::{names, version_of};

/// Workflows with this label belong to a controller of that name.
pub(super) const INSTANCE: &str = "workflows.argoproj.io/controller-instanceid";
/// A cluster or bus that is away is asked again after at most this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Notices of deletions that are looked at.
const NOTICES: usize = 10_000;

/// What one list and the watches after it work with.
struct Sight {
    /// Workflows that were deleted of late.
    deleted: HashSet<Key>,
    /// Some objects were left to Argo.
    left: bool,
}

impl Desk {
    /// Follows the Workflows until `stop`.
    pub(super) async fn take_in(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), LOOK_AGAIN);
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.take_in_once(&mut backoff) => outcome,
            };
            match outcome {
                Ok(()) | Err(CatalogError::Cluster(Failure::Expired(_))) => {
                    debug!("workflows are read afresh")
                }
                Err(failure) => {
                    warn!(
                        error = chain(&failure),
                        "workflows of the cluster cannot be taken in for the moment"
                    );
                    match &failure {
                        CatalogError::Cluster(failure) => self.shared.note(Kind::Workflow, failure),
                        other => self.shared.note(Kind::Workflow, &Failure::Unavailable(other.to_string())),
                    }
                    self.shared.changed.notify_one();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn take_in_once(&self, backoff: &mut Backoff) -> Result<(), CatalogError> {
        let objects = self.shared.objects_in(Kind::Workflow, self.shared.namespace()).await;
        let objects = objects.map_err(CatalogError::Cluster)?;
        let mut sight = Sight { deleted: self.deleted().await?, left: false };
        self.workflows.are_being_listed();
        // Those of before the list: what is made meanwhile is not in it.
        let before = self.workflows.uids();
        let (all, mut version) = objects.list("").await.map_err(CatalogError::Cluster)?;
        let there: HashSet<Key> = all.iter().map(names).collect();
        for (key, uid) in before.iter().filter(|(key, _)| !there.contains(key)) {
            self.gone(key, uid).await?;
        }
        for object in all {
            self.seen(object, &mut sight).await?;
        }
        self.workflows.are_listed();
        self.look_at_others(&there);
        self.shared.is_read(Kind::Workflow);
        self.shared.changed.notify_one();
        loop {
            let news = self.follow(&objects, &mut version, &mut sight, backoff).await?;
            match news {
                News::Argo => return Ok(()),
                News::Some => {}
                // A server that ends watches at once is not asked without a pause.
                News::None => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
    }

    /// One watch.
    async fn follow(
        &self,
        objects: &Objects,
        version: &mut String,
        sight: &mut Sight,
        backoff: &mut Backoff,
    ) -> Result<News, CatalogError> {
        let mut news = objects.watch("", version).await.map_err(CatalogError::Cluster)?;
        let mut told = News::None;
        loop {
            let event = tokio::select! {
                event = news.next() => event,
                () = self.shared.argo.looked.notified() => match sight.left {
                    true => return Ok(News::Argo),
                    false => continue,
                },
            };
            let Some(event) = event else { return Ok(told) };
            told = News::Some;
            backoff.reset();
            match event.map_err(CatalogError::Cluster)? {
                Event::There(object) => {
                    version_of(&object, version);
                    self.seen(object, sight).await?;
                }
                Event::Gone(object) => {
                    version_of(&object, version);
                    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                    self.gone(&names(&object), uid).await?;
                }
                Event::Quiet(newer) => *version = newer,
            }
        }
    }

    /// Workflows that were deleted of late, of which an object may have stayed.
    async fn deleted(&self) -> Result<HashSet<Key>, CatalogError> {
        let notices = self.bus.read(streams::WORKFLOWS, "workflows.*.*.deleted", 1, NOTICES).await?;
        let journals = notices.iter().filter_map(|notice| notice.subject.strip_suffix(".deleted"));
        Ok(journals.filter_map(names_of).collect())
    }

    /// Workflows without an object may have to get one.
    fn look_at_others(&self, there: &HashSet<Key>) {
        let others = self.shown.names().into_iter().filter(|key| !there.contains(key));
        self.workflows.look_at(others);
    }

    /// A Workflow object is there, new or changed.
    async fn seen(&self, object: Value, sight: &mut Sight) -> Result<(), CatalogError> {
        self.turn.comes().await;
        let key = names(&object);
        let mut known = Known::of(&object);
        match self.workflows.get(&key) {
            Some(before) if before.uid == known.uid => {
                return self.changed_by_hand(&key, before, &object).await;
            }
            Some(before) => self.gone(&key, &before.uid).await?,
            None => {}
        }
        let over = is_over(&object);
        if let Some(workflow) = mirror::workflow_of(&object) {
            workflow.clone_into(&mut known.workflow);
            match self.uid_of_journal(&key).await? {
                Some(uid) => known.ours = uid == known.workflow,
                None if sight.deleted.contains(&key) => {}
                None => return self.leave(key, known),
            }
            if !known.ours {
                self.remove(&key, &known.uid).await;
                self.workflows.look_at([key]);
                return Ok(());
            }
        } else if self.shared.is_argos(Kind::Workflow) {
            sight.left = true;
            return Ok(());
        } else if over {
            known.ours = self.uid_of_journal(&key).await?.is_some_and(|uid| uid == known.uid);
            let ran_here = sight.deleted.contains(&key) && object["status"]["startedAt"].is_string();
            if !known.ours && ran_here && self.uid_of_journal(&key).await?.is_none() {
                self.remove(&key, &known.uid).await;
                return Ok(());
            }
        } else if object["metadata"]["labels"][INSTANCE].is_null() {
            let phase = object["status"]["phase"].as_str().unwrap_or_default();
            let begun = !phase.is_empty() && phase != "Pending";
            known.ours = self.submit(&key, object.clone(), &known.uid, begun).await?;
        }
        self.enter(key, known, &object, over).await
    }

    /// Notes an object, and what was done to it while nobody looked.
    async fn enter(
        &self,
        key: Key,
        mut known: Known,
        object: &Value,
        over: bool,
    ) -> Result<(), CatalogError> {
        let is_shown_over = self.shown.brief(&key.0, &key.1).is_some_and(|brief| brief.over);
        if !known.ours || over && is_shown_over {
            known.live = Value::Null;
            self.workflows.insert(key, known);
            return Ok(());
        }
        let asked = self.shown.asked(&key.0, &key.1);
        if let Some((submission, commands)) = asked.filter(|(there, _)| there.uid == known.workflow) {
            (known.suspended, known.shutdown) = told(&submission, &commands);
        }
        self.workflows.insert(key.clone(), known.clone());
        self.workflows.look_at([key.clone()]);
        self.changed_by_hand(&key, known, object).await
    }

    /// An object that was made for a workflow that is not known here: another Tiphys may have made it.
    fn leave(&self, key: Key, mut known: Known) -> Result<(), CatalogError> {
        warn!(
            namespace = key.0,
            name = key.1,
            "a Workflow object shows a workflow that is not known here, and is left alone"
        );
        known.live = Value::Null;
        self.workflows.insert(key, known);
        Ok(())
    }

    /// What somebody changed of an object that is known.
    async fn changed_by_hand(&self, key: &Key, known: Known, object: &Value) -> Result<(), CatalogError> {
        if !known.ours || known.live.is_null() {
            return Ok(());
        }
        let suspended = object["spec"]["suspend"].as_bool().unwrap_or_default();
        let shutdown = object["spec"]["shutdown"].as_str().unwrap_or_default().to_owned();
        if suspended != known.suspended {
            let resume = Verb::Resume { node_field_selector: String::new() };
            let verb = if suspended { Verb::Suspend } else { resume };
            self.command(key, &known.workflow, verb, "spec.suspend was changed").await?;
        }
        if shutdown != known.shutdown {
            let verb = match shutdown.as_str() {
                "Stop" => Some(Verb::Stop { message: "stopped by spec.shutdown".into() }),
                "Terminate" => Some(Verb::Terminate),
                _ => None,
            };
            if let Some(verb) = verb {
                self.command(key, &known.workflow, verb, "spec.shutdown was changed").await?;
            }
        }
        self.workflows.change(key, &known.uid, |now| {
            (now.suspended, now.shutdown) = (suspended, shutdown);
            if !now.is_newer_than(object) && !now.live.is_null() {
                now.live = live_of(object);
                version_of(object, &mut now.version);
            }
        });
        Ok(())
    }

    /// A Workflow object is gone: so is its workflow.
    pub(super) async fn gone(&self, key: &Key, uid: &str) -> Result<(), CatalogError> {
        let Some(known) = self.workflows.get(key).filter(|known| known.uid == uid) else { return Ok(()) };
        self.turn.comes().await;
        if known.ours && self.command(key, &known.workflow, Verb::Delete, "its object was deleted").await? {
            self.workflows.goes(key);
        } else {
            self.workflows.forget(key);
        }
        Ok(())
    }
}

/// What came of a watch.
enum News {
    None,
    Some,
    /// Argo may have gone: what was left to it is looked at.
    Argo,
}

/// What of an object the workflow was told: whether it is suspended, and how it is to be shut down.
fn told(submission: &Submission, commands: &[Command]) -> (bool, String) {
    let spec = &submission.workflow["spec"];
    let mut suspended = spec["suspend"].as_bool().unwrap_or_default();
    let mut shutdown = spec["shutdown"].as_str().unwrap_or_default().to_owned();
    for command in commands.iter().filter(|command| command.by == BY) {
        match command.verb {
            Verb::Suspend => suspended = true,
            Verb::Resume { .. } => suspended = false,
            Verb::Stop { .. } => "Stop".clone_into(&mut shutdown),
            Verb::Terminate => "Terminate".clone_into(&mut shutdown),
            _ => {}
        }
    }
    (suspended, shutdown)
}
