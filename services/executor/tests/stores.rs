//! Artifact stores, against servers that speak as they do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "stores/azure.rs"]
mod azure;
#[path = "stores/contract.rs"]
mod contract;
#[path = "stores/gcs.rs"]
mod gcs;
#[path = "stores/git.rs"]
mod git;
#[path = "stores/http.rs"]
mod http;
#[path = "stores/s3.rs"]
mod s3;
#[path = "stores/support.rs"]
mod support;
#[path = "stores/website.rs"]
mod website;
