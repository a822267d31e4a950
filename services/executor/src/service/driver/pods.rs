//! The pods of a workflow: started, looked at, stopped, and what is left when all is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use tiphys_core::PodKey;
use tracing::warn;

use super::Driver;
use crate::error::Error;
use crate::journal::State;
use crate::launcher::{LaunchError, PodSpec, PodState};
use crate::node::{Node, NodeKind, Phase};
use crate::plan::{Observed, Seen, pod};

/// How many pods are looked at together.
const LOOKS: usize = 64;

impl Driver {
    /// Looks at pods. Those that cannot be looked at now hold up no other: they are looked at again, and the error says why.
    pub(super) async fn look(&self, state: &State, pods: &BTreeSet<PodKey>) -> (Vec<Seen>, Option<Error>) {
        let (mut news, mut trouble) = (Vec::new(), None);
        let wanted: Vec<(&Arc<Node>, &PodKey)> = active_pods(state)
            .filter_map(|node| Some((node, node.pod.as_ref().filter(|key| pods.contains(*key))?)))
            .collect();
        for some in wanted.chunks(LOOKS) {
            let found = join_all(some.iter().map(|(_, key)| self.service.deps.launcher.observe(key))).await;
            for ((node, key), found) in some.iter().zip(found) {
                match found {
                    Ok(found) => news.extend(self.seen(state, node, key, found).await),
                    Err(error) => {
                        self.inbox.put_back([(*key).clone()], Vec::new());
                        trouble = Some(Error::Launcher(format!("{key}: {error}")));
                    }
                }
            }
        }
        (news, trouble)
    }

    /// What the state of a pod says of its node. Nothing, where that is to be waited for.
    async fn seen(&self, state: &State, node: &Node, key: &PodKey, found: PodState) -> Option<Seen> {
        let what = match found {
            PodState::Ended(result) => Observed::Ended(result),
            PodState::Pending { message } => {
                self.goes_on(node, key).await;
                Observed::Waiting { message }
            }
            PodState::Running { started, ready, address } => {
                self.goes_on(node, key).await;
                Observed::Running { started, ready, address }
            }
            // Acting on objects leaves nothing at a launcher; begun again, it finds what it did.
            PodState::Unknown if node.phase == Phase::Running && pod::is_repeatable(state, node) => {
                node.stopping.as_ref().map(|_| Observed::NeverStarted)?
            }
            PodState::Unknown if node.phase == Phase::Running => {
                Observed::Refused("the pod is gone: its launcher knows nothing of it any more".into())
            }
            PodState::Unknown if node.stopping.is_some() && !self.inbox.knows(key) => Observed::NeverStarted,
            PodState::Unknown => return None,
        };
        Some(Seen { node: node.id.clone(), pod: key.clone(), what })
    }

    /// A pod is there and has not ended.
    async fn goes_on(&self, node: &Node, key: &PodKey) {
        self.inbox.runs(key);
        if node.stopping.is_some() {
            self.stop(key).await;
        }
    }

    /// The pod of a daemon ends after its node, which nobody waits for any more: it is only tidied up.
    pub(super) async fn tidy_daemons(&self, state: &State, pods: &BTreeSet<PodKey>) {
        let daemons = state.nodes.values().filter(|node| node.daemon.is_some() && node.phase.fulfilled());
        let ended = daemons.filter_map(|node| node.pod.as_ref()).filter(|key| pods.contains(*key));
        for key in ended.cloned().collect::<Vec<_>>() {
            let launcher = &self.service.deps.launcher;
            if matches!(launcher.observe(&key).await, Ok(PodState::Ended(_) | PodState::Unknown)) {
                self.inbox.ended(&key);
                self.service.registry.disown(&key);
                launcher.forget(&key).await;
            }
        }
    }

    pub(super) fn start(&self, spec: PodSpec) {
        if self.inbox.waits(&spec.key) {
            self.service.registry.own(spec.key.clone(), &self.key);
            self.service.start(spec, self.inbox.clone());
        }
    }

    /// Starts what stands in the journal and may not have been started: the process ended between the record
    /// and the deed. Starting twice is the same as once.
    pub(super) fn start_again(&self, state: &State) {
        for node in active_pods(state) {
            let key = node.pod.as_ref().filter(|key| !self.inbox.knows(key));
            let begins = node.phase == Phase::Pending || pod::is_repeatable(state, node);
            let Some(key) = key.filter(|_| begins && node.stopping.is_none()) else {
                continue;
            };
            match self.with_context(|context| pod::of_node(state, node, context)) {
                Ok(spec) => self.start(spec),
                Err(why) => self.inbox.seen(Seen {
                    node: node.id.clone(),
                    pod: key.clone(),
                    what: Observed::Refused(why),
                }),
            }
        }
    }

    pub(super) async fn stop(&self, key: &PodKey) {
        if !self.inbox.stops(key) {
            return;
        }
        match self.service.deps.launcher.stop(key).await {
            Ok(()) => {}
            // What else is to be done does not wait for that.
            Err(LaunchError::Unavailable(_)) => self.service.stop_later(key.clone(), self.inbox.clone()),
            Err(error) => warn!(workflow = self.name(), pod = %key, %error, "a pod cannot be stopped"),
        }
    }
}

pub(super) fn active_pods(state: &State) -> impl Iterator<Item = &Arc<Node>> {
    let nodes = state.active.iter().filter_map(|id| state.nodes.get(id));
    nodes.filter(|node| node.kind == NodeKind::Pod)
}
