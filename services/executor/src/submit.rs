//! From a Workflow object to a submission. Pure but for [`submit`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::id::{digest, uuid};
use tiphys_core::trace::ANNOTATION;
use tiphys_core::workflow::{Command, Submission, Verb, WorkflowRecord};
use tiphys_core::{FiringId, Timestamp};
use tiphys_manifest::{Kind, Object};

use crate::error::Error;

/// Kubernetes' alphabet of generated names: no vowels, nothing that looks like something else.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// A command gives up after so many records that others wrote first.
const RACES: usize = 1000;
/// A name also becomes a label, and those are so long at most.
const NAME_MAX: usize = 63;
/// Metadata that a server writes, and that a new object does not bring.
const SERVER_METADATA: [&str; 6] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"];
/// Labels that tell of a run, and not of what is run.
const RUN_LABELS: [&str; 2] = ["workflows.argoproj.io/phase", "workflows.argoproj.io/completed"];

/// What the submitter changes about the object.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of `spec.arguments.parameters`.
    pub parameters: Vec<(String, String)>,
    /// Replaces `spec.entrypoint`.
    pub entrypoint: Option<String>,
    /// Replaces `spec.serviceAccountName`.
    pub service_account: Option<String>,
    /// Added to `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Added to `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Replaces `metadata.name`.
    pub name: Option<String>,
    /// Replaces `metadata.generateName`.
    pub generate_name: Option<String>,
    /// Who submits.
    pub by: String,
    /// The firing that caused it.
    pub firing: Option<FiringId>,
}

/// Makes a submission of a Workflow object. `seed` is random, or derived from what must not happen twice.
///
/// # Errors
/// Says what is wrong with the object.
pub fn prepare(
    object: &Value,
    namespace: &str,
    options: &Options,
    now: Timestamp,
    seed: &str,
) -> Result<Submission, Error> {
    let mut workflow = object.clone();
    if !workflow["spec"].is_object() {
        return Err(Error::Invalid("the workflow has no spec".into()));
    }
    if let Some(members) = workflow.as_object_mut() {
        members.remove("status");
        members.insert("apiVersion".into(), json!("argoproj.io/v1alpha1"));
        members.insert("kind".into(), json!("Workflow"));
    }
    let namespace = match workflow["metadata"]["namespace"].as_str() {
        Some(written) if !written.is_empty() => written.to_owned(),
        _ => namespace.to_owned(),
    };
    well_formed("namespace", &namespace)?;
    let name = final_name(&workflow["metadata"], options, seed)?;
    set_metadata(&mut workflow, &namespace, &name, options);
    set_spec(&mut workflow, options);
    Ok(Submission {
        version: 1,
        uid: uuid(&[&namespace, &name, seed]),
        namespace,
        name,
        workflow,
        at: now,
        by: options.by.clone(),
        firing: options.firing.clone(),
    })
}

fn final_name(metadata: &Value, options: &Options, seed: &str) -> Result<String, Error> {
    let written = |key: &str| metadata[key].as_str().filter(|text| !text.is_empty());
    let fixed = options.name.as_deref().or_else(|| match options.generate_name {
        Some(_) => None,
        None => written("name"),
    });
    let prefix = options.generate_name.as_deref().or(written("generateName"));
    let name = match (fixed, prefix) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => {
            let cut: String = prefix.chars().take(NAME_MAX - SUFFIX_LENGTH).collect();
            format!("{cut}{}", suffix(seed))
        }
        (None, None) => {
            let why = "the workflow has neither metadata.name nor metadata.generateName";
            return Err(Error::Invalid(why.into()));
        }
    };
    well_formed("workflow name", &name)?;
    Ok(name)
}

/// Refuses what could be no name of Kubernetes. It becomes a part of paths, subjects and labels.
fn well_formed(what: &str, name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.chars().all(allowed)
        && ends(name.chars().next())
        && ends(name.chars().next_back())
        && name.len() <= NAME_MAX
    {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{what} '{name}' is not allowed: at most {NAME_MAX} lower-case letters, digits, '-' and '.', beginning \
         and ending with a letter or digit"
    )))
}

fn set_metadata(workflow: &mut Value, namespace: &str, name: &str, options: &Options) {
    if !workflow["metadata"].is_object() {
        workflow["metadata"] = json!({});
    }
    let metadata = &mut workflow["metadata"];
    if let Some(members) = metadata.as_object_mut() {
        members.retain(|key, _| !SERVER_METADATA.contains(&key.as_str()));
    }
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(namespace);
    if let Some(prefix) = &options.generate_name {
        metadata["generateName"] = json!(prefix);
    }
    for (table, added) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        for (key, value) in added {
            if !metadata[table].is_object() {
                metadata[table] = json!({});
            }
            metadata[table][key] = json!(value);
        }
    }
}

fn set_spec(workflow: &mut Value, options: &Options) {
    let spec = &mut workflow["spec"];
    if let Some(entrypoint) = &options.entrypoint {
        spec["entrypoint"] = json!(entrypoint);
    }
    if let Some(account) = &options.service_account {
        spec["serviceAccountName"] = json!(account);
    }
    for (name, value) in &options.parameters {
        if !spec["arguments"].is_object() {
            spec["arguments"] = json!({});
        }
        let arguments = &mut spec["arguments"];
        if !arguments["parameters"].is_array() {
            arguments["parameters"] = json!([]);
        }
        let Some(list) = arguments["parameters"].as_array_mut() else {
            continue;
        };
        let given = json!({"name": name, "value": value});
        match list.iter_mut().find(|p| p["name"].as_str() == Some(name)) {
            Some(old) => {
                if let Some(members) = old.as_object_mut() {
                    members.remove("valueFrom");
                    members.insert("value".into(), json!(value));
                }
            }
            None => list.push(given),
        }
    }
}

/// Five characters from a seed.
#[must_use]
pub fn suffix(seed: &str) -> String {
    let hash = digest(&["workflow name", seed], 16);
    let pairs = hash.as_bytes().chunks(4).take(SUFFIX_LENGTH);
    pairs
        .map(|pair| {
            let text = std::str::from_utf8(pair).unwrap_or("0");
            let number = usize::from_str_radix(text, 16).unwrap_or(0);
            char::from(ALPHABET.get(number % ALPHABET.len()).copied().unwrap_or(b'x'))
        })
        .collect()
}

/// A Workflow that runs what a WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow holds: `submit --from`.
///
/// # Errors
/// Fails for other kinds.
pub fn from_object(object: &Object) -> Result<Value, Error> {
    let prefix = format!("{}-", object.name);
    let made = |spec: Value, labels: Value, annotations: Value| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"generateName": prefix, "labels": labels, "annotations": annotations},
            "spec": spec})
    };
    match object.kind {
        Kind::WorkflowTemplate | Kind::ClusterWorkflowTemplate => {
            let cluster = object.kind == Kind::ClusterWorkflowTemplate;
            let label = if cluster {
                "workflows.argoproj.io/cluster-workflow-template"
            } else {
                "workflows.argoproj.io/workflow-template"
            };
            let spec = json!({"workflowTemplateRef":
                {"name": object.name, "clusterScope": cluster}});
            Ok(made(spec, json!({ label: object.name }), json!({})))
        }
        Kind::CronWorkflow => {
            let spec = object.document["spec"]["workflowSpec"].clone();
            let metadata = &object.document["spec"]["workflowMetadata"];
            let table = |name: &str| match &metadata[name] {
                Value::Object(table) => Value::Object(table.clone()),
                _ => json!({}),
            };
            let mut labels = table("labels");
            labels[crate::cron::CRON_LABEL] = json!(object.name);
            let mut annotations = table("annotations");
            if let Some(consent) = object.annotations.get(crate::plan::pod::LAUNCHER) {
                let own = annotations.get(crate::plan::pod::LAUNCHER).is_some();
                if !own {
                    annotations[crate::plan::pod::LAUNCHER] = json!(consent);
                }
            }
            Ok(made(spec, labels, annotations))
        }
        kind => Err(Error::Invalid(format!(
            "a workflow cannot be made from a {kind}; use a WorkflowTemplate or CronWorkflow"
        ))),
    }
}

/// The Workflow object to be submitted in order to run this one again under a new name.
#[must_use]
pub fn resubmission(object: &Value) -> Value {
    let mut again = object.clone();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let prefix = match object["metadata"]["generateName"].as_str() {
        Some(prefix) if !prefix.is_empty() => prefix.to_owned(),
        _ => format!("{name}-"),
    };
    if let Some(members) = again.as_object_mut() {
        members.remove("status");
    }
    let metadata = &mut again["metadata"];
    if let Some(members) = metadata.as_object_mut() {
        members.retain(|key, _| !SERVER_METADATA.contains(&key.as_str()) && key != "name");
        members.insert("generateName".into(), json!(prefix));
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        // What caused the first run did not cause this one.
        annotations.remove(ANNOTATION);
    }
    if let Some(labels) = metadata["labels"].as_object_mut() {
        labels.retain(|key, _| !RUN_LABELS.contains(&key.as_str()));
        labels.insert("workflows.argoproj.io/resubmitted-from-workflow".into(), json!(name));
    }
    again
}

/// Subject of a workflow's journal.
#[must_use]
pub fn subject(namespace: &str, name: &str) -> String {
    streams::subject(streams::WORKFLOWS, &[namespace, name])
}

/// Subject of the record that says that a workflow was deleted.
#[must_use]
pub fn deleted_subject(namespace: &str, name: &str) -> String {
    streams::subject(streams::WORKFLOWS, &[namespace, name, "deleted"])
}

/// Namespace and name of a journal's subject; of none other.
#[must_use]
pub fn names_of(subject: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = subject.split('.').collect();
    match parts.as_slice() {
        ["workflows", namespace, name] => Some((streams::name_of(namespace), streams::name_of(name))),
        _ => None,
    }
}

/// Hands a workflow over. Returns the sequence of its first record.
///
/// # Errors
/// Fails when the name is taken, and when the bus fails.
pub async fn submit(bus: &dyn Bus, submission: &Submission) -> Result<u64, Error> {
    let subject = subject(&submission.namespace, &submission.name);
    let record = WorkflowRecord::Submitted(submission.clone());
    match bus.publish(message(&subject, &record)?.expect_last(0)).await {
        Ok(acked) => Ok(acked.sequence),
        Err(BusError::Conflict { .. }) => {
            Err(Error::Exists { namespace: submission.namespace.clone(), name: submission.name.clone() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a command into a workflow's journal.
///
/// # Errors
/// Fails when there is no such workflow, and when the bus fails.
pub async fn command(bus: &dyn Bus, namespace: &str, name: &str, command: Command) -> Result<u64, Error> {
    let subject = subject(namespace, name);
    let command = message(&subject, &WorkflowRecord::Command(command))?;
    let mut races = 0;
    loop {
        let Some(last) = bus.last(&subject).await? else {
            return Err(Error::Missing(format!("workflow {namespace}/{name}")));
        };
        // Not after what was purged meanwhile: a journal does not begin with a command.
        match bus.publish(command.clone().expect_last(last.sequence)).await {
            Err(BusError::Conflict { .. }) if races < RACES => races += 1,
            other => return Ok(other?.sequence),
        }
    }
}

/// The command by which a workflow is deleted.
#[must_use]
pub fn delete_command(at: Timestamp, by: &str, reason: &str) -> Command {
    Command { verb: Verb::Delete, at, by: by.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn message(subject: &str, record: &WorkflowRecord) -> Result<Publish, Error> {
    let payload =
        serde_json::to_vec(record).map_err(|source| Error::Record { reason: source.to_string() })?;
    Ok(Publish::new(subject, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(metadata: Value, options: &Options, seed: &str) -> Result<Submission, Error> {
        let object = json!({"metadata": metadata, "spec": {"entrypoint": "a"}, "status": {}});
        prepare(&object, "ns", options, Timestamp::UNIX_EPOCH, seed)
    }

    #[test]
    fn names_are_made_from_the_seed() {
        let one = prepared(json!({"generateName": "hello-"}), &Options::default(), "1").unwrap();
        let two = prepared(json!({"generateName": "hello-"}), &Options::default(), "1").unwrap();
        let other = prepared(json!({"generateName": "hello-"}), &Options::default(), "2").unwrap();
        assert_eq!(one, two);
        assert_ne!(one.name, other.name);
        assert_eq!(one.name.len(), "hello-".len() + 5);
        assert!(one.workflow.get("status").is_none());
        for name in ["Upper", "-a", "a_b", "", &"a".repeat(64)] {
            assert!(prepared(json!({"name": name}), &Options::default(), "1").is_err(), "{name}");
        }
        for namespace in ["../..", "a/b", "*", ">", "a b", "a\nb", "\u{1b}[31m"] {
            let metadata = json!({"name": "x", "namespace": namespace});
            assert!(prepared(metadata, &Options::default(), "1").is_err(), "{namespace}");
        }
    }

    #[test]
    fn parameters_are_set_or_added() {
        let options = Options { parameters: vec![("a".into(), "1".into())], ..Options::default() };
        let made = prepared(json!({"name": "x"}), &options, "1").unwrap();
        assert_eq!(made.workflow["spec"]["arguments"]["parameters"], json!([{"name": "a", "value": "1"}]));
    }

    #[test]
    fn a_resubmission_has_no_trace_of_the_run() {
        let again = resubmission(&json!({"metadata": {"name": "x-1", "generateName": "x-", "uid": "u",
            "labels": {"workflows.argoproj.io/phase": "Failed", "a": "b"},
            "annotations": {ANNOTATION: "00-1", "c": "d"}}, "spec": {}, "status": {}}));
        assert_eq!(
            again["metadata"],
            json!({"generateName": "x-", "labels": {"a": "b",
            "workflows.argoproj.io/resubmitted-from-workflow": "x-1"}, "annotations": {"c": "d"}})
        );
        assert!(again.get("status").is_none());
    }
}
