//! Bodies and queries of requests. What cannot be read is refused in the API's own form.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A JSON body. The content type is not asked for, since Argo's client names none; no body at all is an object
/// without members.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|refused| ApiError::new(refused.status(), refused.body_text()))?;
        read(&bytes).map(Self)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::invalid(format!("the body of the request cannot be read: {error}")))
}

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|refused| ApiError::invalid(refused.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bodies() {
        assert_eq!(read::<Value>(b" \n").unwrap(), json!({}));
        assert_eq!(read::<Value>(b"{\"a\":1}").unwrap(), json!({"a": 1}));
        let refused = read::<Value>(b"{").unwrap_err();
        assert_eq!(refused.status, http::StatusCode::BAD_REQUEST);
    }
}
