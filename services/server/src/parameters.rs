//! Whether a workflow takes the parameters that a person gives with its submission.
//!
//! Argo adds whatever it is given to the workflow's arguments, so that a misspelt name changes nothing and nobody hears of
//! it. Who asks for `onlyKnownParameters`, as our command line does, has a name refused that is neither declared nor used.
//! Where a template is not to be found, nobody can know what it uses, and nothing is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tiphys_manifest::diagnostic::near;
use tiphys_manifest::{Kind, Object, codes};

use crate::error::ApiError;

/// Refuses parameters that the workflow does not take. `workflow` is as its author wrote it; `find` gives an object by kind
/// and name.
pub(crate) fn check(
    workflow: &Value,
    entrypoint: Option<&str>,
    given: &[(String, String)],
    find: &dyn Fn(Kind, &str) -> Option<Arc<Object>>,
) -> Result<(), ApiError> {
    let spec = &workflow["spec"];
    let Some(called) = called(spec, find).filter(|_| !given.is_empty()) else { return Ok(()) };
    let own = reference(&spec["workflowTemplateRef"]);
    let taken_over = own.and_then(|(kind, name)| find(kind, name));
    let nothing = Value::Null;
    let taken_over = taken_over.as_ref().and_then(|object| object.document.get("spec")).unwrap_or(&nothing);
    let mut names = BTreeSet::new();
    for spec in [spec, taken_over] {
        names.extend(named(&spec["arguments"]));
    }
    let word = |key: &str| spec[key].as_str().or_else(|| taken_over[key].as_str());
    for entry in [entrypoint.or_else(|| word("entrypoint")), word("onExit")].into_iter().flatten() {
        for spec in [spec, taken_over] {
            let templates = spec["templates"].as_array().into_iter().flatten();
            let meant = templates.filter(|template| template["name"].as_str() == Some(entry));
            names.extend(meant.flat_map(|template| named(&template["inputs"])));
            names.extend(named(&spec["templateDefaults"]["inputs"]));
        }
    }
    let mut all = false;
    let specs = called.iter().filter_map(|object| object.document.get("spec"));
    for spec in std::iter::once(spec).chain(specs) {
        each_text(spec, &mut |text| all |= uses(text, &mut names));
    }
    match given.iter().find(|(name, _)| !all && !names.contains(name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(refused(name, &names)),
    }
}

fn refused(name: &str, names: &BTreeSet<&str>) -> ApiError {
    let meant = near(name, names.iter().copied());
    let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
    let known: Vec<&str> = names.iter().copied().collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let code = codes::PARAMETER_UNKNOWN.id;
    ApiError::invalid(format!("the workflow takes no parameter `{name}`{meant}; it takes: {known} [{code}]"))
}

/// The objects whose templates a workflow calls, and theirs; `None` where one is not there.
fn called(spec: &Value, find: &dyn Fn(Kind, &str) -> Option<Arc<Object>>) -> Option<Vec<Arc<Object>>> {
    let mut found: Vec<Arc<Object>> = Vec::new();
    let mut wanted = BTreeSet::new();
    if !references(spec, &mut wanted) {
        return None;
    }
    let mut seen = BTreeSet::new();
    while let Some((kind, name)) = wanted.pop_first() {
        if !seen.insert((kind, name.clone())) {
            continue;
        }
        let object = find(kind, &name)?;
        if !references(object.document.get("spec").unwrap_or(&Value::Null), &mut wanted) {
            return None;
        }
        found.push(object);
    }
    Some(found)
}

/// Gathers what a document refers to; false where a name is only known when it runs.
fn references(document: &Value, wanted: &mut BTreeSet<(Kind, String)>) -> bool {
    match document {
        Value::Object(members) => members.iter().all(|(key, value)| {
            if matches!(key.as_str(), "workflowTemplateRef" | "templateRef") {
                let Some((kind, name)) = reference(value) else { return true };
                wanted.insert((kind, name.to_owned()));
                return !name.contains("{{");
            }
            references(value, wanted)
        }),
        Value::Array(items) => items.iter().all(|item| references(item, wanted)),
        _ => true,
    }
}

fn reference(value: &Value) -> Option<(Kind, &str)> {
    let cluster = value["clusterScope"].as_bool() == Some(true);
    let kind = if cluster { Kind::ClusterWorkflowTemplate } else { Kind::WorkflowTemplate };
    Some((kind, value["name"].as_str()?))
}

/// Names of the parameters in arguments or inputs.
fn named(holder: &Value) -> impl Iterator<Item = &str> {
    let parameters = holder["parameters"].as_array().into_iter().flatten();
    parameters.filter_map(|parameter| parameter["name"].as_str())
}

fn each_text<'a>(value: &'a Value, see: &mut dyn FnMut(&'a str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(members) => members.values().for_each(|member| each_text(member, see)),
        _ => {}
    }
}

/// Gathers the parameters of the workflow that a text uses; true where it may use any of them.
fn uses<'a>(text: &'a str, names: &mut BTreeSet<&'a str>) -> bool {
    let mut any = false;
    for rest in text.split("workflow.parameters").skip(1) {
        let name = rest.strip_prefix('.').unwrap_or_default();
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        match name.get(..end.unwrap_or(name.len())) {
            None | Some("" | "json") => any = true,
            Some(name) => {
                names.insert(name);
            }
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATES: &str = "
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: ship}
spec:
  entrypoint: main
  arguments: {parameters: [{name: version}]}
  templates:
    - name: main
      inputs: {parameters: [{name: target, value: a}]}
      steps: [[{name: tell, templateRef: {name: tools, template: tell}}]]
---
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: tools}
spec:
  templates:
    - name: tell
      inputs: {parameters: [{name: inner, value: a}]}
      container: {image: i, args: ['{{workflow.parameters.channel}}']}
";

    fn told(workflow: &Value, entrypoint: Option<&str>, name: &str) -> Option<String> {
        let loaded = tiphys_manifest::load("f.yaml", TEMPLATES, &tiphys_manifest::LoadOptions::default());
        let objects: Vec<Arc<Object>> = loaded.objects.into_iter().map(Arc::new).collect();
        let find = |kind: Kind, name: &str| {
            objects.iter().find(|object| object.kind == kind && object.name == name).cloned()
        };
        let given = [(name.to_owned(), "1".to_owned())];
        check(workflow, entrypoint, &given, &find).err().map(|error| error.message)
    }

    #[test]
    fn declared_and_used_parameters_are_taken_and_others_are_not() {
        let by_reference = json!({"spec": {"workflowTemplateRef": {"name": "ship"}}});
        for name in ["version", "target", "channel"] {
            assert_eq!(told(&by_reference, None, name), None, "{name}");
        }
        let wrong = told(&by_reference, None, "verison").unwrap();
        assert_eq!(
            wrong,
            "the workflow takes no parameter `verison` (did you mean `version`?); it takes: channel, target, version \
             [TIP-MAN-035]"
        );
        // What an inner template takes comes from who calls it.
        assert!(told(&by_reference, None, "inner").is_some());
        let own = json!({"spec": {"entrypoint": "a", "templates": [
            {"name": "a", "inputs": {"parameters": [{"name": "x"}]}},
            {"name": "b", "inputs": {"parameters": [{"name": "y"}]}}]}});
        assert_eq!((told(&own, None, "x"), told(&own, Some("b"), "y")), (None, None));
        assert!(told(&own, None, "y").unwrap().ends_with("it takes: x [TIP-MAN-035]"));
    }

    #[test]
    fn what_cannot_be_known_is_not_refused() {
        let text =
            |text: &str| json!({"spec": {"templates": [{"name": "a", "container": {"args": [text]}}]}});
        for any in
            ["{{workflow.parameters}}", "{{workflow.parameters.json}}", "{{=workflow.parameters['x']}}"]
        {
            assert_eq!(told(&text(any), None, "x"), None, "{any}");
        }
        assert!(told(&text("{{workflow.parameters.xy}} {{inputs.parameters.x}}"), None, "x").is_some());
        let absent = json!({"spec": {"workflowTemplateRef": {"name": "none"}}});
        assert_eq!(told(&absent, None, "x"), None);
        let by_tag =
            json!({"spec": {"templates": [{"name": "a", "steps": [[{"templateRef": {"name": "{{x}}"}}]]}]}});
        assert_eq!(told(&by_tag, None, "y"), None);
    }
}
