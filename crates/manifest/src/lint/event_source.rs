//! EventSource: open webhooks, endpoints claimed twice, kinds not run yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::set::text;
use super::support;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::load::path::Path;
use crate::object::{Kind, Object};

const DEFAULT_PORT: &str = "12000";

pub(super) fn check(object: &Object, findings: &mut Vec<Diagnostic>) {
    let path = Path::root().key("spec");
    if let Some(spec) = object.document.get("spec") {
        support::check(support::Where::EventSource, object, spec, &path, findings);
    }
    for (name, webhook) in webhooks(object) {
        let given = |key: &str| webhook.get(key).is_some_and(|value| !value.is_null());
        if given("authSecret") || given("auth") {
            continue;
        }
        findings.push(object.places.at_key(
            codes::NO_AUTHENTICATION,
            &path.key("webhook").key(name),
            format!("webhook `{name}` takes requests from anybody who reaches it"),
            "set `authSecret` (a bearer token), or `auth` with the sender's signature".into(),
        ));
    }
}

/// Endpoints of one port that two events claim, in whichever object.
pub(super) fn claimed_twice(objects: &[Arc<Object>], findings: &mut Vec<Diagnostic>) {
    let mut claimed: BTreeMap<(String, String), String> = BTreeMap::new();
    for object in objects.iter().filter(|o| o.kind == Kind::EventSource) {
        for (name, webhook) in webhooks(object) {
            let port = match webhook.get("port") {
                Some(Value::String(port)) if !port.is_empty() => port.clone(),
                Some(Value::Number(port)) => port.to_string(),
                _ => DEFAULT_PORT.to_owned(),
            };
            let endpoint = format!("/{}", text(webhook, "endpoint").trim_matches('/'));
            let me = format!("{}/{}/{name}", object.namespace, object.name);
            let Some(other) = claimed.get(&(port.clone(), endpoint.clone())) else {
                claimed.insert((port, endpoint), me);
                continue;
            };
            let path = Path::root().key("spec").key("webhook").key(name);
            findings.push(object.places.at_key(
                codes::ENDPOINT_TWICE,
                &path.key("endpoint"),
                format!("port {port} with endpoint {endpoint} is claimed by {other} already"),
                format!("change one of them, or use the address /events/{me} on the main port"),
            ));
        }
    }
}

fn webhooks(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    let spec = object.document.get("spec");
    let map = spec.and_then(|spec| spec.get("webhook")?.as_object());
    let entries = map.into_iter().flatten();
    entries.map(|(name, webhook)| (name.as_str(), webhook))
}
