//! The small languages of manifests. Each is compiled once, when the manifest loads, and evaluated with
//! limits on steps, time and output. No function does I/O; time and randomness are arguments.

pub mod condition;
pub mod cron;
pub mod duration;
pub mod error;
pub mod expr;
pub mod gjson;
pub mod govaluate;
pub mod jq;
pub mod json_path;
pub mod sjson;
mod sprig;
pub mod tags;
pub mod template;
mod value;

pub use error::LangError;
