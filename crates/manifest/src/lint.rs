//! Checks across objects: names that lead nowhere, text that is dangerous, constructs that are not run yet.
//!
//! They read the documents, not the types, so that a construct which is only kept is checked as well.

mod bus;
mod event_source;
pub mod process;
mod sensor;
mod set;
pub mod support;
mod tags;
mod workflow;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::load::path::Path;
use crate::object::{Kind, Object};
use set::Set;

/// Checks the objects against each other. What each of them lacks by itself was said by the loader.
#[must_use]
pub fn check(objects: &[Arc<Object>]) -> Vec<Diagnostic> {
    let set = Set::new(objects);
    let mut findings = Vec::new();
    for object in objects {
        check_one(object, &set, &mut findings);
    }
    event_source::claimed_twice(objects, &mut findings);
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    findings
}

/// Checks one object against those that exist; of these nothing is said.
#[must_use]
pub fn check_among(object: &Object, objects: &[Arc<Object>]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    check_one(object, &Set::new(objects), &mut findings);
    findings
}

fn check_one(object: &Object, set: &Set<'_>, findings: &mut Vec<Diagnostic>) {
    let spec = Path::root().key("spec");
    let Some(value) = object.document.get("spec") else {
        return;
    };
    match object.kind {
        Kind::EventSource => event_source::check(object, findings),
        Kind::EventBus => bus::check(object, findings),
        Kind::Sensor => sensor::check(object, set, findings),
        Kind::Workflow | Kind::WorkflowTemplate | Kind::ClusterWorkflowTemplate => {
            workflow::check(object, value, &spec, &object.namespace, set, findings);
            process::check(object, value, &spec, findings);
        }
        Kind::CronWorkflow => {
            if let Some(inner) = value.get("workflowSpec") {
                let path = spec.key("workflowSpec");
                workflow::check(object, inner, &path, &object.namespace, set, findings);
                process::check(object, inner, &path, findings);
            }
        }
        Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount | Kind::PersistentVolumeClaim => {}
    }
}

#[cfg(test)]
mod tests;
