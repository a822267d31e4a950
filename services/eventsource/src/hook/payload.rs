//! The payload of a webhook, in Argo's shape: `{"header": …, "body": …, "metadata": …}`.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, header};
use serde::Serialize;

use super::raw::Raw;
use super::{Received, Shaped};
use crate::ingress::Refusal;
use crate::json;

/// What stands in the place of a masked value; Argo's words.
const MASK: &str = "*** Masked Auth Secret ***";

/// Names in Go's canonical form, each with its values, in order of name.
type Multi = BTreeMap<String, Vec<String>>;

/// Makes the payload of a webhook.
pub(crate) fn webhook(received: &Received<'_>) -> Result<Shaped, Refusal> {
    let parts = received.parts;
    let mut out = Vec::with_capacity(received.body.len() + 1024);
    out.extend_from_slice(b"{\"header\":");
    write(&mut out, &headers(&parts.headers, received.masked))?;
    out.extend_from_slice(b",\"body\":");
    let start = out.len();
    let raw = if parts.method == Method::GET {
        write(&mut out, &pairs(parts.uri.query().unwrap_or_default().as_bytes()))?;
        Raw::Absent
    } else if is_form(&parts.headers) {
        write(&mut out, &pairs(received.body))?;
        Raw::Other
    } else {
        let space =
            json::compact(received.body, &mut out).map_err(|wrong| Refusal::Malformed(wrong.to_string()))?;
        Raw::Json(space)
    };
    let body = start..out.len();
    if !received.metadata.is_empty() {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(received.metadata.as_bytes());
    }
    out.push(b'}');
    Ok(Shaped { payload: out, body, raw })
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Refusal> {
    serde_json::to_writer(out, value).map_err(|wrong| Refusal::Malformed(wrong.to_string()))
}

/// Whether the body is a form; parameters of the content type do not matter.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media = kind.and_then(|kind| kind.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn pairs(text: &[u8]) -> Multi {
    let mut map = Multi::new();
    for (name, value) in form_urlencoded::parse(text) {
        map.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    map
}

/// All headers but `Host`, which Go keeps apart.
fn headers(headers: &HeaderMap, masked: &[HeaderName]) -> Multi {
    let mut map = Multi::new();
    for name in headers.keys().filter(|name| **name != header::HOST) {
        let values = if *name == header::AUTHORIZATION || masked.contains(name) {
            vec![MASK.to_owned()]
        } else {
            let values = headers.get_all(name).iter();
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
        };
        map.insert(canonical(name), values);
    }
    map
}

/// Go's canonical form: upper case at the beginning and after each hyphen.
fn canonical(name: &HeaderName) -> String {
    let mut upper = true;
    let chars = name.as_str().chars().map(|char| {
        let written = if upper { char.to_ascii_uppercase() } else { char };
        upper = char == '-';
        written
    });
    chars.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;

    fn payload(request: Request<&'static str>, metadata: &str) -> Result<String, Refusal> {
        let (parts, body) = request.into_parts();
        let shaped = webhook(&Received {
            parts: &parts,
            body: &Bytes::from_static(body.as_bytes()),
            masked: &[HeaderName::from_static("x-api-key")],
            metadata,
        })?;
        Ok(String::from_utf8(shaped.payload).unwrap())
    }

    #[test]
    fn json_keeps_digits_and_escapes_and_loses_white_space() {
        let request = Request::post("/x")
            .header("host", "h")
            .header("content-type", "application/json; charset=utf-8")
            .header("x-two", "1")
            .header("x-two", "2")
            .header("authorization", "Bearer s")
            .header("x-api-key", "s")
            .body("{ \"t\": 1795348800123456789,\r\n \"c\": \"\\u003e <\" }\n")
            .unwrap();
        assert_eq!(
            payload(request, r#"{"team":"red"}"#).unwrap(),
            concat!(
                r#"{"header":{"Authorization":["*** Masked Auth Secret ***"],"#,
                r#""Content-Type":["application/json; charset=utf-8"],"#,
                r#""X-Api-Key":["*** Masked Auth Secret ***"],"X-Two":["1","2"]},"#,
                r#""body":{"t":1795348800123456789,"c":"\u003e <"},"metadata":{"team":"red"}}"#,
            )
        );
    }

    #[test]
    fn a_query_and_a_form_are_maps_of_lists() {
        let get = Request::get("/x?b=2&a=1&b=%263+4").body("").unwrap();
        assert_eq!(payload(get, "").unwrap(), r#"{"header":{},"body":{"a":["1"],"b":["2","&3 4"]}}"#);
        let form = Request::post("/x?ignored=1")
            .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
            .body("b=2&a=1&b=3")
            .unwrap();
        let text = payload(form, "").unwrap();
        assert!(text.ends_with(r#""body":{"a":["1"],"b":["2","3"]}}"#), "{text}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in ["", " ", "{", "a=b", "{}{}"] {
            let request = Request::post("/x").body(body).unwrap();
            assert!(matches!(payload(request, ""), Err(Refusal::Malformed(_))), "{body:?}");
        }
    }
}
