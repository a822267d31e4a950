//! What users wrote, checked. Pure: text in, objects and diagnostics out.

pub mod diagnostic;
pub mod event_bus;
pub mod event_source;
pub mod local;
pub mod object;
pub mod sensor;
pub mod workflow;

pub use diagnostic::{Diagnostic, Severity};
pub use object::{Kind, Object, Spec};
