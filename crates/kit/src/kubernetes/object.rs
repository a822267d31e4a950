//! The verbs on objects of any kind, as JSON: what a manifest says goes to the API server as it stands.

use std::pin::Pin;

use futures::Stream;
use kube::Client;
use kube::api::{
    DeleteParams, GetParams, ListParams, PostParams, Preconditions, PropagationPolicy, WatchParams,
};
use kube::core::{ApiResource, DynamicObject, Request, Resource as _, WatchEvent};
use kube::discovery::{ApiCapabilities, Scope};
use serde_json::Value;

use super::failure::{Answer, Deed, Failure, in_time};

/// Who changes fields, in the words of server-side apply.
pub const MANAGER: &str = "tiphys";
/// A watch ends after this, only to begin anew: so that one whose other end is gone is noticed.
const WATCH_SECONDS: u32 = 290;

/// A kind, and whether its objects live in namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// How the API server calls it.
    pub api: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether its status is written apart from the rest.
    pub has_status: bool,
}

impl Resource {
    /// What discovery tells.
    pub(super) fn new(api: ApiResource, capabilities: &ApiCapabilities) -> Self {
        let has_status = capabilities.subresources.iter().any(|(below, _)| below.plural.ends_with("status"));
        Self { api, namespaced: capabilities.scope == Scope::Namespaced, has_status }
    }
}

/// How a patch is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// By the rules of the kind's own fields; not for custom resources.
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
    /// Server-side apply as [`MANAGER`]; the fields become ours, whoever had them.
    Apply,
}

impl PatchKind {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// How an object is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Only the object of this uid.
    pub uid: Option<String>,
    /// Seconds that it gets to end, instead of its own.
    pub grace: Option<u32>,
    /// `Background`, `Foreground` or `Orphan`; the kind's default where it is absent.
    pub propagation: Option<String>,
}

/// News of an object.
#[derive(Debug, Clone)]
pub enum Event {
    /// It is so now.
    There(Value),
    /// It is gone; this is what it was.
    Gone(Value),
    /// Nothing is new up to this version.
    Quiet(String),
}

/// News of objects.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Failure>> + Send>>;

/// The objects of one kind in one namespace, as one user.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    resource: Resource,
    namespace: Option<String>,
    who: String,
}

impl Objects {
    /// `who` is how messages call the client's user. Without a namespace: all of them.
    pub(super) fn new(client: Client, resource: Resource, namespace: &str, who: String) -> Self {
        let namespace = (resource.namespaced && !namespace.is_empty()).then(|| namespace.to_owned());
        Self { client, resource, namespace, who }
    }

    /// Which kind.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// As messages call it: `pods shop/web`.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{name}", self.resource.api.plural),
            None => format!("{} {name}", self.resource.api.plural),
        }
    }

    pub(super) fn deed(&self, verb: &'static str, name: &str) -> Deed {
        Deed {
            who: self.who.clone(),
            verb,
            group: self.resource.api.group.clone(),
            plural: self.resource.api.plural.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    fn request(&self) -> Request {
        Request::new(DynamicObject::url_path(&self.resource.api, self.namespace.as_deref()))
    }

    async fn send<E: std::error::Error + Send + Sync + 'static>(
        &self,
        deed: Deed,
        request: Result<http::Request<Vec<u8>>, E>,
    ) -> Result<Value, Failure> {
        checked(&deed)?;
        let request =
            request.map_err(|error| Failure::Refused(format!("{deed}: {}", tiphys_core::chain(&error))))?;
        in_time(self.client.request::<Value>(request)).await.map_err(|answer| deed.failed(answer))
    }

    /// One object; `None` where it is not there.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn get(&self, name: &str) -> Result<Option<Value>, Failure> {
        let request = self.request().get(name, &GetParams::default());
        match self.send(self.deed("get", name), request).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// All objects that a label selector takes (empty: all), and the version of the list.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn list(&self, selector: &str) -> Result<(Vec<Value>, String), Failure> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let mut wanted = ListParams::default().labels(selector).limit(500);
            if !token.is_empty() {
                wanted = wanted.continue_token(&token);
            }
            let mut page = self.send(self.deed("list", ""), self.request().list(&wanted)).await?;
            let head = |name: &str| page["metadata"][name].as_str().unwrap_or_default().to_owned();
            let (version, next) = (head("resourceVersion"), head("continue"));
            if let Value::Array(items) = page["items"].take() {
                all.extend(items);
            }
            if next.is_empty() {
                return Ok((all, version));
            }
            token = next;
        }
    }

    /// Creates.
    ///
    /// # Errors
    /// [`Failure::Exists`] where the name is taken; else as the API server answers.
    pub async fn create(&self, object: &Value) -> Result<Value, Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let request = self.request().create(&params, object.to_string().into_bytes());
        self.send(self.deed("create", name), request).await
    }

    /// Puts an object in the place of the one of its name; of that version only, if it names one.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn replace(&self, name: &str, object: &Value) -> Result<Value, Failure> {
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let request = self.request().replace(name, &params, object.to_string().into_bytes());
        self.send(self.deed("update", name), request).await
    }

    /// Patches; `subresource` is empty, or one such as `status`.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn patch(
        &self,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Value, Failure> {
        let force = if kind == PatchKind::Apply { "&force=true" } else { "" };
        let below = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        let path = DynamicObject::url_path(&self.resource.api, self.namespace.as_deref());
        let request = http::Request::patch(format!("{path}/{name}{below}?fieldManager={MANAGER}{force}"))
            .header(http::header::CONTENT_TYPE, kind.content_type())
            .header(http::header::ACCEPT, "application/json")
            .body(patch.to_string().into_bytes());
        let mut deed = self.deed("patch", name);
        deed.plural.push_str(&below);
        self.send(deed, request).await
    }

    /// Deletes. `None`: it is not there. Otherwise what the API server answers: the object where it takes time to end.
    ///
    /// # Errors
    /// [`Failure::Conflict`] where the object has another uid; else as the API server answers.
    pub async fn delete(&self, name: &str, how: &Removal) -> Result<Option<Value>, Failure> {
        let propagation = match how.propagation.as_deref() {
            None => None,
            Some("Orphan") => Some(PropagationPolicy::Orphan),
            Some("Foreground") => Some(PropagationPolicy::Foreground),
            Some(_) => Some(PropagationPolicy::Background),
        };
        let preconditions =
            how.uid.clone().map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams {
            grace_period_seconds: how.grace,
            propagation_policy: propagation,
            preconditions,
            ..DeleteParams::default()
        };
        match self.send(self.deed("delete", name), self.request().delete(name, &params)).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// News from `version` on: of the object of this name, or of all where it is empty.
    ///
    /// # Errors
    /// [`Failure::Expired`] where that version is not kept any more, here or on the stream; else as the API server
    /// answers. The stream ends by itself after some minutes.
    pub async fn watch(&self, name: &str, version: &str) -> Result<Events, Failure> {
        let mut wanted = WatchParams::default().timeout(WATCH_SECONDS);
        if !name.is_empty() {
            wanted = wanted.fields(&format!("metadata.name={name}"));
        }
        let deed = self.deed("watch", name);
        checked(&deed)?;
        let request = self.request().watch(&wanted, version);
        let request = request.map_err(|error| Failure::Refused(format!("{deed}: {error}")))?;
        let events = in_time(self.client.request_events::<Value>(request)).await;
        let events = events.map_err(|answer| deed.failed(answer))?;
        let named = name.to_owned();
        let mut events = Box::pin(events);
        // Told from others by name once more: a server that knows no field selector sends all.
        let news = futures::stream::poll_fn(move |context| {
            loop {
                let Some(event) = std::task::ready!(events.as_mut().poll_next(context)) else {
                    return std::task::Poll::Ready(None);
                };
                let other =
                    |object: &Value| !named.is_empty() && object["metadata"]["name"] != named.as_str();
                let news = match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) if other(&object) => {
                        continue;
                    }
                    Ok(WatchEvent::Deleted(object)) if other(&object) => continue,
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Ok(Event::There(object)),
                    Ok(WatchEvent::Deleted(object)) => Ok(Event::Gone(object)),
                    Ok(WatchEvent::Bookmark(mark)) => Ok(Event::Quiet(mark.metadata.resource_version)),
                    Ok(WatchEvent::Error(status)) => Err(deed.refused(&status)),
                    Err(error) => Err(deed.failed(Answer::Said(error))),
                };
                return std::task::Poll::Ready(Some(news));
            }
        });
        Ok(Box::pin(news))
    }
}

/// Names may come from an event, and stand in an address: they must not lead elsewhere.
fn checked(deed: &Deed) -> Result<(), Failure> {
    let namespace = deed.namespace.as_deref().unwrap_or_default();
    for (what, word) in [("namespace", namespace), ("name", deed.name.as_str())] {
        let leads = word.contains(['/', '%', '?', '#', '\\']) || matches!(word, "." | "..");
        if leads || word.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Failure::Refused(format!("{deed}: `{word}` is no {what} of an object")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        let deed = |namespace: &str, name: &str| Deed {
            who: String::new(),
            verb: "delete",
            group: String::new(),
            plural: "pods".into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        };
        assert!(checked(&deed("shop", "web-0.a:b")).is_ok());
        assert!(checked(&deed("shop", "")).is_ok());
        for (namespace, name) in [
            ("shop", "../kube-system/x"),
            ("shop", ".."),
            ("a/b", "x"),
            ("shop", "x?y=z"),
            ("shop", "a b"),
            ("shop", "%2e"),
        ] {
            assert!(checked(&deed(namespace, name)).is_err(), "{namespace} {name}");
        }
    }
}
