//! Workflow types.

use serde::{Deserialize, Serialize};

/// Placeholder until its owner writes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WorkflowSpec {}

/// Placeholder until its owner writes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CronWorkflowSpec {}
