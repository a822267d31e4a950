//! The source of a resource: what a trigger creates or submits. Argo's order: s3, inline, file, url, git,
//! configmap, resource.

use serde_json::Value as Json;
use tiphys_manifest::Kind;

use crate::error::Error;
use crate::kind::Context;

/// Fetches the resource that a `source` names.
///
/// # Errors
/// Fails when it is absent, unreadable, or of a kind that this version does not fetch.
pub(crate) fn fetch(source: Option<&Json>, context: &Context<'_>) -> Result<Json, Error> {
    let given = |key: &str| source.and_then(|s| s.get(key)).filter(|value| !value.is_null());
    for later in ["s3", "file", "url", "git"] {
        if given(later).is_some() {
            return Err(Error::NotYet(format!(
                "a trigger source of kind `{later}` is not fetched by this version; use `resource`, `inline` or `configmap`"
            )));
        }
    }
    if let Some(text) = given("inline").and_then(Json::as_str) {
        return parse("inline source", text);
    }
    if let Some(selector) = given("configmap") {
        return from_config_map(selector, context);
    }
    given("resource").cloned().ok_or_else(|| {
        Error::Template("the trigger's template has no `source.resource` to create or submit".into())
    })
}

fn from_config_map(selector: &Json, context: &Context<'_>) -> Result<Json, Error> {
    let text = |key: &str| selector.get(key).and_then(Json::as_str).unwrap_or_default();
    let what = format!("ConfigMap `{}/{}`, key `{}`", context.firing.namespace, text("name"), text("key"));
    parse(&what, &context.value(Kind::ConfigMap, selector)?)
}

fn parse(what: &str, text: &str) -> Result<Json, Error> {
    let read =
        tiphys_manifest::load::values(text).map_err(|why| Error::Template(format!("{what}: {why}")))?;
    match read.into_iter().next() {
        Some(object) if object.get("kind").is_some() => Ok(object),
        _ => {
            Err(Error::Template(format!("{what} holds no object: it begins with `apiVersion:` and `kind:`")))
        }
    }
}
