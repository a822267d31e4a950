//! The answers to requests that do not become events.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use tiphys_bus::BusError;

use crate::error::Error;

/// Why a request does not become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The secret or signature is absent or wrong. Which, is nobody's business.
    Unauthorized,
    /// No event has this address.
    Unknown,
    /// The event takes another method.
    Method(Method),
    /// The body is larger than the event allows, or than the bus can carry.
    TooLarge,
    /// Too many or too large headers.
    Headers,
    /// The body did not come in time.
    Slow,
    /// The connection broke off within the body.
    BrokenOff,
    /// The body is not what it should be.
    Malformed(String),
    /// The event source cannot run as it is written; its owner finds the reason in the diagnostics.
    Misconfigured,
    /// Too much is under way.
    Busy,
    /// The bus is full or away.
    Bus,
    /// Not yet open, or already shut.
    Closed,
}

impl Refusal {
    /// The word for the metric.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Unknown => "unknown",
            Self::Method(_) => "method",
            Self::TooLarge => "too_large",
            Self::Headers => "headers",
            Self::Slow => "slow",
            Self::BrokenOff => "broken_off",
            Self::Malformed(_) => "malformed",
            Self::Misconfigured => "misconfigured",
            Self::Busy => "busy",
            Self::Bus => "bus",
            Self::Closed => "closed",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Bus | Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Unauthorized => "the secret or signature is absent or wrong".into(),
            Self::Unknown => "no event has this address".into(),
            Self::Method(method) => format!("this event takes {method}"),
            Self::TooLarge => "the body is too large".into(),
            Self::Headers => "there are too many or too large headers".into(),
            Self::Slow => "the body did not come in time".into(),
            Self::BrokenOff => "the body broke off".into(),
            Self::Malformed(reason) => reason.clone(),
            Self::Misconfigured => "the event source is not set up; see its diagnostics".into(),
            Self::Busy => "too many requests are under way; try again".into(),
            Self::Bus => "the event could not be stored; try again".into(),
            Self::Closed => "starting or stopping; try again".into(),
        }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        match error {
            Error::Bus(BusError::TooLarge { .. }) => Self::TooLarge,
            Error::Payload(wrong) => Self::Malformed(wrong.to_string()),
            Error::Message { what } => Self::Malformed(what.clone()),
            Error::Config { .. } | Error::Secret { .. } | Error::NotYet { .. } => Self::Misconfigured,
            Error::Bus(_) | Error::Patience | Error::Upstream { .. } => Self::Bus,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.text() + "\n"));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Busy | Self::Bus | Self::Closed => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method(method) => {
                if let Ok(value) = HeaderValue::from_str(method.as_str()) {
                    headers.insert(ALLOW, value);
                }
            }
            _ => {}
        }
        response
    }
}
