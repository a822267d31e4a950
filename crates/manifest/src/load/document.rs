//! One document: is it an object that is read here, what is it called, what does it say.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use tiphys_core::id::{digest, uuid};

use super::path::Path;
use super::places::Places;
use super::{LoadOptions, local, typed};
use crate::codes;
use crate::diagnostic::{Diagnostic, near};
use crate::local::{PersistentVolumeClaim, ServiceAccount};
use crate::object::{Kind, Object, Spec};

/// Metadata that machines write: it does not make an object another one.
const MACHINE_METADATA: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "selfLink", "uid"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads a document. `None`: it is no object that is read here, or it has an error; either is reported.
pub(super) fn read(
    document: Value,
    places: &Places,
    options: &LoadOptions,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Object> {
    let kind = match kind_of(&document, places) {
        Ok(kind) => kind,
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            return None;
        }
    };
    let name_given = text(&document, "name");
    let shown = if name_given.is_empty() { text(&document, "generateName") } else { name_given };
    let places = places.clone().named(format!("{kind}/{shown}"));
    let before = diagnostics.iter().filter(|d| d.is_error()).count();
    unknown_top(&document, kind, &places, diagnostics);
    let metadata = metadata(&document, kind, &places, diagnostics);
    let spec = spec(&document, kind, &places, diagnostics);
    let (metadata, spec) = (metadata?, spec?);
    if diagnostics.iter().filter(|d| d.is_error()).count() > before {
        return None;
    }
    Some(assemble(document, kind, metadata, spec, places, options))
}

fn assemble(
    mut document: Value,
    kind: Kind,
    metadata: ObjectMeta,
    spec: Spec,
    places: Places,
    options: &LoadOptions,
) -> Object {
    let namespace = metadata.namespace.filter(|n| !n.is_empty()).unwrap_or_else(|| options.namespace.clone());
    let name = metadata.name.unwrap_or_default();
    let generate_name = metadata.generate_name.unwrap_or_default();
    let uid = metadata.uid.filter(|u| !u.is_empty()).unwrap_or_else(|| {
        let scope = if kind.is_cluster_wide() { "" } else { &namespace };
        uuid(&[kind.as_str(), scope, &name, &generate_name])
    });
    let revision = revision(&document);
    let mut annotations = metadata.annotations.unwrap_or_default();
    if kind == Kind::Secret {
        annotations.remove(LAST_APPLIED);
        without_secrets(&mut document);
    }
    Object {
        kind,
        namespace,
        name,
        generate_name,
        labels: metadata.labels.unwrap_or_default(),
        annotations,
        uid,
        revision,
        file: places.file().to_owned(),
        line: places.find(&Path::root().key("kind")).line,
        document,
        spec,
        places,
    }
}

/// Leaves of a Secret's document what is known to be none: a misspelt `stringData` holds secrets too.
fn without_secrets(document: &mut Value) {
    const SHOWN: [&str; 5] = ["apiVersion", "kind", "metadata", "type", "immutable"];
    let Some(map) = document.as_object_mut() else {
        return;
    };
    map.retain(|key, _| SHOWN.contains(&key.as_str()));
    let annotations = map.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        // It repeats the whole Secret.
        annotations.shift_remove(LAST_APPLIED);
    }
}

fn kind_of(document: &Value, places: &Places) -> Result<Kind, Box<Diagnostic>> {
    let field = |name| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (field("apiVersion"), field("kind"));
    if kind.is_empty() || api_version.is_empty() {
        let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
        let kind_known = kind.parse::<Kind>().ok();
        let help = kind_known.map_or_else(
            || "an object begins with `apiVersion:` and `kind:`".to_owned(),
            |kind| format!("add `apiVersion: {}`", kind.api_version()),
        );
        let code = if kind_known.is_some() || api_version.starts_with("argoproj.io/") {
            codes::API_VERSION
        } else {
            codes::NOT_AN_OBJECT
        };
        let message = format!("the document has no `{missing}`, so it is skipped");
        return Err(Box::new(places.at_value(code, &Path::root(), message, help)));
    }
    let ours = api_version == "v1" || api_version.starts_with("argoproj.io/");
    match kind.parse::<Kind>() {
        Ok(known) if known.api_version() == api_version => Ok(known),
        Ok(known) if ours => Err(Box::new(places.at_value(
            codes::API_VERSION,
            &Path::root().key("apiVersion"),
            format!("{kind} stands under `{}`, not `{api_version}`", known.api_version()),
            format!("write `apiVersion: {}`", known.api_version()),
        ))),
        _ => {
            let names = Kind::ALL.map(Kind::as_str);
            let near = near(kind, names).filter(|_| api_version.starts_with("argoproj.io/"));
            let mut code = codes::KIND_NOT_READ;
            let help = near
                .map_or_else(|| "it has no effect here".to_owned(), |near| format!("did you mean `{near}`?"));
            if near.is_some() {
                code.severity = crate::Severity::Error;
            }
            Err(Box::new(places.at_value(
                code,
                &Path::root().key("kind"),
                format!("objects of kind {kind} ({api_version}) are not read; it is skipped"),
                help,
            )))
        }
    }
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    let metadata = document.get("metadata");
    let value = metadata.and_then(|metadata| metadata.get(field));
    value.and_then(Value::as_str).unwrap_or_default()
}

fn unknown_top(document: &Value, kind: Kind, places: &Places, diagnostics: &mut Vec<Diagnostic>) {
    let more: &[&str] = match kind {
        Kind::ConfigMap => &["data", "binaryData", "immutable"],
        Kind::Secret => &["data", "stringData", "type", "immutable"],
        Kind::ServiceAccount => &["secrets", "imagePullSecrets", "automountServiceAccountToken"],
        _ => &["spec", "status"],
    };
    let known: Vec<&str> = ["apiVersion", "kind", "metadata"].iter().chain(more).copied().collect();
    let keys = document.as_object().into_iter().flat_map(|map| map.keys());
    for key in keys.filter(|key| !known.contains(&key.as_str())) {
        diagnostics.push(places.at_key(
            codes::UNKNOWN_FIELD,
            &Path::root().key(key.clone()),
            format!("there is no field `{key}` here, so it has no effect"),
            typed::suggest(key, &known),
        ));
    }
}

fn metadata(
    document: &Value,
    kind: Kind,
    places: &Places,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ObjectMeta> {
    let path = Path::root().key("metadata");
    let mut metadata: ObjectMeta = match document.get("metadata") {
        None | Some(Value::Null) => ObjectMeta::default(),
        Some(value) => typed::read(value, &path, places, diagnostics)?,
    };
    let name = metadata.name.clone().unwrap_or_default();
    let generate = metadata.generate_name.clone().unwrap_or_default();
    if name.is_empty() && generate.is_empty() {
        let code = if kind == Kind::Workflow {
            metadata.generate_name = Some("workflow-".into());
            codes::UNNAMED_WORKFLOW
        } else {
            codes::NO_NAME
        };
        diagnostics.push(places.at_key(
            code,
            &path.key("name"),
            "the object has no name".into(),
            "add `metadata.name`".into(),
        ));
    }
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let fields = [
        ("name", name.as_str()),
        ("generateName", generate.trim_end_matches(['-', '.'])),
        ("namespace", namespace.as_str()),
    ];
    for (field, value) in fields {
        if !value.is_empty() && !is_name(value) {
            diagnostics.push(places.at_value(
                codes::NO_NAME,
                &path.key(field),
                format!("`{value}` cannot be a {field}"),
                "use lower-case letters, digits, `-` and `.`, at most 253".into(),
            ));
        }
    }
    Some(metadata)
}

/// Whether Kubernetes takes this as a name.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.chars().all(inner) && name.starts_with(outer) && name.ends_with(outer)
}

fn spec(document: &Value, kind: Kind, places: &Places, diagnostics: &mut Vec<Diagnostic>) -> Option<Spec> {
    let path = Path::root().key("spec");
    match kind {
        Kind::ConfigMap => {
            return local::config_map(document, places, diagnostics).map(Spec::ConfigMap);
        }
        Kind::Secret => return local::secret(document, places, diagnostics).map(Spec::Secret),
        Kind::ServiceAccount => return Some(Spec::ServiceAccount(ServiceAccount {})),
        Kind::PersistentVolumeClaim => {
            return Some(Spec::PersistentVolumeClaim(PersistentVolumeClaim {}));
        }
        _ => {}
    }
    let Some(value) = document.get("spec").filter(|spec| !spec.is_null()) else {
        diagnostics.push(places.at_key(
            codes::NO_SPEC,
            &path,
            format!("the {kind} has no `spec`"),
            "add it, and indent what belongs to it".into(),
        ));
        return None;
    };
    macro_rules! read {
        ($variant:ident) => {
            typed::read(value, &path, places, diagnostics).map(|spec| Spec::$variant(Box::new(spec)))
        };
    }
    match kind {
        Kind::EventSource => read!(EventSource),
        Kind::EventBus => read!(EventBus),
        Kind::Sensor => read!(Sensor),
        Kind::Workflow => read!(Workflow),
        Kind::WorkflowTemplate => read!(WorkflowTemplate),
        Kind::ClusterWorkflowTemplate => read!(ClusterWorkflowTemplate),
        Kind::CronWorkflow => read!(CronWorkflow),
        _ => None,
    }
}

/// Hash over what a person wrote. The order of keys does not matter.
fn revision(document: &Value) -> String {
    let mut plain = document.clone();
    if let Some(map) = plain.as_object_mut() {
        map.shift_remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in MACHINE_METADATA {
                metadata.shift_remove(field);
            }
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.shift_remove(LAST_APPLIED);
            }
        }
    }
    let mut parts = String::new();
    canonical(&plain, &mut parts);
    digest(&[&parts], 16)
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
