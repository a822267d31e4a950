//! `k8s`: operations on objects. Without a cluster: `create` of a Workflow, which the executor runs.

use async_trait::async_trait;

use super::submission::{self, Wish};
use super::{Context, TriggerKind};
use crate::apply::apply;
use crate::error::Error;
use crate::ledger::Effect;
use crate::source;

/// The kind.
pub(super) struct K8s;

#[async_trait]
impl TriggerKind for K8s {
    fn key(&self) -> &'static str {
        "k8s"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let operation = context.template.get("operation").and_then(|o| o.as_str()).unwrap_or("create");
        let mut resource = source::fetch(context.template.get("source"), &context)?;
        apply(&mut resource, &context.firing.parameters)?;
        let kind = resource.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        if kind != "Workflow" {
            return Err(Error::NotYet(format!(
                "a k8s trigger on `{kind}` needs a Kubernetes cluster; without one only Workflows are created"
            )));
        }
        if !matches!(operation, "" | "create") {
            return Err(Error::NotYet(format!(
                "operation `{operation}` of a k8s trigger needs a Kubernetes cluster; without one only `create`"
            )));
        }
        submission::submit(&context, resource, &Wish::default()).await
    }
}
