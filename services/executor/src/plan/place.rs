//! Where artifacts come from and go to: their key in the executor's own folder, or a location.

use serde_json::Value;
use tiphys_manifest::workflow::Artifact;

use crate::artifact::{Location, Place};
use crate::definition::TemplateDef;
use crate::launcher::Archive;
use crate::scope::Scope;
use crate::substitute;

/// The key of a place that the manifest names; `kind` is its member. Tags are replaced once, in all its texts.
pub(super) fn named(scope: &Scope<'_>, kind: &str, written: &Value) -> Result<String, String> {
    let place = Place::of(kind, &substitute::tree(scope, written)?)?;
    if !place.names_store() {
        return in_repository(scope, place.key());
    }
    let place = completed(scope, place);
    match place.missing() {
        Some(member) => Err(format!("{kind}.{member} is missing: give it, or only the key")),
        None if place.key().is_empty() => Err(format!("{kind} has no key")),
        None => located(scope, place),
    }
}

/// A place that names its bucket and not how it is reached takes that from the workflow's repository, if that is the
/// same kind of store.
fn completed(scope: &Scope<'_>, place: Place) -> Place {
    let repository = scope.state.repository.as_ref().and_then(|repository| repository.place.as_ref());
    match (place, repository) {
        (Place::S3(own), Some(Place::S3(given))) if own.endpoint.is_empty() => {
            let mut whole = given.clone();
            whole.bucket = own.bucket;
            whole.key = own.key;
            Place::S3(whole)
        }
        (place, _) => place,
    }
}

/// A key in the workflow's repository.
fn in_repository(scope: &Scope<'_>, key: &str) -> Result<String, String> {
    let key = key.trim_start_matches('/');
    if key.is_empty() {
        return Err("it has no key".into());
    }
    match scope.state.repository.as_ref().and_then(|repository| repository.place.clone()) {
        Some(place) => located(scope, place.with_key(key)),
        None => Ok(format!("{}/{key}", scope.state.submission.namespace)),
    }
}

fn located(scope: &Scope<'_>, place: Place) -> Result<String, String> {
    Location { namespace: scope.state.submission.namespace.clone(), place }.text()
}

/// Where an output artifact goes: where it says itself, else below the folder of its pod. `pod` is its name.
pub(super) fn of_output(
    scope: &Scope<'_>,
    def: &TemplateDef,
    artifact: &Artifact,
    pod: &str,
) -> Result<String, String> {
    let file = format!("{}{}", artifact.name, archive_of(artifact)?.suffix());
    match artifact.location() {
        Some(("git", _)) => Err("nothing is stored in a git repository: use s3, or only a key".into()),
        Some((kind, written)) if kind == "http" || has_key(kind, written) => named(scope, kind, written),
        // The store is its own, the key is made.
        Some((kind, written)) => {
            let mut written = written.clone();
            let folder = folder(scope, pod)?;
            if let Some(members) = written.as_object_mut() {
                members.insert(key_of(kind).into(), format!("{folder}/{file}").into());
            }
            named(scope, kind, &written)
        }
        None => of_template(scope, def, pod, &file),
    }
}

/// Where the log of a pod goes.
pub(super) fn of_log(scope: &Scope<'_>, def: &TemplateDef, pod: &str) -> Result<String, String> {
    of_template(scope, def, pod, "main.log")
}

/// A file below the folder of a pod, in the template's own store or the workflow's.
fn of_template(scope: &Scope<'_>, def: &TemplateDef, pod: &str, file: &str) -> Result<String, String> {
    let own = def.json.get("archiveLocation").and_then(Value::as_object);
    let own = own.into_iter().flatten().find(|(kind, place)| *kind != "archiveLogs" && place.is_object());
    let Some((kind, written)) = own else {
        return in_repository(scope, &format!("{}/{file}", folder(scope, pod)?));
    };
    let mut written = substitute::tree(scope, written)?;
    let given = written[key_of(kind)].as_str().map(|key| key.trim_end_matches('/').to_owned());
    let folder = match given.filter(|key| !key.is_empty()) {
        Some(given) => given,
        None => folder(scope, pod)?,
    };
    written[key_of(kind)] = format!("{folder}/{file}").into();
    let place = completed(scope, Place::of(kind, &written)?);
    if !place.names_store() {
        return in_repository(scope, place.key());
    }
    match place.missing() {
        Some(member) => Err(format!("archiveLocation.{kind}.{member} is missing: give it, or only the key")),
        None => located(scope, place),
    }
}

/// The folder of a pod's artifacts in the store.
fn folder(scope: &Scope<'_>, pod: &str) -> Result<String, String> {
    let Some(repository) = &scope.state.repository else {
        return Ok(format!("{}/{pod}", scope.state.submission.name));
    };
    let folder = substitute::required(scope, &repository.format);
    let folder = folder.map_err(|why| format!("keyFormat `{}`: {why}", repository.format))?;
    Ok(folder.trim_matches('/').to_owned())
}

fn key_of(kind: &str) -> &'static str {
    if kind == "azure" { "blob" } else { "key" }
}

fn has_key(kind: &str, written: &Value) -> bool {
    written[key_of(kind)].as_str().is_some_and(|key| !key.is_empty())
}

/// How an artifact is packed.
pub(super) fn archive_of(artifact: &Artifact) -> Result<Archive, String> {
    let Some(archive) = artifact.archive.as_ref().filter(|archive| !archive.is_null()) else {
        return Ok(Archive::Tar);
    };
    let given = |member: &str| archive.get(member).filter(|value| !value.is_null());
    if given("none").is_some() {
        return Ok(Archive::None);
    }
    if given("zip").is_some() {
        return Ok(Archive::Zip);
    }
    match given("tar").and_then(|tar| tar.get("compressionLevel")).filter(|level| !level.is_null()) {
        None => Ok(Archive::Tar),
        Some(level) => match level.as_i64() {
            Some(-1) => Ok(Archive::Tar),
            // Go's "Huffman only" has no like here; the fastest level comes nearest.
            Some(-2) => Ok(Archive::TarLevel(1)),
            Some(number @ 0..=9) => Ok(Archive::TarLevel(u32::try_from(number).unwrap_or(9))),
            _ => Err(format!("archive.tar.compressionLevel {level} is none of -2 to 9")),
        },
    }
}
