//! Handing a workflow to the executor: once per firing, decided by the name.

use serde_json::{Map, Value as Json, json};
use tiphys_bus::{BusError, Publish, streams};
use tiphys_core::trace::ANNOTATION;
use tiphys_core::workflow::{Submission, WorkflowRecord};

use super::Context;
use crate::error::Error;
use crate::ledger::Effect;

/// Annotation by which an author says what happens when a fixed name is taken.
pub(super) const NAME_POLICY: &str = "tiphys.dev/name-policy";

/// What the trigger wants beyond the resource itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Replaces `metadata.name`.
    pub(super) name: Option<String>,
    /// Replaces `metadata.generateName`.
    pub(super) generate_name: Option<String>,
    /// Replaces `spec.entrypoint`.
    pub(super) entrypoint: Option<String>,
    /// Replaces `spec.serviceAccountName`.
    pub(super) service_account: Option<String>,
    /// Added labels.
    pub(super) labels: Vec<(String, String)>,
    /// Set parameters, by name.
    pub(super) parameters: Vec<(String, String)>,
    /// Namespace instead of the resource's.
    pub(super) namespace: Option<String>,
}

/// Submits. The same firing finds its own workflow there, and has succeeded.
pub(super) async fn submit(context: &Context<'_>, mut workflow: Json, wish: &Wish) -> Result<Effect, Error> {
    shape(&mut workflow, wish)?;
    let firing = context.firing;
    let metadata = object(&mut workflow, "metadata")?;
    let namespace = wish.namespace.clone().or_else(|| text(metadata, "namespace"));
    let namespace = namespace.unwrap_or_else(|| firing.namespace.clone());
    let short = &firing.id.0[..firing.id.0.len().min(16)];
    let fixed = text(metadata, "name");
    let policy = metadata.get("annotations").and_then(|a| a.get(NAME_POLICY)).and_then(Json::as_str);
    let policy = policy.unwrap_or_default().to_owned();
    let name = match (&fixed, text(metadata, "generateName")) {
        (Some(name), _) if policy == "suffix" => format!("{name}-{short}"),
        (Some(name), _) => name.clone(),
        (None, Some(prefix)) => format!("{prefix}{short}"),
        (None, None) => {
            return Err(Error::Template(
                "the workflow has neither `metadata.name` nor `metadata.generateName`".into(),
            ));
        }
    };
    metadata.insert("name".into(), name.clone().into());
    metadata.insert("namespace".into(), namespace.clone().into());
    label(context, nested(metadata, "labels")?);
    if let Some(trace) = context.trace {
        // The author's own comes first.
        nested(metadata, "annotations")?.entry(ANNOTATION).or_insert_with(|| trace.into());
    }
    // Derived from the firing, so that a retry gives the same one.
    let uid = tiphys_core::id::uuid(&["workflow", &firing.id.0]);
    let record = WorkflowRecord::Submitted(Submission {
        version: 1,
        uid: uid.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        workflow,
        at: context.now,
        by: format!("sensor/{}/{}", firing.namespace, firing.sensor),
        firing: Some(firing.id.clone()),
    });
    hand_over(context, &record, Effect::Workflow { namespace, name, uid }, &policy).await
}

async fn hand_over(
    context: &Context<'_>,
    record: &WorkflowRecord,
    effect: Effect,
    policy: &str,
) -> Result<Effect, Error> {
    let Effect::Workflow { namespace, name, .. } = &effect else { return Ok(effect) };
    let subject = streams::subject(streams::WORKFLOWS, &[namespace, name]);
    let payload = serde_json::to_vec(record)
        .map_err(|error| Error::Template(format!("the workflow cannot be encoded: {error}")))?;
    match context.bus.publish(Publish::new(&subject, payload).expect_last(0)).await {
        Ok(_) => return Ok(effect),
        Err(BusError::Conflict { .. }) => {}
        Err(error) => return Err(Error::Bus(error)),
    }
    let first = context.bus.read(streams::WORKFLOWS, &subject, 1, 1).await.map_err(Error::Bus)?;
    let Some(first) = first.first() else {
        return Err(Error::Unavailable(format!("workflow `{namespace}/{name}` was just deleted")));
    };
    match serde_json::from_slice(&first.payload) {
        Ok(WorkflowRecord::Submitted(there)) if there.firing.as_ref() == Some(&context.firing.id) => {
            Ok(Effect::Workflow { namespace: there.namespace, name: there.name, uid: there.uid })
        }
        _ if policy == "skip" => Ok(Effect::Skipped {
            reason: format!("workflow `{namespace}/{name}` exists, and its name policy is `skip`"),
        }),
        _ => Err(Error::Taken(format!(
            "workflow `{namespace}/{name}` exists already; delete it and retry the dead letter, or use \
             `generateName`, or set the annotation `{NAME_POLICY}: suffix` (or `skip`) on the workflow"
        ))),
    }
}

/// Applies what the trigger wants to the manifest.
fn shape(workflow: &mut Json, wish: &Wish) -> Result<(), Error> {
    let metadata = object(workflow, "metadata")?;
    if let Some(name) = &wish.name {
        metadata.insert("name".into(), name.clone().into());
    }
    if let Some(prefix) = &wish.generate_name {
        metadata.insert("generateName".into(), prefix.clone().into());
        metadata.remove("name");
    }
    for (key, value) in &wish.labels {
        nested(metadata, "labels")?.insert(key.clone(), value.clone().into());
    }
    let spec = object(workflow, "spec")?;
    if let Some(entrypoint) = &wish.entrypoint {
        spec.insert("entrypoint".into(), entrypoint.clone().into());
    }
    if let Some(account) = &wish.service_account {
        spec.insert("serviceAccountName".into(), account.clone().into());
    }
    for (name, value) in &wish.parameters {
        set_parameter(nested(spec, "arguments")?, name, value);
    }
    Ok(())
}

fn set_parameter(arguments: &mut Map<String, Json>, name: &str, value: &str) {
    let list = arguments.entry("parameters").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let named = |parameter: &&mut Json| parameter.get("name").and_then(Json::as_str) == Some(name);
    match list.iter_mut().find(named).and_then(Json::as_object_mut) {
        Some(there) => {
            there.insert("value".into(), value.into());
        }
        None => list.push(json!({"name": name, "value": value})),
    }
}

pub(super) fn label(context: &Context<'_>, labels: &mut Map<String, Json>) {
    let firing = context.firing;
    let stamp = context.now.as_millisecond().to_string();
    for (key, value) in [
        ("events.argoproj.io/sensor", firing.sensor.as_str()),
        ("events.argoproj.io/trigger", firing.trigger.as_str()),
        ("events.argoproj.io/action-timestamp", stamp.as_str()),
        ("tiphys.dev/firing", firing.id.0.as_str()),
    ] {
        labels.insert(key.into(), value.into());
    }
}

/// The member `key` of a document, an object; made if absent or null.
pub(super) fn object<'a>(of: &'a mut Json, key: &str) -> Result<&'a mut Map<String, Json>, Error> {
    match of {
        Json::Object(map) => nested(map, key),
        _ => Err(Error::Template("the workflow is no object".into())),
    }
}

pub(super) fn nested<'a>(
    of: &'a mut Map<String, Json>,
    key: &str,
) -> Result<&'a mut Map<String, Json>, Error> {
    let slot = of.entry(key).or_insert(Json::Null);
    if slot.is_null() {
        *slot = Json::Object(Map::new());
    }
    slot.as_object_mut().ok_or_else(|| Error::Template(format!("`{key}` of the object is no mapping")))
}

fn text(map: &Map<String, Json>, key: &str) -> Option<String> {
    map.get(key).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
