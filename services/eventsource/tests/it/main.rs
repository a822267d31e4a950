//! The event sources on the memory bus, over real connections.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod answers;
mod calendar;
mod cloudevents;
mod faulty;
mod identity;
mod limits;
mod ports;
mod signatures;
mod stage;
