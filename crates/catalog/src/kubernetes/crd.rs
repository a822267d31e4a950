//! The definitions of the kinds, for a cluster that has not Argo's. Their schemas keep every field as it is written:
//! what a manifest means is said by `tiphys lint`, with file and line, and not by the API server.

use serde_json::{Value, json};
use tiphys_manifest::Kind;

/// A kind, its plural, its short names, and what `kubectl get` shows.
type Row = (Kind, &'static str, &'static [&'static str], &'static [Column]);
/// Title, type, path; and whether it is shown only where more is asked for (`-o wide`).
type Column = (&'static str, &'static str, &'static str, bool);

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", false);

const ROWS: [Row; 7] = [
    (
        Kind::Workflow,
        "workflows",
        &["wf"],
        // As Argo's, and one more that `-o wide` shows.
        &[
            ("Status", "string", ".status.phase", false),
            ("Age", "date", ".status.startedAt", false),
            ("Message", "string", ".status.message", false),
            ("Progress", "string", ".status.progress", true),
        ],
    ),
    (Kind::WorkflowTemplate, "workflowtemplates", &["wftmpl"], &[AGE]),
    (Kind::ClusterWorkflowTemplate, "clusterworkflowtemplates", &["clusterwftmpl", "cwft"], &[AGE]),
    (
        Kind::CronWorkflow,
        "cronworkflows",
        &["cwf", "cronwf"],
        &[
            ("Schedules", "string", ".spec.schedules", false),
            ("Timezone", "string", ".spec.timezone", false),
            ("Suspended", "boolean", ".spec.suspend", false),
            AGE,
        ],
    ),
    (Kind::EventSource, "eventsources", &["es"], &[AGE]),
    (Kind::EventBus, "eventbus", &["eb"], &[AGE]),
    (Kind::Sensor, "sensors", &["sn"], &[AGE]),
];

/// The plural by which the API server knows a kind of Argo's.
#[must_use]
pub fn plural(kind: Kind) -> Option<&'static str> {
    ROWS.iter().find(|(other, ..)| *other == kind).map(|(_, plural, ..)| *plural)
}

/// All definitions, by the name of their kind's plural.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    ROWS.iter().map(|row| (row.1, definition(row))).collect()
}

fn definition((kind, plural, short, columns): &Row) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|(name, kind, path, wide)| {
            let mut column = json!({"name": name, "type": kind, "jsonPath": path});
            if *wide {
                column["priority"] = json!(1);
            }
            column
        })
        .collect();
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": free,
    });
    // Templates have no status, as Argo has it.
    if !matches!(kind, Kind::WorkflowTemplate | Kind::ClusterWorkflowTemplate) {
        properties["status"] = free;
    }
    let version = json!({
        "name": "v1alpha1",
        "served": true,
        "storage": true,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {
            "type": "object",
            "required": ["metadata", "spec"],
            "properties": properties,
        }},
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.argoproj.io")},
        "spec": {
            "group": "argoproj.io",
            "scope": if kind.is_cluster_wide() { "Cluster" } else { "Namespaced" },
            "names": {
                "kind": kind.as_str(),
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.as_str().to_ascii_lowercase(),
                "shortNames": short,
            },
            "versions": [version],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_argos_is_defined() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.api_version().starts_with("argoproj.io/")) {
            let plural = plural(kind).expect("a plural");
            let all = all();
            let (_, definition) = all.iter().find(|(name, _)| *name == plural).expect("a definition");
            assert_eq!(definition["spec"]["names"]["kind"], kind.as_str());
        }
    }
}
