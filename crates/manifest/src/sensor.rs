//! SensorSpec.

use serde::{Deserialize, Serialize};

/// Placeholder until its owner writes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SensorSpec {}
