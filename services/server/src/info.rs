//! What Argo's clients ask before all else: `/info`, `/version`, `/userinfo`.

use axum::Json;
use serde_json::{Value, json};

use crate::state::Caller;

/// `GET /info`: nothing is set for a user interface.
pub(crate) async fn info() -> Json<Value> {
    let modals = json!({"feedback": false, "firstTimeUser": false, "newVersion": false});
    Json(json!({"managedNamespace": "", "links": [], "columns": [], "navColor": "", "modals": modals}))
}

/// `GET /version`: Argo's version object.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({
        "version": concat!("tiphys-", env!("CARGO_PKG_VERSION")),
        "buildDate": "",
        "gitCommit": "",
        "gitTag": "",
        "gitTreeState": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

/// `GET /userinfo`: there is one token, and whoever holds it.
pub(crate) async fn userinfo(caller: Caller) -> Json<Value> {
    Json(json!({"issuer": "tiphys", "subject": caller.by, "groups": []}))
}
