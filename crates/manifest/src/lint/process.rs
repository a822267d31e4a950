//! What a manifest says of pods, and a process of the host is not given. Steps that run as processes do so because the
//! manifest opts in, so its author is told once.

use serde_json::Value;

use super::set::{list, text};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::load::path::Path;
use crate::object::Object;

/// The annotation by which a manifest lets its steps run on the host.
const LAUNCHER: &str = "tiphys.dev/launcher";

/// Options of a pod or its main container that change nothing where the step is a process. `docs/launchers/process.md` has
/// the same list, by a test.
pub const WITHOUT_EFFECT: [&str; 24] = [
    "affinity",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "lifecycle",
    "livenessProbe",
    "nodeSelector",
    "podPriority",
    "podPriorityClassName",
    "podResources",
    "podSpecPatch",
    "ports",
    "priority",
    "priorityClassName",
    "readinessProbe",
    "resources",
    "restartPolicy",
    "schedulerName",
    "securityContext",
    "startupProbe",
    "stdin",
    "terminationMessagePath",
    "tolerations",
    "tty",
];

/// Reports the options of a workflow's spec at `path` that its processes are not given, in one finding.
pub(super) fn check(object: &Object, spec: &Value, path: &Path, findings: &mut Vec<Diagnostic>) {
    let whole = object.annotations.get(LAUNCHER).map(String::as_str);
    let whole = whole.or_else(|| annotated(spec.get("podMetadata")));
    let mut found: Vec<(&str, Path)> = Vec::new();
    let mut some = false;
    for (index, template) in list(spec, "templates").iter().enumerate() {
        let kinds =
            ["container", "script"].map(|kind| (kind, template.get(kind).filter(|one| one.is_object())));
        let is_pod = kinds.iter().any(|(_, container)| container.is_some());
        if !is_pod || annotated(template.get("metadata")).or(whole) != Some("process") {
            continue;
        }
        some = true;
        let path = path.key("templates").index(index);
        gather(template, &path, &mut found);
        for (kind, container) in kinds {
            gather(container.unwrap_or(&Value::Null), &path.key(kind), &mut found);
        }
    }
    if some {
        gather(spec, path, &mut found);
    }
    let Some((_, first)) = found.first() else { return };
    let mut names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    findings.push(object.places.at_key(
        codes::NOT_ON_PROCESSES,
        first,
        format!("the steps run as processes of the host, where these have no effect: {}", names.join(", ")),
        "leave them out, or run the steps in containers or pods; see docs/launchers/process.md".into(),
    ));
}

/// What an annotation of this metadata says.
fn annotated(metadata: Option<&Value>) -> Option<&str> {
    let annotations = metadata?.get("annotations")?;
    Some(text(annotations, LAUNCHER)).filter(|launcher| !launcher.is_empty())
}

fn gather(holder: &Value, path: &Path, found: &mut Vec<(&'static str, Path)>) {
    for name in WITHOUT_EFFECT {
        let said = match holder.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        if said {
            found.push((name, path.key(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::load::{LoadOptions, load};

    fn told(text: &str) -> Vec<String> {
        let loaded = load("f.yaml", text, &LoadOptions::default());
        let objects: Vec<_> = loaded.objects.into_iter().map(Arc::new).collect();
        let findings = crate::lint::check(&objects).into_iter().filter(|one| one.code == "TIP-MAN-036");
        findings.map(|one| format!("{}:{} {}", one.line, one.column, one.message)).collect()
    }

    const WORKFLOW: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w, annotations: {tiphys.dev/launcher: process}}
spec:
  entrypoint: a
  nodeSelector: {disk: ssd}
  serviceAccountName: somebody
  templates:
    - name: a
      podSpecPatch: '{}'
      container:
        image: i
        command: [x]
        securityContext: {runAsUser: 1}
        resources: {}
    - name: b
      metadata: {annotations: {tiphys.dev/launcher: docker}}
      container: {image: i, command: [x], tty: true}
    - name: c
      suspend: {}
";

    #[test]
    fn what_processes_are_not_given_is_told_once() {
        let words = "the steps run as processes of the host, where these have no effect: ";
        assert_eq!(told(WORKFLOW), [format!("11:7 {words}nodeSelector, podSpecPatch, securityContext")]);
        // Without the workflow's own word none of its steps is a process.
        assert_eq!(
            told(&WORKFLOW.replace(", annotations: {tiphys.dev/launcher: process}", "")),
            Vec::<String>::new()
        );
        // One template may opt in alone; what the workflow says concerns it, too.
        let one = WORKFLOW.replace("launcher: process", "launcher: docker").replacen(
            "launcher: docker}}\n      container",
            "launcher: process}}\n      container",
            1,
        );
        assert_eq!(told(&one), [format!("19:43 {words}nodeSelector, tty")]);
        let cron = "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {name: c, annotations: {\
            tiphys.dev/launcher: process}}\nspec:\n  schedule: '@daily'\n  workflowSpec:\n    entrypoint: a\n    \
            tolerations: [{key: a}]\n    templates: [{name: a, script: {image: i, source: x}}]\n";
        assert_eq!(told(cron), [format!("8:5 {words}tolerations")]);
    }
}
