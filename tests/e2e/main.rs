//! The three jobs and the command line, end to end, against the built binary.

mod api;
mod commands;
mod follow;
mod inventory;
mod response;
mod scan;
