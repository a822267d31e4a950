//! The runner, linked statically, as bytes: what is put into the containers and pods of steps.

/// The program, for the machine that this was built for. `None` where it could not be linked statically: on most systems the
/// C library for that is a package of its own.
#[must_use]
pub fn runner() -> Option<&'static [u8]> {
    const RUNNER: &[u8] = include_bytes!(env!("TIPHYS_RUNNER"));
    (!RUNNER.is_empty()).then_some(RUNNER)
}
