//! Local objects: ConfigMap, Secret, ServiceAccount, PersistentVolumeClaim.

use std::collections::BTreeMap;

use secrecy::SecretString;

/// `v1` ConfigMap.
#[derive(Debug, Clone, Default)]
pub struct ConfigMap {
    /// `data`.
    pub data: BTreeMap<String, String>,
}

/// `v1` Secret. Its values are not printed by `Debug`, and not serialised.
#[derive(Debug, Clone, Default)]
pub struct Secret {
    /// `data` (decoded) and `stringData`.
    pub data: BTreeMap<String, SecretString>,
}

/// `v1` ServiceAccount; a name to refer to.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccount {}

/// `v1` PersistentVolumeClaim; a name to refer to.
#[derive(Debug, Clone, Default)]
pub struct PersistentVolumeClaim {}
