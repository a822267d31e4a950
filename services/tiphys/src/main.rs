//! The `tiphys` binary.
fn main() {}
