//! Amazon SQS: ElasticMQ for what a queue does and survives, moto for keys that are right or wrong.

mod faults;
mod order;
mod proxy;
mod shape;
mod site;
mod state;
