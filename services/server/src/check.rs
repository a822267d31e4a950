//! Checks an object that is to be kept or run, alone and against those that exist.

use serde_json::{Value, json};
use tiphys_manifest::{Diagnostic, Kind, LoadOptions, Object, lint, load};

use crate::error::ApiError;
use crate::state::Shared;

/// What findings call the object's file.
const FILE: &str = "request";

/// The object of this kind that a document holds.
///
/// # Errors
/// Fails with all findings when one is an error.
pub(crate) fn checked(
    shared: &Shared,
    kind: Kind,
    mut document: Value,
    namespace: &str,
) -> Result<Object, ApiError> {
    if let Some(members) = document.as_object_mut() {
        // Argo's client leaves them out: the path says them.
        members.insert("apiVersion".into(), kind.api_version().into());
        members.insert("kind".into(), kind.as_str().into());
        members.remove("status");
        let metadata = members.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut().filter(|_| !namespace.is_empty()) {
            metadata.entry("namespace").or_insert_with(|| namespace.into());
        }
    }
    let loaded = load::load(FILE, &document.to_string(), &LoadOptions::new(namespace));
    let Some(object) = loaded.objects.into_iter().next() else {
        return Err(refused(kind, loaded.diagnostics));
    };
    let mut all = vec![std::sync::Arc::new(object)];
    let same = |there: &Object| {
        (there.kind, &there.namespace, &there.name) == (kind, &all[0].namespace, &all[0].name)
    };
    let others = shared.catalog.snapshot();
    let others: Vec<_> = others.objects.values().filter(|there| !same(there)).cloned().collect();
    all.extend(others);
    let mut findings = loaded.diagnostics;
    if kind == Kind::Workflow {
        // They are submitted often, and nothing of the others is theirs to answer for.
        findings.extend(lint::check_among(&all[0], &all));
    } else {
        findings.extend(lint::check(&all).into_iter().filter(|finding| finding.file == FILE));
    }
    findings.extend(tiphys_executor::lint::check(&all[..1]));
    let object = all.swap_remove(0);
    if findings.iter().any(Diagnostic::is_error) {
        return Err(refused(kind, findings));
    }
    Ok(std::sync::Arc::unwrap_or_clone(object))
}

fn refused(kind: Kind, mut findings: Vec<Diagnostic>) -> ApiError {
    findings.retain(Diagnostic::is_error);
    let told: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}: {} [{}]", finding.path, finding.message, finding.code))
        .collect();
    let message = match told.as_slice() {
        [] => format!("the body holds no {kind}"),
        told => format!("the {kind} was refused: {}", told.join("; ")),
    };
    ApiError { diagnostics: findings, ..ApiError::invalid(message) }
}
