//! `argoWorkflow`: submits a workflow, or asks one that exists to do something. Argo runs its command line for
//! this; we hand over by the bus.

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tiphys_bus::{Publish, streams};
use tiphys_core::workflow::{Command, Verb, WorkflowRecord};
use tiphys_manifest::Kind;

use super::command_line;
use super::submission::{self, Wish};
use super::{Context, TriggerKind};
use crate::apply::apply;
use crate::error::Error;
use crate::ledger::Effect;
use crate::source;

/// The kind.
pub(super) struct ArgoWorkflow;

#[async_trait]
impl TriggerKind for ArgoWorkflow {
    fn key(&self) -> &'static str {
        "argoWorkflow"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut resource = source::fetch(context.template.get("source"), &context)?;
        apply(&mut resource, &context.firing.parameters)?;
        let arguments = command_line::read(context.template.get("args"))?;
        let operation = context.template.get("operation").and_then(Json::as_str).unwrap_or_default();
        match operation {
            "" | "submit" => submission::submit(&context, resource, &arguments).await,
            "submit-from" => submit_from(&context, &resource, &arguments).await,
            "resubmit" => Err(Error::NotYet(
                "operation `resubmit` is not run by triggers of this version; use `submit`".into(),
            )),
            verb => command(&context, &resource, verb).await,
        }
    }
}

/// Submits the spec of a WorkflowTemplate or CronWorkflow that exists.
async fn submit_from(context: &Context<'_>, resource: &Json, wish: &Wish) -> Result<Effect, Error> {
    let (kind, namespace, name) = target(context, resource)?;
    let generate = json!(format!("{name}-"));
    let metadata = json!({"generateName": generate, "namespace": namespace});
    let head = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata});
    let mut workflow = head;
    let absent = |kind: Kind| {
        Error::Missing(format!("{kind} `{namespace}/{name}` does not exist; apply it, then retry"))
    };
    match kind.as_str() {
        "WorkflowTemplate" => {
            context
                .catalog
                .get(Kind::WorkflowTemplate, &namespace, &name)
                .ok_or_else(|| absent(Kind::WorkflowTemplate))?;
            workflow["spec"] = json!({"workflowTemplateRef": {"name": name}});
        }
        "CronWorkflow" => {
            let object = context
                .catalog
                .get(Kind::CronWorkflow, &namespace, &name)
                .ok_or_else(|| absent(Kind::CronWorkflow))?;
            let spec = object.document.pointer("/spec/workflowSpec").cloned();
            workflow["spec"] = spec.unwrap_or_else(|| json!({}));
        }
        other => {
            return Err(Error::Template(format!(
                "`submit-from` takes a WorkflowTemplate or a CronWorkflow, not `{other}`"
            )));
        }
    }
    // Arguments that the source resource carries win over those of what it names.
    if let Some(arguments) = resource.pointer("/spec/arguments") {
        workflow["spec"]["arguments"] = arguments.clone();
    }
    submission::submit(context, workflow, wish).await
}

/// Asks a workflow that exists to do something.
async fn command(context: &Context<'_>, resource: &Json, verb: &str) -> Result<Effect, Error> {
    let asked = match verb {
        "suspend" => Verb::Suspend,
        "resume" => Verb::Resume { node_field_selector: String::new() },
        "retry" => Verb::Retry { restart_successful: false, node_field_selector: String::new() },
        "stop" => Verb::Stop { message: format!("stopped by sensor {}", context.firing.sensor) },
        "terminate" => Verb::Terminate,
        other => return Err(Error::Template(format!("`{other}` is no operation of argoWorkflow"))),
    };
    let (_, namespace, name) = target(context, resource)?;
    let subject = streams::subject(streams::WORKFLOWS, &[&namespace, &name]);
    if context.bus.last(&subject).await.map_err(Error::Bus)?.is_none() {
        return Err(Error::Missing(format!("workflow `{namespace}/{name}` does not exist")));
    }
    let firing = context.firing;
    let record = WorkflowRecord::Command(Command {
        verb: asked,
        at: context.now,
        by: format!("sensor/{}/{}", firing.namespace, firing.sensor),
        reason: format!("firing {}", firing.id),
    });
    let payload = serde_json::to_vec(&record)
        .map_err(|error| Error::Template(format!("the command cannot be encoded: {error}")))?;
    let publish = Publish::new(subject, payload).id(format!("command-{}", firing.id));
    context.bus.publish(publish).await.map_err(Error::Bus)?;
    Ok(Effect::Command { namespace, name, verb: verb.to_owned() })
}

/// Kind, namespace and name of what the resource names.
fn target(context: &Context<'_>, resource: &Json) -> Result<(String, String, String), Error> {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    if name.is_empty() {
        return Err(Error::Template("this operation needs `metadata.name` of what it works on".into()));
    }
    let namespace = match text("/metadata/namespace") {
        "" => context.firing.namespace.as_str(),
        namespace => namespace,
    };
    Ok((text("/kind").to_owned(), namespace.to_owned(), name.to_owned()))
}
