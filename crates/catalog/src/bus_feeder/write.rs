//! Mutations of the catalog: each is recorded with who and why before it is made.

use serde_json::json;
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::Timestamp;
use tiphys_manifest::{Diagnostic, Kind, LoadOptions, Object, diagnostic, load};

use super::record::{FILE, Record, whole};
use crate::error::CatalogError;

/// So often a write is tried again that somebody else overtook.
const MAX_ATTEMPTS: usize = 5;

/// Who mutates, why and when.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Who.
    pub by: &'a str,
    /// Why; may be empty.
    pub reason: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What an apply did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyAction {
    /// It is new.
    Created,
    /// It existed, and says something else now.
    Configured,
    /// It existed, and says the same.
    Unchanged,
}

impl ApplyAction {
    /// As kubectl says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One object that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its revision, by which a reader of the catalog knows it.
    pub revision: String,
    /// What was done.
    pub action: ApplyAction,
}

/// What an apply gives.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The objects, in order of the text.
    pub applied: Vec<Applied>,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Stores the objects of a text; durable when it returns. All of the text is checked before any of it is
/// stored; `strict` refuses it for warnings too.
///
/// # Errors
/// Fails on a text with errors, on a Workflow (which is submitted, not kept), and when the bus does.
pub async fn apply(
    bus: &dyn Bus,
    text: &str,
    namespace: &str,
    strict: bool,
    caller: &Caller<'_>,
) -> Result<Outcome, CatalogError> {
    let mut loaded = load::load(FILE, text, &LoadOptions::new(namespace));
    if strict {
        diagnostic::strict(&mut loaded.diagnostics);
    }
    if loaded.has_errors() {
        return Err(CatalogError::Invalid(loaded.diagnostics));
    }
    if loaded.objects.is_empty() {
        return Err(CatalogError::Empty);
    }
    let kept = |object: &&Object| object.kind == Kind::Workflow || object.name.is_empty();
    if let Some(object) = loaded.objects.iter().find(kept) {
        let (kind, name) = (object.kind, object.name.clone());
        return Err(CatalogError::NotKept { kind, name });
    }
    let mut applied = Vec::new();
    for object in &loaded.objects {
        let action = put(bus, object, caller).await?;
        applied.push(Applied {
            kind: object.kind,
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            revision: object.revision.clone(),
            action,
        });
    }
    Ok(Outcome { applied, diagnostics: loaded.diagnostics })
}

/// Deletes an object that was given by [`apply`]; durable when it returns. Says whether there was one.
///
/// # Errors
/// Fails when the bus does.
pub async fn delete(
    bus: &dyn Bus,
    kind: Kind,
    namespace: &str,
    name: &str,
    caller: &Caller<'_>,
) -> Result<bool, CatalogError> {
    let subject = subject(kind, namespace, name);
    let target = Target { kind, namespace, name };
    for _ in 0..MAX_ATTEMPTS {
        let Some(last) = bus.last(&subject).await? else {
            return Ok(false);
        };
        if matches!(Record::read(&last.payload), Ok(None)) {
            return Ok(false);
        }
        audit(bus, "delete", target, caller).await?;
        let record = Record::new(namespace, None, caller.by, caller.reason, caller.at);
        if write(bus, &subject, &record, last.sequence).await? {
            return Ok(true);
        }
    }
    Err(CatalogError::Contended { kind, name: name.to_owned() })
}

async fn put(bus: &dyn Bus, object: &Object, caller: &Caller<'_>) -> Result<ApplyAction, CatalogError> {
    let subject = subject(object.kind, &object.namespace, &object.name);
    let target = Target { kind: object.kind, namespace: &object.namespace, name: &object.name };
    for _ in 0..MAX_ATTEMPTS {
        let last = bus.last(&subject).await?;
        let sequence = last.as_ref().map_or(0, |last| last.sequence);
        let before = last.and_then(|last| Record::read(&last.payload).ok().flatten());
        let before = before.and_then(|loaded| loaded.objects.into_iter().next());
        let action = match before {
            None => ApplyAction::Created,
            Some(before) if whole(&before) == whole(object) => return Ok(ApplyAction::Unchanged),
            Some(_) => ApplyAction::Configured,
        };
        audit(bus, "apply", target, caller).await?;
        let document = Some(whole(object));
        let record = Record::new(&object.namespace, document, caller.by, caller.reason, caller.at);
        if write(bus, &subject, &record, sequence).await? {
            return Ok(action);
        }
    }
    Err(CatalogError::Contended { kind: object.kind, name: object.name.clone() })
}

#[derive(Clone, Copy)]
struct Target<'a> {
    kind: Kind,
    namespace: &'a str,
    name: &'a str,
}

/// The subject of an object. Cluster-wide kinds have no namespace.
fn subject(kind: Kind, namespace: &str, name: &str) -> String {
    let namespace = if kind.is_cluster_wide() { "" } else { namespace };
    streams::subject(streams::CATALOG, &[kind.as_str(), namespace, name])
}

/// Whether it was stored; else somebody else was first.
async fn write(bus: &dyn Bus, subject: &str, record: &Record, after: u64) -> Result<bool, CatalogError> {
    let bytes = record.bytes().map_err(|reason| BusError::Invalid { reason })?;
    let message = Publish::new(subject, bytes).expect_last(after);
    match bus.publish(message).await {
        Ok(_) => Ok(true),
        Err(BusError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn audit(
    bus: &dyn Bus,
    action: &str,
    target: Target<'_>,
    caller: &Caller<'_>,
) -> Result<(), CatalogError> {
    let record = json!({
        "version": 1,
        "at": caller.at,
        "by": caller.by,
        "reason": caller.reason,
        "action": action,
        "namespace": target.namespace,
        "object": format!("{}/{}", target.kind, target.name),
    });
    let subject = streams::subject(streams::AUDIT, &[target.namespace]);
    bus.publish(Publish::new(subject, record.to_string())).await?;
    Ok(())
}
