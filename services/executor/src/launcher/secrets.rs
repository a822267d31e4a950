//! What a pod needs and what is written down nowhere.

use std::collections::BTreeMap;

/// Values that a container needs and that must not be written down: environment by name.
pub type SecretEnvironment = BTreeMap<String, secrecy::SecretString>;

/// What a pod needs and what must not be written down. A launcher whose server looks up Secrets and ConfigMaps itself has
/// no use for it.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Environment of each container by its name; the main one is called `main`.
    pub environment: BTreeMap<String, SecretEnvironment>,
    /// Files of the volumes that hold a Secret or a ConfigMap, by the volume's name.
    pub files: BTreeMap<String, Vec<SecretFile>>,
    /// `.dockerconfigjson` of each of `imagePullSecrets`.
    pub registries: Vec<secrecy::SecretString>,
}

/// A file of a volume that holds a Secret or a ConfigMap.
#[derive(Debug, Clone)]
pub struct SecretFile {
    /// Path within the volume.
    pub path: String,
    /// File mode.
    pub mode: u32,
    /// Content.
    pub content: secrecy::SecretString,
}

impl Secrets {
    /// Those of a pod that needs but an environment for its main container.
    #[must_use]
    pub fn of_main(environment: SecretEnvironment) -> Self {
        Self { environment: BTreeMap::from([("main".to_owned(), environment)]), ..Self::default() }
    }

    /// The environment of the main container.
    #[must_use]
    pub fn into_main(mut self) -> SecretEnvironment {
        self.environment.remove("main").unwrap_or_default()
    }
}
