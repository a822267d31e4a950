//! Limits and addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where webhooks' own ports are opened.
    pub host: IpAddr,
    /// Connections open at once over all of these ports. A further one takes the place of
    /// the longest idle.
    pub max_connections: usize,
    /// Requests between their headers and their answer. Further ones are told 503.
    pub max_in_flight: usize,
    /// Within this time the headers of a request must be there.
    pub header_timeout: Duration,
    /// Within this time its body must be there.
    pub body_timeout: Duration,
    /// A connection without request is closed after this; longer than the 90 s of Go's clients, so that
    /// they close first and no request meets a closing connection.
    pub idle_timeout: Duration,
    /// How long a sender is kept waiting while the bus is away, before it is told 503. Several senders
    /// give up after five seconds.
    pub publish_patience: Duration,
    /// How long requests and publications under way may take at shutdown.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            max_connections: 1024,
            max_in_flight: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            publish_patience: Duration::from_secs(4),
            grace: Duration::from_secs(10),
        }
    }
}
