//! Where the sender's own id of a message stands.

use http::{HeaderMap, HeaderName};
use tiphys_lang::gjson;

use super::preset::Preset;
use crate::error::Error;

/// Where to look, in order: what the manifest configures, then what the preset knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    header: Option<HeaderName>,
    path: Option<String>,
    preset: Option<&'static Preset>,
}

impl Identity {
    pub(crate) fn new(header: &str, path: &str, preset: Option<&'static Preset>) -> Result<Self, Error> {
        let header = match header {
            "" => None,
            name => Some(header_name(name, "idHeader")?),
        };
        Ok(Self { header, path: (!path.is_empty()).then(|| path.to_owned()), preset })
    }

    /// Whether the manifest names this header as the place of the id.
    pub(crate) fn header_is(&self, name: &HeaderName) -> bool {
        self.header.as_ref() == Some(name)
    }

    /// The id. That of a preset counts only where the sender has proved who it is: an id that anybody may
    /// choose would let anybody have a message taken for a duplicate.
    pub(crate) fn of(&self, headers: &HeaderMap, body: &[u8], authenticated: bool) -> Option<String> {
        let from_header = |name: &HeaderName| {
            let text = headers.get(name)?.to_str().ok()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let from_body = |path: &str| {
            let text = gjson::get(std::str::from_utf8(body).ok()?, path)?.text();
            (!text.is_empty()).then_some(text)
        };
        let preset = self.preset.filter(|_| authenticated);
        self.header
            .as_ref()
            .and_then(from_header)
            .or_else(|| self.path.as_deref().and_then(from_body))
            .or_else(|| {
                let mut names = preset?.id_headers.iter();
                names.find_map(|name| from_header(&HeaderName::from_static(name)))
            })
            .or_else(|| preset?.id_path.and_then(from_body))
    }
}

/// A header's name out of a manifest.
pub(crate) fn header_name(name: &str, member: &str) -> Result<HeaderName, Error> {
    name.parse().map_err(|_| {
        Error::config(format!("`{member}: {name}` is no header name"), "use letters, digits and hyphens")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::preset;

    #[test]
    fn the_order_and_who_may_choose() {
        let mut headers = HeaderMap::new();
        headers.insert("x-id", "h".parse().unwrap());
        headers.insert("x-github-delivery", "g".parse().unwrap());
        let body = br#"{"id":"b"}"#;
        let of = |header: &str, path: &str, preset: &str, authenticated: bool| {
            let preset = preset::find(preset).unwrap();
            let identity = Identity::new(header, path, preset).unwrap();
            identity.of(&headers, body, authenticated)
        };
        let cases = [
            (("X-Id", "id", "github"), Some("h"), Some("h")),
            (("X-None", "id", "github"), Some("b"), Some("b")),
            (("X-None", "none", "github"), Some("g"), None),
            (("", "", "github"), Some("g"), None),
            (("", "", "pagerduty"), None, None),
            (("", "", ""), None, None),
        ];
        for ((header, path, preset), known, unknown) in cases {
            assert_eq!(of(header, path, preset, true).as_deref(), known);
            assert_eq!(of(header, path, preset, false).as_deref(), unknown);
        }
        assert!(Identity::new("not a name", "", None).is_err());
        assert!(preset::find("nobody").is_err());
    }
}
