//! What is valid and is not run yet: it fails clearly and by name, never in silence. Whoever implements one of
//! these deletes its row.

use tiphys_manifest::workflow::WorkflowSpec;

use crate::definition::TemplateDef;

/// The code of them all.
const CODE: &str = "TIP-EXE-100";

fn told(construct: &str, place: &str) -> String {
    format!("{CODE}: {place} uses {construct}, which is not run yet; remove it, or run this with Argo")
}

/// The first construct of a whole spec that is not run yet.
pub(super) fn of_spec(spec: &WorkflowSpec) -> Option<String> {
    let hook = spec.hooks.keys().any(|name| name != "exit");
    let rows = [
        ("synchronization", spec.synchronization.is_some()),
        ("plugins", !spec.plugins.is_empty()),
        ("hooks other than exit", hook),
    ];
    first(&rows).map(|construct| told(construct, "the workflow"))
}

/// The first construct of a template that is not run yet.
pub(super) fn of_template(def: &TemplateDef) -> Option<String> {
    let template = &def.typed;
    let place = format!("template '{}'", def.name);
    let graph = def.graph.as_ref();
    let hook = graph.is_some_and(|graph| {
        let mut hooks = graph.vertices.iter().flat_map(|v| v.task.hooks.keys());
        hooks.any(|name| name != "exit")
    });
    let rows = [
        ("containerSet", template.container_set.is_some()),
        ("http", template.http.is_some()),
        ("plugin", template.plugin.is_some()),
        ("data", template.data.is_some()),
        ("synchronization", template.synchronization.is_some()),
        ("memoize", template.memoize.is_some()),
        ("hooks other than exit", hook),
    ];
    if let Some(construct) = first(&rows) {
        return Some(told(construct, &place));
    }
    let runs = template.container.is_some() || template.script.is_some() || template.resource.is_some();
    if !runs && graph.is_none() && template.suspend.is_none() {
        return Some(format!(
            "{place} has nothing to run: give it a container, script, resource, steps, dag or suspend"
        ));
    }
    None
}

/// Constructs of a spec that change nothing here; named as a condition of the workflow.
pub(crate) fn ignored(spec: &WorkflowSpec) -> Vec<&'static str> {
    let rows = [("metrics", spec.metrics.is_some())];
    let used = rows.into_iter().filter(|(_, used)| *used);
    used.map(|(name, _)| name).collect()
}

fn first(rows: &[(&'static str, bool)]) -> Option<&'static str> {
    rows.iter().find(|(_, used)| *used).map(|(name, _)| *name)
}
