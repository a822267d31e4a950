//! Which workflows there are, whose each is, and which pod belongs to which.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tiphys_bus::Message;
use tiphys_bus::members::{Members, View};
use tiphys_core::{PodKey, Timestamp};
use tiphys_kit::CancellationToken;
use tokio::sync::Notify;

use super::inbox::Inbox;
use super::record::Kind;
use crate::journal::State;
use crate::projection::Key;

/// What is known of a workflow that ended.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) at: Timestamp,
    /// When its `ttlStrategy` wants it gone.
    pub(super) expires: Option<Timestamp>,
    /// Of a journal whose pods were all tidied up: none.
    pub(super) sequence: u64,
    /// The launcher that had its pods.
    pub(super) launcher: Option<Arc<str>>,
    /// Something was written since, which its owner has to read.
    pub(super) news: bool,
}

/// A workflow that is not over, and not driven here.
#[derive(Debug, Default)]
struct Elsewhere {
    launcher: Option<Arc<str>>,
    sequence: u64,
    /// What its journal added up to when it was loaded.
    state: Option<Box<State>>,
}

/// A workflow to be driven from now on.
pub(super) struct Taken {
    pub(super) key: Key,
    pub(super) inbox: Arc<Inbox>,
    pub(super) state: Option<Box<State>>,
}

/// What a record asks for.
pub(super) enum Wanted {
    Nothing,
    /// A driver.
    Driver(Taken),
    /// Another executor's workflow ended: its journal is to be looked at once.
    Look,
}

/// Whose a pod is.
pub(super) enum Whose {
    Mine(Arc<Inbox>),
    Another,
    Nobody,
}

/// All workflows.
pub(super) struct Registry {
    members: Arc<Members>,
    stop: CancellationToken,
    inner: Mutex<Tables>,
    /// Told when a workflow ended.
    pub(super) finished: Notify,
}

#[derive(Default)]
struct Tables {
    live: HashMap<Key, Arc<Inbox>>,
    elsewhere: HashMap<Key, Elsewhere>,
    finished: BTreeMap<Key, Finished>,
    pods: HashMap<PodKey, Key>,
    pods_of: HashMap<Key, HashSet<PodKey>>,
}

impl Tables {
    fn forget_pods(&mut self, key: &Key) {
        for pod in self.pods_of.remove(key).into_iter().flatten() {
            self.pods.remove(&pod);
        }
    }

    fn launcher(&self, key: &Key) -> Option<Arc<str>> {
        let elsewhere = self.elsewhere.get(key).and_then(|one| one.launcher.clone());
        elsewhere.or_else(|| self.finished.get(key).and_then(|one| one.launcher.clone()))
    }

    /// Makes a workflow live. What is known of its end stays until its driver knows better.
    fn take(&mut self, key: &Key, stop: &CancellationToken) -> Taken {
        let launcher = self.launcher(key);
        if let Some(finished) = self.finished.get_mut(key) {
            finished.news = false;
        }
        let elsewhere = self.elsewhere.remove(key).unwrap_or_default();
        let inbox = Arc::new(Inbox::new(stop.child_token(), elsewhere.sequence, launcher));
        self.live.insert(key.clone(), inbox.clone());
        Taken { key: key.clone(), inbox, state: elsewhere.state }
    }
}

fn is_mine(view: &View, key: &Key, launcher: Option<&Arc<str>>) -> bool {
    view.is_mine(&format!("{}/{}", key.0, key.1), launcher.map(AsRef::as_ref))
}

impl Registry {
    pub(super) fn new(members: Arc<Members>, stop: CancellationToken) -> Self {
        Self { members, stop, inner: Mutex::default(), finished: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a workflow is this executor's.
    pub(super) fn is_mine(&self, key: &Key, launcher: Option<&Arc<str>>) -> bool {
        let view = self.members.view();
        view.is_settled() && is_mine(&view, key, launcher)
    }

    /// Whether a workflow is another executor's, or waits for one that sees its launcher.
    pub(super) fn is_foreign(&self, key: &Key, launcher: Option<&Arc<str>>) -> bool {
        !is_mine(&self.members.view(), key, launcher)
    }

    /// A record was stored.
    pub(super) fn record(&self, key: &Key, message: &Message) -> Wanted {
        let mut tables = self.lock();
        if let Some(inbox) = tables.live.get(key) {
            inbox.record(message.sequence);
            return Wanted::Nothing;
        }
        if tables.finished.get(key).is_some_and(|finished| finished.sequence >= message.sequence) {
            return Wanted::Nothing;
        }
        let kind = Kind::of(&message.payload);
        let known = tables.finished.contains_key(key) || tables.elsewhere.contains_key(key);
        if !known && matches!(kind, Kind::Progress { .. }) {
            // The last words of what was deleted.
            return Wanted::Nothing;
        }
        match (&kind, tables.finished.get_mut(key)) {
            (Kind::Asked, Some(finished)) => finished.news = true,
            (Kind::Progress { .. }, Some(finished)) => {
                let launcher = finished.launcher.clone();
                tables.finished.remove(key);
                let revived = Elsewhere { launcher, ..Elsewhere::default() };
                tables.elsewhere.insert(key.clone(), revived);
            }
            (_, None) => {
                tables.elsewhere.entry(key.clone()).or_default();
            }
        }
        if let Some(elsewhere) = tables.elsewhere.get_mut(key) {
            elsewhere.sequence = message.sequence;
            if let Kind::Progress { begun: Some(launcher), .. } = &kind {
                elsewhere.launcher = Some(launcher.clone());
            }
        }
        // Asked while the tables are locked: see `let_go`.
        let view = self.members.view();
        if view.is_settled() && is_mine(&view, key, tables.launcher(key).as_ref()) {
            return Wanted::Driver(tables.take(key, &self.stop));
        }
        if matches!(kind, Kind::Progress { ended: true, .. }) { Wanted::Look } else { Wanted::Nothing }
    }

    /// A workflow was deleted.
    pub(super) fn deleted(&self, key: &Key) {
        let mut tables = self.lock();
        if !tables.live.contains_key(key) {
            tables.elsewhere.remove(key);
            tables.finished.remove(key);
            tables.forget_pods(key);
        }
    }

    /// The driver of a workflow wants to end. False: a record arrived that it has not read.
    pub(super) fn leave(&self, key: &Key, inbox: &Arc<Inbox>, read: u64, end: Option<Finished>) -> bool {
        let mut tables = self.lock();
        if inbox.position() > read {
            return false;
        }
        if !tables.live.get(key).is_some_and(|live| Arc::ptr_eq(live, inbox)) {
            return true;
        }
        tables.live.remove(key);
        tables.forget_pods(key);
        match end {
            Some(finished) => tables.finished.insert(key.clone(), finished),
            None => tables.finished.remove(key),
        };
        drop(tables);
        self.finished.notify_one();
        true
    }

    /// A workflow was found that is not over.
    pub(super) fn loaded(&self, key: Key, state: State) {
        let mut tables = self.lock();
        for pod in state.pods() {
            tables.pods.insert(pod.clone(), key.clone());
            tables.pods_of.entry(key.clone()).or_default().insert(pod.clone());
        }
        let (launcher, sequence) = (state.launcher.clone(), state.sequence);
        tables.elsewhere.insert(key, Elsewhere { launcher, sequence, state: Some(Box::new(state)) });
    }

    /// What was loaded and is not taken is read again by whoever takes it.
    pub(super) fn forget_states(&self) {
        self.lock().elsewhere.values_mut().for_each(|one| one.state = None);
    }

    /// A workflow was found that ended, and is not driven here.
    pub(super) fn found(&self, key: Key, finished: Finished) {
        let mut tables = self.lock();
        let newer = tables.elsewhere.get(&key).is_some_and(|one| one.sequence > finished.sequence);
        if newer || tables.live.contains_key(&key) {
            return;
        }
        tables.elsewhere.remove(&key);
        tables.forget_pods(&key);
        tables.finished.insert(key, finished);
        drop(tables);
        self.finished.notify_one();
    }

    /// Whether a workflow ended with this record of its journal, and nothing came of it since.
    pub(super) fn is_over(&self, key: &Key, sequence: u64) -> bool {
        self.lock().finished.get(key).is_some_and(|one| one.sequence == sequence && !one.news)
    }

    /// A workflow goes on that had ended, or is gone.
    pub(super) fn revived(&self, key: &Key) {
        self.lock().finished.remove(key);
    }

    /// The live workflows that are not this executor's in this view.
    pub(super) fn foreign(&self, view: &View) -> Vec<(Key, Arc<Inbox>)> {
        let tables = self.lock();
        let foreign =
            tables.live.iter().filter(|(key, inbox)| !is_mine(view, key, inbox.launcher().as_ref()));
        foreign.map(|(key, inbox)| (key.clone(), inbox.clone())).collect()
    }

    /// The driver of a workflow has ended because it was let go.
    pub(super) fn let_go(&self, key: &Key, inbox: &Arc<Inbox>) {
        let mut tables = self.lock();
        if tables.live.get(key).is_some_and(|live| Arc::ptr_eq(live, inbox)) {
            tables.live.remove(key);
            tables.finished.remove(key);
            let (launcher, sequence) = (inbox.launcher(), inbox.position());
            tables.elsewhere.insert(key.clone(), Elsewhere { launcher, sequence, state: None });
        }
    }

    /// Takes up what is this executor's. The view is asked while the tables are locked: a change of it after
    /// that finds what was taken, and lets it go again.
    pub(super) fn take_up(&self) -> Vec<Taken> {
        let mut tables = self.lock();
        let view = self.members.view();
        if !view.is_settled() {
            return Vec::new();
        }
        let waiting = tables.elsewhere.iter().map(|(key, one)| (key, one.launcher.as_ref()));
        let told = tables.finished.iter().filter(|(key, one)| one.news && !tables.live.contains_key(*key));
        let all = waiting.chain(told.map(|(key, one)| (key, one.launcher.as_ref())));
        let mine: Vec<Key> = all
            .filter(|(key, launcher)| is_mine(&view, key, *launcher))
            .map(|(key, _)| key.clone())
            .collect();
        mine.iter().map(|key| tables.take(key, &self.stop)).collect()
    }

    pub(super) fn own(&self, pod: PodKey, key: &Key) {
        let mut tables = self.lock();
        tables.pods_of.entry(key.clone()).or_default().insert(pod.clone());
        tables.pods.insert(pod, key.clone());
    }

    pub(super) fn disown(&self, pod: &PodKey) {
        let mut tables = self.lock();
        if let Some(key) = tables.pods.remove(pod)
            && let Some(pods) = tables.pods_of.get_mut(&key)
        {
            pods.remove(pod);
        }
    }

    /// Whose a pod is.
    pub(super) fn whose(&self, pod: &PodKey) -> Whose {
        let tables = self.lock();
        match tables.pods.get(pod).map(|key| tables.live.get(key)) {
            Some(Some(inbox)) => Whose::Mine(inbox.clone()),
            Some(None) => Whose::Another,
            None => Whose::Nobody,
        }
    }

    /// The finished workflows, the oldest first.
    pub(super) fn finished(&self) -> Vec<(Key, Finished)> {
        let tables = self.lock();
        let all = tables.finished.iter();
        let mut all: Vec<(Key, Finished)> = all.map(|(k, f)| (k.clone(), f.clone())).collect();
        all.sort_by_key(|(_, finished)| (finished.at, finished.sequence));
        all
    }
}
