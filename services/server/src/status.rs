//! `GET /status`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tiphys_bus::streams;
use tiphys_trigger::control;

use crate::error::ApiError;
use crate::state::Shared;

/// Parts, streams, findings, and the buckets of each trigger and dependency at a stated position.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn status(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let sheet = shared.sums.sheet().await.unwrap_or_default();
    let mut triggers = Vec::new();
    for row in &sheet.rows {
        let control = control::read(&shared.bus, &row.namespace, &row.sensor, &row.trigger).await?;
        let mut row = serde_json::to_value(row).unwrap_or_default();
        row["paused"] = control.is_some_and(|control| control.paused).into();
        triggers.push(row);
    }
    let mut all = serde_json::Map::new();
    for stream in streams::all() {
        let info = shared.bus.info(&stream.name).await?;
        let shown = json!({
            "first": info.first, "last": info.last, "messages": info.messages, "bytes": info.bytes,
            "maxBytes": stream.max_bytes,
        });
        all.insert(stream.name, shown);
    }
    let snapshot = shared.catalog.snapshot();
    let mut diagnostics = snapshot.diagnostics.clone();
    diagnostics.extend((shared.diagnostics)());
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": shared.health.is_ready(),
        "parts": shared.health.parts(),
        "position": sheet.position,
        "triggers": triggers,
        "streams": all,
        "objects": snapshot.objects.len(),
        "diagnostics": diagnostics,
    })))
}
