//! Argo's API of what workflows are made from: WorkflowTemplates, ClusterWorkflowTemplates, CronWorkflows.

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tiphys_manifest::{Kind, Object};

use crate::body::{Body, Params};
use crate::check::checked;
use crate::error::ApiError;
use crate::objects::{remove, shown, store};
use crate::selection::ListOptions;
use crate::state::{Caller, Shared};

type Answer = Result<Json<Value>, ApiError>;

/// The routes of one kind, whose plural this is.
pub(crate) fn routes(kind: Kind, plural: &str) -> Router<Shared> {
    let path = |rest: &str| format!("/{plural}{rest}");
    let all = get(list).post(create);
    let one = get(read).put(update).delete(delete);
    let mut routes = Router::new();
    if kind.is_cluster_wide() {
        routes = routes.route(&path(""), all.clone()).route(&path("/"), all);
        routes = routes.route(&path("/lint"), post(lint)).route(&path("/{name}"), one);
    } else {
        // Of all namespaces: Argo's client leaves the namespace empty.
        routes = routes.route(&path("/"), get(list)).route(&path("/{namespace}"), all);
        routes =
            routes.route(&path("/{namespace}/lint"), post(lint)).route(&path("/{namespace}/{name}"), one);
    }
    if kind == Kind::CronWorkflow {
        routes = routes.route(&path("/{namespace}/{name}/{verb}"), put(switch));
    }
    routes.layer(Extension(kind))
}

/// What the path names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    namespace: String,
    name: String,
    verb: String,
}

impl Place {
    fn find(&self, shared: &Shared, kind: Kind) -> Result<Arc<Object>, ApiError> {
        let found = shared.catalog.snapshot().get(kind, &self.namespace, &self.name).cloned();
        found.ok_or_else(|| ApiError::missing(format!("{kind} `{}`", self.shown())))
    }

    fn shown(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

/// The object, under the name that Argo gives it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Given {
    #[serde(alias = "cronWorkflow")]
    template: Value,
}

async fn list(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
    Params(options): Params<ListOptions>,
) -> Answer {
    let wanted = options.read()?;
    let snapshot = shared.catalog.snapshot();
    let here = |object: &&Arc<Object>| place.namespace.is_empty() || place.namespace == object.namespace;
    let mut items: Vec<Value> = snapshot.of_kind(kind).filter(here).map(|object| shown(object)).collect();
    items.retain(|object| wanted.takes(object));
    let kind = format!("{kind}List");
    Ok(Json(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {}, "items": items})))
}

async fn read(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
) -> Answer {
    Ok(Json(shown(&*place.find(&shared, kind)?)))
}

async fn lint(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
    Body(given): Body<Given>,
) -> Answer {
    Ok(Json(shown(&checked(&shared, kind, given.template, &place.namespace)?)))
}

async fn create(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(mut place): Path<Place>,
    caller: Caller,
    Body(given): Body<Given>,
) -> Answer {
    let object = checked(&shared, kind, given.template, &place.namespace)?;
    place.name.clone_from(&object.name);
    if place.find(&shared, kind).is_ok() {
        return Err(ApiError::conflict(format!(
            "{kind} `{}` exists already; update it instead",
            place.shown()
        )));
    }
    keep(&shared, &object, &caller).await
}

async fn update(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
    caller: Caller,
    Body(given): Body<Given>,
) -> Answer {
    let object = checked(&shared, kind, given.template, &place.namespace)?;
    if object.name != place.name {
        return Err(ApiError::invalid(format!(
            "the object is named `{}`, not `{}`",
            object.name, place.name
        )));
    }
    changeable(&*place.find(&shared, kind)?)?;
    keep(&shared, &object, &caller).await
}

/// `suspend` and `resume` of a CronWorkflow.
async fn switch(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
    caller: Caller,
) -> Answer {
    let suspend = match place.verb.as_str() {
        "suspend" => true,
        "resume" => false,
        other => return Err(ApiError::missing(format!("verb `{other}` of a {kind}"))),
    };
    let object = place.find(&shared, kind)?;
    changeable(&object)?;
    let mut document = object.document.clone();
    document["spec"]["suspend"] = suspend.into();
    let object = checked(&shared, kind, document, &place.namespace)?;
    keep(&shared, &object, &caller).await
}

async fn delete(
    State(shared): State<Shared>,
    Extension(kind): Extension<Kind>,
    Path(place): Path<Place>,
    caller: Caller,
) -> Answer {
    remove(&shared, kind, &place.namespace, &place.name, &caller).await
}

async fn keep(shared: &Shared, object: &Object, caller: &Caller) -> Answer {
    store(shared, &object.document.to_string(), &object.namespace, None, caller).await?;
    Ok(Json(shown(object)))
}

/// A file wins over what the API is given; whoever changes the one and sees the other is misled.
fn changeable(object: &Object) -> Result<(), ApiError> {
    if object.file == crate::objects::API {
        return Ok(());
    }
    let (kind, name) = (object.kind, &object.name);
    Err(ApiError::conflict(format!("{kind} `{name}` stands in the file {}; change it there", object.file)))
}
