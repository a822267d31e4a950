//! Daemons: steps that are done once they are ready, and go on until the steps or DAG that they stand in end.

use super::Pass;
use crate::journal::Update;
use crate::node::{Daemon, Node, Phase};

/// Argo has no word for it: a daemon is there to be used by what follows.
pub(super) const ENDED: &str = "the daemon ended before what it serves";

impl Pass<'_> {
    /// Whether a node's template asks for a daemon.
    pub(super) fn is_daemon(&mut self, node: &Node) -> bool {
        self.resolve(&node.target).is_ok_and(|def| def.typed.daemon == Some(true))
    }

    /// The pod of a daemon is ready: what depends on it may begin.
    pub(super) fn serve(&mut self, node: &Node, address: Option<&String>) {
        let daemon = Daemon { address: address.cloned() };
        if node.daemon.as_ref() == Some(&daemon) {
            return;
        }
        // Those who ask for it by name ask for the retry that it is an attempt of.
        let retry = node.attempt.and_then(|number| {
            let name = node.name.strip_suffix(&format!("({number})"))?;
            self.named(name).map(|retry| retry.id.clone())
        });
        for id in [Some(node.id.clone()), retry].into_iter().flatten() {
            self.update(Update { id, daemon: Some(daemon.clone()), ..Update::default() });
        }
    }

    /// What stands in `boundary` is over; without one, all is.
    pub(super) fn end_daemons(&mut self, boundary: Option<&str>) {
        let active = self.state.active.iter().filter_map(|id| self.state.nodes.get(id));
        let served = active.filter(|node| node.daemon.is_some());
        let served = served.filter(|node| boundary.is_none() || node.boundary.as_deref() == boundary);
        let served: Vec<_> = served.cloned().collect();
        for node in served {
            self.end(&node.id, Phase::Succeeded, String::new());
            self.stops.extend(node.pod.clone());
        }
    }
}
