//! What becomes of the pods: one watch tells of all of them. What it does not tell of is asked for before it counts as gone.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watcher};
use tiphys_core::{PodKey, Timestamp, chain};
use tiphys_kit::Backoff;
use tokio::sync::oneshot;

use super::ask::{Kind, within};
use super::judge::{self, Sight, Trouble};
use super::pod::{COMPLETED, INSTALLATION};
use super::record::{Place, Record, budget_of, key_of, version_of};
use super::shelf::Thing;
use super::{REQUEST, Shared};
use crate::launcher::{PodResult, PodState, PodVerdict};

/// The name under which it is told whether the API server answers; it does not count.
pub const PART: &str = "executor/kubernetes";
/// The same, where only logs are read.
pub(super) const LOGS: &str = "server/logs";
/// A watch is renewed so often, in seconds: a connection that died in silence is noticed by then.
const RENEW: u32 = 60;
/// What is told while the API server is away.
const AWAY: &str =
    "the pods of the cluster cannot be followed; they are started, and their ends are read, once they can";
/// The same, where only logs are read.
const LOGS_AWAY: &str =
    "the pods of the cluster cannot be followed; the logs of those that are new cannot be read";
/// While it is away it is asked so often whether it is back.
const LOOK: Duration = Duration::from_secs(1);

impl Shared {
    /// Follows the pods of a scope until the launcher stops. `listed` is told once all were seen.
    pub(super) async fn follow(self: Arc<Self>, api: Api<Pod>, listed: oneshot::Sender<()>) {
        let selector = format!("{INSTALLATION}={},{COMPLETED}=false", self.config.installation);
        let config = watcher::Config::default().labels(&selector).timeout(RENEW);
        let mut events = pin!(watcher(api.clone(), config));
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let (mut found, mut listed, mut away) = (HashSet::new(), Some(listed), false);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // A watch that was taken up again tells nothing until something happens.
                () = self.answers(&api), if away => {
                    away = false;
                    backoff.reset();
                    self.config.health.ready(self.config.part());
                    continue;
                }
                () = self.tasks.stop().cancelled() => return,
            };
            match event {
                Some(Ok(event)) => {
                    backoff.reset();
                    let done = matches!(event, Event::InitDone);
                    self.take(event, &mut found).await;
                    if let Some(listed) = listed.take_if(|_| done) {
                        self.config.health.ready(self.config.part());
                        let _ = listed.send(());
                    }
                }
                Some(Err(error)) => {
                    let why = chain(&error);
                    tracing::info!(error = why, "the watch of pods broke off and is taken up again");
                    // One that only has to begin anew is well the next time.
                    if backoff.attempts() > 0 {
                        away = true;
                        let away = if self.config.only_reads { LOGS_AWAY } else { AWAY };
                        self.config.health.only_tell(self.config.part());
                        self.config.health.failing(self.config.part(), format!("{away}: {why}"));
                    }
                    self.pause(backoff.next_wait()).await;
                }
                None => return,
            }
        }
    }

    /// Returns once the API server answers.
    async fn answers(&self, api: &Api<Pod>) {
        while within(REQUEST, api.list_metadata(&ListParams::default().limit(1))).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits, unless the launcher stops. False: it does.
    pub(super) async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.tasks.stop().cancelled() => false,
        }
    }

    async fn take(self: &Arc<Self>, event: Event<Pod>, found: &mut HashSet<PodKey>) {
        match event {
            Event::Init => found.clear(),
            Event::InitApply(pod) => {
                found.extend(key_of(&pod));
                self.see(&pod).await;
            }
            Event::InitDone => self.ask_for_absent(std::mem::take(found)),
            Event::Apply(pod) => self.see(&pod).await,
            Event::Delete(pod) => self.see_gone(&pod).await,
        }
    }

    /// Takes in how a pod is, and tells whoever waits for it.
    pub(super) async fn see(self: &Arc<Self>, pod: &Pod) {
        if let Some(key) = self.apply(pod) {
            self.announce(&key).await;
        }
    }

    /// A pod that is listed no more: gone, or somebody wrote that its end was taken note of.
    async fn see_gone(self: &Arc<Self>, pod: &Pod) {
        let Some(key) = key_of(pod) else { return };
        let place = Place::of(pod);
        let waits = |record: &Record| record.place.uid == place.uid && !record.is_over();
        if !self.pods().get(&key).is_some_and(waits) {
            return;
        }
        self.see(pod).await;
        if self.pods().get(&key).is_some_and(waits) {
            let why = pod.status.as_ref().and_then(judge::disruption);
            self.look_for(key, place, why);
        }
    }

    /// Asks for pods that were known and are not in a list.
    fn ask_for_absent(self: &Arc<Self>, found: HashSet<PodKey>) {
        let absent: Vec<(PodKey, Place)> = {
            let pods = self.pods();
            let absent = pods.iter().filter(|(key, record)| !found.contains(*key) && !record.is_over());
            absent.map(|(key, record)| (key.clone(), record.place.clone())).collect()
        };
        for (key, place) in absent {
            self.look_for(key, place, None);
        }
    }

    /// Asks whether a pod is there, until there is an answer.
    pub(super) fn look_for(self: &Arc<Self>, key: PodKey, place: Place, why: Option<String>) {
        let shared = Arc::clone(self);
        self.tasks.spawn("look for pod", async move {
            let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
            let api = shared.api(&place.namespace);
            loop {
                match shared.ask(within(REQUEST, api.get(&place.name))).await {
                    Ok(pod) if pod.metadata.uid.as_deref() == Some(&*place.uid) => {
                        return shared.see(&pod).await;
                    }
                    Ok(_) => break,
                    Err(failure) if failure.kind == Kind::Missing => break,
                    Err(failure) => {
                        tracing::debug!(%key, why = failure.text, "a pod cannot be looked for");
                        if !shared.pause(failure.after.unwrap_or_else(|| backoff.next_wait())).await {
                            return;
                        }
                    }
                }
            }
            let message = why.map_or(judge::DELETED.to_owned(), |why| format!("{}: {why}", judge::DELETED));
            shared.end_as(&key, &place, message).await;
        });
    }

    /// A pod that is gone, or counts as gone.
    pub(super) async fn end_as(&self, key: &PodKey, place: &Place, message: String) {
        let result = error(self.clock.now(), message.clone());
        if self.settle(key, place, result) {
            self.announce(key).await;
            if matches!(self.state(key), Some(PodState::Ended(result)) if result.started.is_some()) {
                self.keep_word(key, place, &message).await;
            }
        }
    }

    /// Writes down how a pod ended, unless that is known. Whether it was news.
    pub(super) fn settle(&self, key: &PodKey, place: &Place, mut result: PodResult) -> bool {
        let mut pods = self.pods();
        let Some(record) = pods.get_mut(key).filter(|record| record.place == *place && !record.is_over())
        else {
            return false;
        };
        if let (None, PodState::Running { started, .. }) = (result.started, &record.state) {
            result.started = Some(*started);
        }
        record.state = PodState::Ended(Box::new(result));
        true
    }

    /// Takes in how a pod is. Its key, if that is news.
    pub(super) fn apply(self: &Arc<Self>, pod: &Pod) -> Option<PodKey> {
        let key = key_of(pod)?;
        if let Some(uid) = budget_of(pod) {
            self.budgets().insert(uid.to_owned());
        }
        let place = Place::of(pod);
        if self.config.only_reads {
            self.names().add(key, place);
            return None;
        }
        if self.names().get(&key).is_some_and(|known| known == place) {
            // Its end was taken note of.
            return None;
        }
        let now = self.clock.now();
        let mut pods = self.pods();
        let record = pods.entry(key.clone()).or_insert_with(|| Record::new(pod));
        if record.is_over() {
            return None;
        }
        let version = version_of(pod);
        if version < record.version {
            return None;
        }
        if Some(&*record.place.uid) != pod.metadata.uid.as_deref() {
            *record = Record::new(pod);
        }
        record.version = version;
        let before = record.state.clone();
        match judge::sight(pod, now, record.stopping) {
            Sight::Pending { message, trouble } => self.waits(&key, record, pod, (message, trouble)),
            Sight::Running { started, ready, address } => {
                record.trouble = Trouble::None;
                record.state = PodState::Running { started, ready, address };
                if let Some(program) = record.relay.clone()
                    && !std::mem::replace(&mut record.busy.relay, true)
                {
                    self.join(key.clone(), record.place.clone(), program);
                }
            }
            Sight::Ended { result, put, others } => {
                if pod.metadata.deletion_timestamp.is_some() && !record.going && result.started.is_some() {
                    self.keep_before_it_goes(key.clone(), record.place.clone());
                }
                if others && !std::mem::replace(&mut record.busy.end, true) {
                    self.end_others(&key, record.place.clone());
                }
                if !put {
                    record.state = PodState::Ended(result);
                } else if !std::mem::replace(&mut record.busy.report, true) {
                    record.kept = true;
                    self.fetch_report(key.clone(), record.place.clone(), *result);
                }
            }
        }
        if !record.is_over() {
            self.limit_deletion(&key, record, pod, now);
        }
        // A pod that is seen for the first time is news.
        let fresh = !std::mem::replace(&mut record.busy.told, true);
        (fresh || record.state != before).then_some(key)
    }

    /// Takes in that a pod has not begun, and why, as far as it says so itself or its events do.
    fn waits(self: &Arc<Self>, key: &PodKey, record: &mut Record, pod: &Pod, why: (String, Trouble)) {
        let (message, trouble) = match &record.event {
            Some(event) if why.0.is_empty() => event.clone(),
            _ => why,
        };
        record.trouble = trouble;
        if matches!(record.state, PodState::Pending { .. }) {
            record.state = PodState::Pending { message };
        }
        self.limit_patience(key, record);
        if judge::has_node(pod) {
            self.limit_quiet(key, record);
        }
    }

    /// A pod that cannot run is not waited for without end.
    pub(super) fn limit_patience(self: &Arc<Self>, key: &PodKey, record: &mut Record) {
        let wait = match record.trouble {
            Trouble::None => return,
            Trouble::Stuck => self.config.stuck,
            Trouble::Hopeless => Duration::ZERO,
        };
        if std::mem::replace(&mut record.busy.patience, true) {
            return;
        }
        let (shared, key, place) = (Arc::clone(self), key.clone(), record.place.clone());
        self.tasks.spawn("wait for pod", async move {
            if !shared.pause(wait).await {
                return;
            }
            let message = {
                let mut pods = shared.pods();
                let Some(record) = pods.get_mut(&key).filter(|record| record.place == place) else { return };
                record.busy.patience = false;
                match &record.state {
                    PodState::Pending { message } if record.trouble != Trouble::None => message.clone(),
                    _ => return,
                }
            };
            let waited = if wait.is_zero() { String::new() } else { format!(" (given up after {wait:?})") };
            shared
                .end_as(
                    &key,
                    &place,
                    format!("Pod failed before main container starts due to {message}{waited}"),
                )
                .await;
            shared.delete(key, place);
        });
    }

    /// A node that is gone does not tell that a pod has ended there.
    fn limit_deletion(self: &Arc<Self>, key: &PodKey, record: &mut Record, pod: &Pod, now: Timestamp) {
        let Some(by) = &pod.metadata.deletion_timestamp else { return };
        if std::mem::replace(&mut record.busy.deletion, true) {
            return;
        }
        let left = Duration::try_from(by.0.duration_since(now)).unwrap_or_default();
        let wait = left.saturating_add(self.config.lost);
        if matches!(record.state, PodState::Running { .. }) && !record.going {
            let (shared, key, place) = (Arc::clone(self), key.clone(), record.place.clone());
            self.tasks.spawn("follow log", async move { shared.follow_log(&key, &place).await });
        }
        let (shared, key, place) = (Arc::clone(self), key.clone(), record.place.clone());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        self.tasks.spawn("wait for end", async move {
            if shared.pause(wait).await {
                let message = format!("{}: its node {node} does not confirm that it ended", judge::DELETED);
                shared.end_as(&key, &place, message).await;
            }
        });
    }

    /// Keeps the log of a pod that somebody else takes away.
    fn keep_before_it_goes(self: &Arc<Self>, key: PodKey, place: Place) {
        let shared = Arc::clone(self);
        self.tasks.spawn("keep log", async move {
            shared.keep_log(&key, &place).await;
        });
    }

    /// Takes a report that was too long for the pod out of the store.
    fn fetch_report(self: &Arc<Self>, key: PodKey, place: Place, seen: PodResult) {
        let shared = Arc::clone(self);
        self.tasks.spawn("fetch report", async move {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
            let from = shared.shelf(&key, Some(&place), Thing::Report);
            let result = loop {
                match shared.content(&from).await {
                    Ok(bytes) => break judge::complete(&bytes, seen, shared.clock.now()),
                    Err(crate::launcher::LaunchError::Unavailable(why)) => {
                        tracing::warn!(%key, why, "the report of a pod cannot be fetched, trying again");
                        if !shared.pause(backoff.next_wait()).await {
                            return;
                        }
                    }
                    Err(why) => {
                        break error(shared.clock.now(), format!("the report of the step is gone: {why}"));
                    }
                }
            };
            if shared.settle(&key, &place, result) {
                shared.announce(&key).await;
            }
        });
    }
}

/// A result of which nothing is known.
pub(super) fn error(now: Timestamp, message: String) -> PodResult {
    PodResult {
        started: None,
        finished: now,
        exit_code: None,
        verdict: PodVerdict::Error,
        message,
        result: None,
        parameters: std::collections::BTreeMap::new(),
        artifacts: Vec::new(),
        host: None,
    }
}

#[cfg(test)]
mod tests;
