//! The HTTP API and its projections.
