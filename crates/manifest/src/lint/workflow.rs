//! Workflows and their templates: do references lead somewhere, do tags name something, is text spliced into
//! commands.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sensor::meant;
use super::set::{Set, list, text};
use super::{support, tags};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::load::path::Path;
use crate::object::{Kind, Object};

/// What the checks of one spec share.
struct Check<'a, 'b> {
    object: &'a Object,
    /// Where templates are looked for that a reference names.
    namespace: &'a str,
    set: &'a Set<'a>,
    /// Names of the spec's own templates, and of those it takes over by `workflowTemplateRef`.
    templates: BTreeSet<&'a str>,
    /// Whether all templates are known: none comes from an object that is not there.
    complete: bool,
    findings: &'b mut Vec<Diagnostic>,
}

/// Checks the spec that stands at `path` of `object`.
pub(super) fn check(
    object: &Object,
    spec: &Value,
    path: &Path,
    namespace: &str,
    set: &Set<'_>,
    findings: &mut Vec<Diagnostic>,
) {
    let own = list(spec, "templates");
    let mut check = Check {
        object,
        namespace,
        set,
        templates: own.iter().map(|template| text(template, "name")).collect(),
        complete: true,
        findings,
    };
    support::check(support::Where::Workflow, object, spec, path, check.findings);
    check.taken_over(spec, path);
    for key in ["entrypoint", "onExit"] {
        check.local(text(spec, key), &path.key(key));
    }
    check.hooks(spec, path);
    let mut seen = BTreeSet::new();
    for (index, template) in own.iter().enumerate() {
        let path = path.key("templates").index(index);
        let name = text(template, "name");
        if !seen.insert(name) {
            check.report(
                codes::DEPENDENCY_TWICE,
                &path.key("name"),
                format!("two templates are named `{name}`"),
                "rename one of them".into(),
            );
        }
        check.template(template, &path, spec.get("templateDefaults"));
    }
}

impl<'a> Check<'a, '_> {
    fn report(&mut self, code: codes::Code, path: &Path, message: String, help: String) {
        let finding = self.object.places.at_value(code, path, message, help);
        self.findings.push(finding);
    }

    /// `workflowTemplateRef`: its templates are as if they stood here.
    fn taken_over(&mut self, spec: &Value, path: &Path) {
        let Some(reference) = spec.get("workflowTemplateRef").filter(|r| !r.is_null()) else {
            return;
        };
        match self.referenced(reference, &path.key("workflowTemplateRef")) {
            Some(found) => {
                let spec = found.document.get("spec").unwrap_or(&Value::Null);
                let names = list(spec, "templates").iter();
                self.templates.extend(names.map(|template| text(template, "name")));
            }
            None => self.complete = false,
        }
    }

    /// The object that a reference names; a missing one is reported.
    fn referenced(&mut self, reference: &Value, path: &Path) -> Option<&'a Object> {
        let name = text(reference, "name");
        let (kind, namespace) = match reference.get("clusterScope") {
            Some(Value::Bool(true)) => (Kind::ClusterWorkflowTemplate, ""),
            _ => (Kind::WorkflowTemplate, self.namespace),
        };
        if name.is_empty() || name.contains("{{") {
            return None;
        }
        let set = self.set;
        let found = set.get(kind, namespace, name);
        if found.is_none() {
            let known = set.names(kind, namespace);
            self.report(
                codes::WORKFLOW_TEMPLATE_MISSING,
                &path.key("name"),
                format!("there is no {kind} `{name}` among the objects given"),
                meant(name, &known, "add it, or correct the name"),
            );
        }
        found
    }

    /// A template of this spec, by name.
    fn local(&mut self, name: &str, path: &Path) {
        let known = name.is_empty() || name.contains("{{") || self.templates.contains(name);
        if known || !self.complete {
            return;
        }
        let all: Vec<&str> = self.templates.iter().copied().collect();
        let help = meant(name, &all, "add it, or correct the name");
        self.report(codes::TEMPLATE_MISSING, path, format!("there is no template `{name}` here"), help);
    }

    /// A template of another object.
    fn foreign(&mut self, reference: &Value, path: &Path) {
        let template = text(reference, "template");
        let Some(found) = self.referenced(reference, path) else {
            return;
        };
        let spec = found.document.get("spec").unwrap_or(&Value::Null);
        let names: Vec<&str> =
            list(spec, "templates").iter().map(|template| text(template, "name")).collect();
        // What it takes over itself is judged where it is run.
        let open = spec.get("workflowTemplateRef").is_some() || template.contains("{{");
        if open || template.is_empty() || names.contains(&template) {
            return;
        }
        let message = format!("{} `{}` has no template `{template}`", found.kind, found.name);
        let help = meant(template, &names, "add it there, or correct the name");
        self.report(codes::TEMPLATE_MISSING, &path.key("template"), message, help);
    }

    fn template(&mut self, template: &Value, path: &Path, defaults: Option<&Value>) {
        support::check(support::Where::Template, self.object, template, path, self.findings);
        for side in ["inputs", "outputs"] {
            let artifacts = template.get(side).unwrap_or(&Value::Null);
            for (index, artifact) in list(artifacts, "artifacts").iter().enumerate() {
                let path = path.key(side).key("artifacts").index(index);
                support::check(support::Where::Artifact, self.object, artifact, &path, self.findings);
            }
        }
        let mut calls = Vec::new();
        for (group, steps) in list(template, "steps").iter().enumerate() {
            let path = path.key("steps").index(group);
            match steps {
                Value::Array(steps) => {
                    let steps = steps.iter().enumerate();
                    calls.extend(steps.map(|(index, step)| (step, path.index(index))));
                }
                step => calls.push((step, path)),
            }
        }
        if let Some(dag) = template.get("dag") {
            let path = path.key("dag").key("tasks");
            let tasks = list(dag, "tasks").iter().enumerate();
            calls.extend(tasks.map(|(index, task)| (task, path.index(index))));
        }
        let names: Vec<&str> = calls.iter().map(|(call, _)| text(call, "name")).collect();
        tags::check(self.object, template, path, defaults, &names, self.findings);
        for (call, path) in calls {
            self.call(call, &path, defaults);
        }
    }

    /// A step or task.
    fn call(&mut self, call: &Value, path: &Path, defaults: Option<&Value>) {
        support::check(support::Where::Call, self.object, call, path, self.findings);
        self.local(text(call, "template"), &path.key("template"));
        self.local(text(call, "onExit"), &path.key("onExit"));
        if let Some(reference) = call.get("templateRef").filter(|r| !r.is_null()) {
            self.foreign(reference, &path.key("templateRef"));
        }
        if let Some(inline) = call.get("inline").filter(|inline| !inline.is_null()) {
            self.template(inline, &path.key("inline"), defaults);
        }
        self.hooks(call, path);
    }

    fn hooks(&mut self, holder: &Value, path: &Path) {
        let hooks = holder.get("hooks").and_then(Value::as_object);
        for (name, hook) in hooks.into_iter().flatten() {
            let path = path.key("hooks").key(name.clone());
            self.local(text(hook, "template"), &path.key("template"));
            if let Some(reference) = hook.get("templateRef").filter(|r| !r.is_null()) {
                self.foreign(reference, &path.key("templateRef"));
            }
        }
    }
}
