//! `Workflow`, `WorkflowTemplate`, `ClusterWorkflowTemplate` and `CronWorkflow`, as users write them.
//!
//! Every field is optional and lenient, as Go's decoder is; what is required is judged where it is used.

mod argument;
mod cron;
mod lenient;
mod policy;
mod spec;
mod task;
mod template;

pub use argument::{
    Arguments, Artifact, ArtifactLocation, Inputs, KeySelector, Outputs, Parameter, RawArtifact, ValueFrom,
};
pub use cron::{CronWorkflowSpec, StopStrategy};
pub use lenient::IntOrString;
pub use policy::{Backoff, ContinueOn, LifecycleHook, RetryStrategy, TtlStrategy};
pub use spec::{Metadata, PodGc, WorkflowSpec, WorkflowTemplateRef};
pub use task::{DagTask, DagTemplate, Item, Sequence, StepGroup, TemplateRef, WorkflowStep};
pub use template::{Script, SuspendTemplate, Template};
