//! What opens a store: looked up when it is needed, written down nowhere.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tiphys_catalog::Snapshot;
use tiphys_manifest::{Kind, Spec};

use super::location::SecretKey;
use crate::launcher::LaunchError;

/// The Secrets of a namespace.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) namespace: &'a str,
}

impl Secrets<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// Names what is missing, and what to do.
    pub(super) fn value(&self, wanted: &SecretKey) -> Result<SecretString, LaunchError> {
        let (namespace, SecretKey { name, key }) = (self.namespace, wanted);
        let found = self.snapshot.get(Kind::Secret, namespace, name);
        let Some(Spec::Secret(secret)) = found.map(|object| &object.spec) else {
            return Err(LaunchError::Missing(format!(
                "Secret {namespace}/{name}, which opens the artifact store, does not exist: apply it, then retry the \
                 workflow"
            )));
        };
        secret.data.get(key).cloned().ok_or_else(|| {
            LaunchError::Missing(format!(
                "Secret {namespace}/{name}, which opens the artifact store, has no key '{key}': add it, then retry \
                 the workflow"
            ))
        })
    }

    /// The value of a key, where one is named.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub(super) fn optional(&self, wanted: Option<&SecretKey>) -> Result<Option<SecretString>, LaunchError> {
        wanted.filter(|wanted| !wanted.name.is_empty()).map(|wanted| self.value(wanted)).transpose()
    }
}

/// `Basic …` of a name and a password.
pub(super) fn basic(name: Option<&SecretString>, password: Option<&SecretString>) -> SecretString {
    let text = |part: Option<&SecretString>| part.map_or("", |part| part.expose_secret()).to_owned();
    let both = format!("{}:{}", text(name).trim(), text(password).trim());
    SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(both)))
}
