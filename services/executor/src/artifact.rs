//! Where artifacts are kept: a folder of this machine, or a store that a manifest or an artifact repository names.
//!
//! What stands in journals and pods is a reference: a key of the folder, or a [`Location`] with the names of the
//! Secrets to use. [`Stores`] turns it into requests, just when it is needed, with what the Secrets hold then.

#[cfg(feature = "stores")]
mod address;
mod folder;
pub(crate) mod gc;
mod git;
#[cfg(feature = "stores")]
mod http;
pub mod kept;
mod local;
mod location;
#[cfg(feature = "stores")]
mod open;
#[cfg(feature = "stores")]
mod remote;
pub(crate) mod repository;
mod secrets;
mod stores;

pub use local::LocalStore;
pub use location::{
    Azure, BasicAuth, ClientCertificate, Gcs, Git, Header, Http, HttpAuth, Location, Oauth2, Place, S3,
    SecretKey,
};
pub use repository::Repository;
pub use stores::{Settings, Stores};
