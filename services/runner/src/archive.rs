//! Artifacts as `.tgz`: packed the same way each time, unpacked without trust.

mod pack;
mod unpack;

pub use pack::pack;
pub(crate) use pack::too_large;
pub use unpack::{Limits, Refused, unpack};

#[cfg(test)]
mod tests;
