//! Kafka, on a broker of each test's own.

mod faults;
mod order;
mod shape;
mod site;
mod start;
mod state;
