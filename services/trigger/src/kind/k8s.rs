//! `k8s`: operations on objects of a cluster, as the Sensor's service account. A Workflow that is created goes to the
//! executor, with a cluster or without.

#[cfg(feature = "kubernetes")]
mod object;

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
        let operation = context.template.get("operation").and_then(|o| o.as_str()).unwrap_or_default();
        let operation = if operation.is_empty() { "create" } else { operation };
        let source = source::fetch(context.template.get("source"), &context)?;
        let kind = source.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        if kind == "Workflow" && operation == "create" {
            let mut resource = source;
            apply(&mut resource, &context.firing.parameters)?;
            return submission::submit(&context, resource, &Wish::default()).await;
        }
        #[cfg(feature = "kubernetes")]
        if let Some(cluster) = context.cluster {
            return object::operate(&context, cluster, operation, source).await;
        }
        Err(Error::NotYet(format!(
            "operation `{operation}` of a k8s trigger on `{kind}` needs a Kubernetes cluster: start Tiphys with one; \
             without it only Workflows are created"
        )))
    }
}
