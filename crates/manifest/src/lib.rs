//! What users wrote, checked. Pure: text in, objects and diagnostics out.

pub mod codes;
pub mod diagnostic;
pub mod event_bus;
pub mod event_source;
pub mod lint;
pub mod load;
pub mod local;
pub mod object;
pub mod sensor;
pub mod workflow;

pub use diagnostic::{Diagnostic, Severity};
pub use load::{LoadOptions, Loaded, load};
pub use object::{Kind, Object, Spec};
