//! Artifacts as `.tgz` or `.zip`: packed the same way each time, unpacked without trust.

mod links;
mod pack;
mod plain;
mod unpack;
mod zipped;

pub use links::check_links;
pub use pack::{is_folder, pack, pack_at, pack_folder};
pub use plain::copy;
pub(crate) use plain::plain_file;
pub use unpack::{Limits, Refused, unpack};
pub use zipped::{unzip, zip};

pub(crate) use pack::too_large;

#[cfg(test)]
mod tests;
