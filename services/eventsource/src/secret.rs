//! Looks up what manifests name by Secret and key.

use secrecy::{ExposeSecret as _, SecretString};
use tiphys_catalog::Snapshot;
use tiphys_manifest::Kind;
use tiphys_manifest::event_source::KeySelector;

use crate::error::Error;

/// The Secrets of one namespace, as they are in one snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
}

impl<'a> Secrets<'a> {
    /// The Secrets of `namespace`.
    #[must_use]
    pub(crate) const fn of(snapshot: &'a Snapshot, namespace: &'a str) -> Self {
        Self { snapshot, namespace }
    }

    /// One value, without a single newline at its end, which editors and `echo` leave there.
    ///
    /// # Errors
    /// Fails when it is missing or empty: an empty secret would let everybody in.
    pub(crate) fn get(&self, selector: &KeySelector) -> Result<SecretString, Error> {
        let value = self.snapshot.value(Kind::Secret, self.namespace, &selector.name, &selector.key);
        let text = value.as_ref().map(|value| {
            let text = value.expose_secret();
            text.strip_suffix('\n').unwrap_or(text)
        });
        match text {
            Ok(text) if !text.is_empty() => Ok(SecretString::from(text)),
            _ => Err(Error::Secret {
                namespace: self.namespace.into(),
                name: selector.name.clone(),
                key: selector.key.clone(),
            }),
        }
    }

    /// All values of a list in which any is good. Those marked optional may be missing, but not all.
    ///
    /// # Errors
    /// Fails when one is missing, or none is named.
    pub(crate) fn all(&self, selectors: &[KeySelector], scheme: &str) -> Result<Vec<SecretString>, Error> {
        let mut found = Vec::with_capacity(selectors.len());
        for selector in selectors {
            match self.get(selector) {
                Ok(value) => found.push(value),
                Err(_) if selector.optional == Some(true) => {}
                Err(missing) => return Err(missing),
            }
        }
        if found.is_empty() {
            return Err(Error::config(
                format!("`{scheme}` names no secret, so nobody could be let in"),
                "list at least one `{name, key}` under `secrets`",
            ));
        }
        Ok(found)
    }
}
