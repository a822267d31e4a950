//! What was asked of an API server.

use std::path::Path;

use serde::Deserialize;

/// One request that was answered, from the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who asked, such as `admin` or `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// `create`, `get`, `list`, `watch`, `patch`, `update`, `delete` or `deletecollection`.
    pub verb: String,
    /// Of what, such as `pods` or `pods/status`; the path where it is no resource.
    pub resource: String,
    /// Where; empty where the resource has no namespace, or all were asked for.
    pub namespace: String,
    /// Which; empty where several were asked for.
    pub name: String,
    /// The answer, such as 201.
    pub status: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Answer>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Answer {
    code: u16,
}

/// What the API server is to write down: one record for each request, a watch's as soon as it has begun.
pub(super) const POLICY: &str = r#"{
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]
}"#;

pub(super) fn read(file: &Path) -> Vec<Request> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.filter_map(request).collect()
}

fn request(line: Line) -> Option<Request> {
    // A watch has two records: one as it begins, one as it ends.
    let counted = if line.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if line.stage != counted {
        return None;
    }
    let object = line.object_ref.unwrap_or_default();
    let resource = match (object.resource.is_empty(), object.subresource.is_empty()) {
        (true, _) => line.request_uri,
        (false, true) => object.resource,
        (false, false) => format!("{}/{}", object.resource, object.subresource),
    };
    let status = line.response_status.map(|answer| answer.code).unwrap_or_default();
    let (user, verb, namespace, name) = (line.user.username, line.verb, object.namespace, object.name);
    Some(Request { user, verb, resource, namespace, name, status })
}
