//! `podGC`: which pods go by themselves, when, and how much later.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use crate::journal::State;
use crate::launcher::PodGc;
use crate::node::Phase;
use crate::time;

/// What becomes of a pod with these labels when it ends, and how long after that.
pub(super) fn of_pod(state: &State, labels: &BTreeMap<String, String>) -> Result<(PodGc, Duration), String> {
    let Some(gc) = state.definition.as_ref().and_then(|definition| definition.spec.pod_gc.as_ref()) else {
        return Ok((PodGc::Later, Duration::ZERO));
    };
    if let Some(selector) = &gc.label_selector
        && !matches(selector, labels).map_err(|why| format!("podGC.labelSelector: {why}"))?
    {
        return Ok((PodGc::Kept, Duration::ZERO));
    }
    let length = gc.delete_delay_duration.as_deref().filter(|text| !text.is_empty()).map(time::duration);
    let length = length.transpose().map_err(|why| format!("podGC.deleteDelayDuration: {why}"))?;
    Ok(match gc.strategy.as_deref() {
        Some("OnPodCompletion") => (PodGc::OnCompletion, length.unwrap_or_default()),
        Some("OnPodSuccess") => (PodGc::OnSuccess, length.unwrap_or_default()),
        _ => (PodGc::Later, Duration::ZERO),
    })
}

/// Whether the pods of a workflow that is over go, and how long after its end. What cannot be read was told by its pods.
pub(crate) fn of_workflow(state: &State) -> Option<Duration> {
    let gc = state.definition.as_ref()?.spec.pod_gc.as_ref()?;
    let goes = match gc.strategy.as_deref() {
        Some("OnWorkflowCompletion") => true,
        Some("OnWorkflowSuccess") => state.phase == Some(Phase::Succeeded),
        _ => false,
    };
    let length = gc.delete_delay_duration.as_deref().filter(|text| !text.is_empty()).map(time::duration);
    goes.then(|| length.and_then(Result::ok).unwrap_or_default())
}

/// Whether labels are those that a selector means, as Kubernetes reads it.
fn matches(selector: &Value, labels: &BTreeMap<String, String>) -> Result<bool, String> {
    let read: LabelSelector = serde_json::from_value(selector.clone()).map_err(|error| error.to_string())?;
    let mut all = true;
    for (name, value) in read.match_labels.unwrap_or_default() {
        all &= labels.get(&name) == Some(&value);
    }
    for requirement in read.match_expressions.unwrap_or_default() {
        all &= holds(&requirement, labels.get(&requirement.key))?;
    }
    Ok(all)
}

fn holds(requirement: &LabelSelectorRequirement, label: Option<&String>) -> Result<bool, String> {
    let values = requirement.values.as_deref().unwrap_or_default();
    let named = label.is_some_and(|label| values.contains(label));
    Ok(match (requirement.operator.as_str(), values) {
        ("In" | "NotIn", []) => return Err(format!("{} needs values", requirement.operator)),
        ("In", _) => named,
        ("NotIn", _) => !named,
        ("Exists", []) => label.is_some(),
        ("DoesNotExist", []) => label.is_none(),
        ("Exists" | "DoesNotExist", _) => return Err(format!("{} takes no values", requirement.operator)),
        (other, _) => return Err(format!("'{other}' is none of In, NotIn, Exists, DoesNotExist")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_read_as_kubernetes_reads_them() {
        let labels = BTreeMap::from([("app".to_owned(), "scan".to_owned()), ("empty".into(), String::new())]);
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "scan"}}), true),
            (json!({"matchLabels": {"app": "scan", "empty": ""}}), true),
            (json!({"matchLabels": {"app": "scan", "none": ""}}), false),
            (
                json!({"matchLabels": {"app": "scan"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
                false,
            ),
            (expression("app", "In", &["x", "scan"]), true),
            (expression("app", "In", &["x"]), false),
            (expression("none", "In", &["x"]), false),
            (expression("app", "NotIn", &["x"]), true),
            (expression("app", "NotIn", &["scan"]), false),
            (expression("none", "NotIn", &["x"]), true),
            (expression("empty", "Exists", &[]), true),
            (expression("none", "Exists", &[]), false),
            (expression("none", "DoesNotExist", &[]), true),
        ] {
            assert_eq!(matches(&selector, &labels), Ok(expected), "{selector}");
        }
        for (selector, said) in [
            (expression("app", "In", &[]), "In needs values"),
            (expression("app", "Exists", &["x"]), "Exists takes no values"),
            (expression("app", "Equals", &["x"]), "'Equals' is none of In, NotIn, Exists, DoesNotExist"),
            (json!({"matchLabels": 1}), "invalid type"),
        ] {
            let why = matches(&selector, &labels).unwrap_err();
            assert!(why.contains(said), "{selector}: {why}");
        }
    }
}
