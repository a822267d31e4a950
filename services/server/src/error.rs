//! Answers of the API that are no success: Argo's `{code, message}`, where `code` is the gRPC number.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tiphys_bus::BusError;
use tiphys_core::{Classify as _, chain};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong and what to do, in one line.
    pub message: String,
    /// Findings, where a manifest was refused.
    pub diagnostics: Vec<tiphys_manifest::Diagnostic>,
}

impl ApiError {
    /// With this status and text.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), diagnostics: Vec::new() }
    }

    /// No such thing.
    #[must_use]
    pub fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{} not found", what.into()))
    }

    /// The request is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// It stands in the way of something that exists.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// It is valid, and this version does not do it.
    #[must_use]
    pub fn not_yet(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The gRPC number that Argo's clients expect with this status.
    const fn grpc_code(status: StatusCode) -> u32 {
        match status {
            StatusCode::BAD_REQUEST => 3,
            StatusCode::NOT_FOUND => 5,
            StatusCode::CONFLICT => 6,
            StatusCode::FORBIDDEN => 7,
            StatusCode::TOO_MANY_REQUESTS => 8,
            StatusCode::NOT_IMPLEMENTED => 12,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            StatusCode::UNAUTHORIZED => 16,
            _ => 13,
        }
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        let status = match &error {
            BusError::Conflict { .. } => StatusCode::CONFLICT,
            BusError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BusError::Missing { .. } => StatusCode::NOT_FOUND,
            BusError::Invalid { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, format!("{} [{}]", chain(&error), error.code()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"code": Self::grpc_code(self.status), "message": self.message});
        if !self.diagnostics.is_empty() {
            body["diagnostics"] = json!(self.diagnostics);
        }
        (self.status, Json(body)).into_response()
    }
}
