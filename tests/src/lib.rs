//! The project's tests: in-process, end to end, chaos and benches.
