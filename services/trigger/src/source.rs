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
        return parse("inline source", text, context);
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
    parse(&what, &context.value(Kind::ConfigMap, selector)?, context)
}

fn parse(what: &str, text: &str, context: &Context<'_>) -> Result<Json, Error> {
    let options = tiphys_manifest::load::LoadOptions { namespace: context.firing.namespace.clone() };
    let loaded = tiphys_manifest::load::load(what, text, &options);
    match loaded.objects.into_iter().next() {
        Some(object) => Ok(object.document),
        None => Err(Error::Template(format!(
            "{what} holds no object: {}",
            loaded.diagnostics.first().map_or("it is empty", |found| found.message.as_str())
        ))),
    }
}
