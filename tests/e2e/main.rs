//! The three jobs and the command line, end to end, against the built binary.
