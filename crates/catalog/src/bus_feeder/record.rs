//! What stands on the CATALOG stream: one record per object, the last one counts.

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_manifest::{LoadOptions, Loaded, Object, Spec, load};

/// The format that this version writes, and the newest that it reads.
const VERSION: u32 = 1;
/// What diagnostics call these objects' file.
pub(super) const FILE: &str = "api";

/// One record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    version: u32,
    /// Namespace of an object that names none.
    namespace: String,
    /// The object; none: it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<Value>,
    by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    at: Timestamp,
}

impl Record {
    pub(super) fn new(
        namespace: &str,
        document: Option<Value>,
        by: &str,
        reason: &str,
        at: Timestamp,
    ) -> Self {
        Self {
            version: VERSION,
            namespace: namespace.to_owned(),
            document,
            by: by.to_owned(),
            reason: reason.to_owned(),
            at,
        }
    }

    /// As bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }

    /// What a record says; `None`: its object was deleted.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Loaded>, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.version > VERSION {
            return Err(format!("it has format {}, and this version reads up to {VERSION}", record.version));
        }
        let Some(document) = record.document else {
            return Ok(None);
        };
        let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
        Ok(Some(load::load(FILE, &text, &LoadOptions::new(record.namespace))))
    }
}

/// The whole document again: of a Secret, with its values, which are stored and never shown.
pub(super) fn whole(object: &Object) -> Value {
    let mut document = object.document.clone();
    if let (Spec::Secret(secret), Some(map)) = (&object.spec, document.as_object_mut()) {
        let values = secret.data.iter();
        let values = values.map(|(key, value)| (key.clone(), value.expose_secret().into()));
        map.insert("stringData".into(), Value::Object(values.collect()));
    }
    document
}
