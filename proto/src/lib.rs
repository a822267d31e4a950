//! Contracts in protocol buffers: Argo's, with servers that others write.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "the code is generated")]

/// An event source that is a server of somebody else's: `spec.generic`.
pub mod generic {
    tonic::include_proto!("generic");
}

/// A trigger that is a server of somebody else's: `template.custom`.
pub mod triggers {
    tonic::include_proto!("triggers");
}
