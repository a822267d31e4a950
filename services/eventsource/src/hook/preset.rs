//! Senders that we know: how they sign, and where they put the id of a message.

use tiphys_manifest::event_source::webhook::{Algorithm, Encoding};

use crate::error::Error;

/// How a known sender proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The secret itself stands in a header.
    Token { header: &'static str },
    /// A signature over the body.
    Signature { header: &'static str, prefix: &'static str, algorithm: Algorithm, encoding: Encoding },
    /// Standard Webhooks 1.0: a signature over id, time and body.
    Standard,
}

/// A known sender.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    /// Headers with the id, in lower case; the first that is there counts.
    pub(crate) id_headers: &'static [&'static str],
    /// gjson path of the id in the body.
    pub(crate) id_path: Option<&'static str>,
}

const fn hex_sha256(header: &'static str, prefix: &'static str) -> Scheme {
    Scheme::Signature { header, prefix, algorithm: Algorithm::Sha256, encoding: Encoding::Hex }
}

/// All of them. A new one is a row.
pub(crate) static PRESETS: &[Preset] = &[
    Preset {
        name: "jira",
        scheme: hex_sha256("x-hub-signature", "sha256="),
        id_headers: &["x-atlassian-webhook-identifier"],
        id_path: None,
    },
    Preset {
        name: "github",
        scheme: hex_sha256("x-hub-signature-256", "sha256="),
        id_headers: &["x-github-delivery"],
        id_path: None,
    },
    Preset {
        name: "gitlab",
        scheme: Scheme::Token { header: "x-gitlab-token" },
        id_headers: &["idempotency-key", "x-gitlab-event-uuid"],
        id_path: None,
    },
    Preset {
        name: "linear",
        scheme: hex_sha256("linear-signature", ""),
        id_headers: &["linear-delivery"],
        id_path: None,
    },
    Preset {
        name: "pagerduty",
        scheme: hex_sha256("x-pagerduty-signature", "v1="),
        id_headers: &[],
        id_path: Some("event.id"),
    },
    Preset {
        name: "standard-webhooks",
        scheme: Scheme::Standard,
        id_headers: &["webhook-id"],
        id_path: None,
    },
    Preset {
        name: "falcosidekick",
        scheme: Scheme::Token { header: "x-api-key" },
        id_headers: &[],
        id_path: Some("uuid"),
    },
];

/// The preset of this name; none for an empty name.
pub(crate) fn find(name: &str) -> Result<Option<&'static Preset>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let found = PRESETS.iter().find(|preset| preset.name == name);
    found.map(Some).ok_or_else(|| {
        let known: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        Error::config(format!("there is no preset `{name}`"), format!("use one of {}", known.join(", ")))
    })
}
