//! Google Pub/Sub, on Google's emulator.

mod faults;
mod order;
mod shape;
mod site;
mod state;
