//! EventBus: which kinds the configured bus stands in for.

use serde_json::Value;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::load::path::Path;
use crate::object::Object;

pub(super) fn check(object: &Object, findings: &mut Vec<Diagnostic>) {
    let foreign: [(&[&str], &str); 3] = [
        (&["nats", "native"], "NATS streaming is retired"),
        (&["nats", "exotic"], "NATS streaming is retired"),
        (&["kafka"], "a Kafka bus is not used here"),
    ];
    for (keys, why) in foreign {
        let spec = object.document.get("spec");
        let found = keys.iter().fold(spec, |value, key| value.and_then(|value| value.get(key)));
        if found.is_none_or(Value::is_null) {
            continue;
        }
        let mut path = Path::root().key("spec");
        for key in keys {
            path = path.key(*key);
        }
        findings.push(object.places.at_key(
            codes::BUS_MAPPED,
            &path,
            format!("{why}; the configured bus serves in its place"),
            "keep the object, or write `jetstream: {}`".into(),
        ));
    }
}
