//! Kinds by the words that kubectl takes: `pod`, `pods`, `po`, `deployments.apps`.

use kube::Discovery;

use super::{Cluster, Failure, Resource, failure};

/// kubectl's short names of what every cluster has, and of Argo's kinds.
const SHORT: [(&str, &str); 24] = [
    ("cm", "configmaps"),
    ("cj", "cronjobs"),
    ("crd", "customresourcedefinitions"),
    ("cwf", "cronworkflows"),
    ("deploy", "deployments"),
    ("ds", "daemonsets"),
    ("ep", "endpoints"),
    ("ev", "events"),
    ("hpa", "horizontalpodautoscalers"),
    ("ing", "ingresses"),
    ("netpol", "networkpolicies"),
    ("no", "nodes"),
    ("ns", "namespaces"),
    ("pdb", "poddisruptionbudgets"),
    ("po", "pods"),
    ("pv", "persistentvolumes"),
    ("pvc", "persistentvolumeclaims"),
    ("quota", "resourcequotas"),
    ("rs", "replicasets"),
    ("sa", "serviceaccounts"),
    ("sts", "statefulsets"),
    ("svc", "services"),
    ("wf", "workflows"),
    ("wftmpl", "workflowtemplates"),
];
/// Groups that are looked at first, where several have a kind of that name.
const FIRST: [&str; 4] = ["", "apps", "batch", "networking.k8s.io"];

impl Cluster {
    /// The kind that a word means. Asks the cluster for all that it has, with our own rights.
    ///
    /// # Errors
    /// [`Failure::Missing`] where it has none of that name.
    pub async fn resource_named(&self, word: &str) -> Result<Resource, Failure> {
        let lower = word.to_ascii_lowercase();
        let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(n, g)| (n, Some(g)));
        let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, plural)| plural);
        let all = failure::in_time(Discovery::new(self.client()).run_aggregated()).await;
        let all = all.map_err(|answer| failure::plain("the kinds of the cluster", answer))?;
        let mut fitting = Vec::new();
        for found in all.groups().filter(|found| group.is_none_or(|group| names(found.name(), group))) {
            for (api, capabilities) in found.recommended_resources() {
                if api.plural == name || api.kind.eq_ignore_ascii_case(name) {
                    let rank = FIRST.iter().position(|first| *first == api.group).unwrap_or(FIRST.len());
                    fitting.push((rank, Resource::new(api, &capabilities)));
                }
            }
        }
        fitting.sort_by(|a, b| (a.0, &a.1.api.group).cmp(&(b.0, &b.1.api.group)));
        let first = fitting.into_iter().next().map(|(_, resource)| resource);
        first.ok_or_else(|| Failure::Missing(format!("the cluster has no kind called '{word}'")))
    }
}

/// Whether a group is meant by `apps`, or by `v1.apps`.
fn names(group: &str, word: &str) -> bool {
    group == word
        || word.split_once('.').is_some_and(|(version, rest)| version.starts_with('v') && rest == group)
}
