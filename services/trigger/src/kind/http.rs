//! `http`: one request per attempt, each with the firing's id as key. 5xx, 429 and 408 are tried again;
//! `policy.status.allow`, where given, rules alone.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, Url};
use serde_json::Value as Json;
use tiphys_core::trace::TRACEPARENT;
use tiphys_manifest::Kind;

use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// Argo's default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The kind.
pub(super) struct Http;

#[async_trait]
impl TriggerKind for Http {
    fn key(&self) -> &'static str {
        "http"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut template = context.template.clone();
        apply(&mut template, &context.firing.parameters)?;
        let text = |key: &str| template.get(key).and_then(Json::as_str).unwrap_or_default();
        let method = match text("method") {
            "" => Method::POST,
            other => Method::from_bytes(other.to_ascii_uppercase().as_bytes())
                .map_err(|_| Error::Template(format!("`{other}` is no HTTP method")))?,
        };
        let url = Url::parse(text("url"))
            .map_err(|error| Error::Template(format!("`url` of the http trigger: {error}")))?;
        guard(&url).await?;
        let mut request = context
            .client
            .request(method.clone(), url.clone())
            .timeout(timeout(&template))
            .header("Idempotency-Key", context.firing.id.0.as_str())
            .header("webhook-id", context.firing.id.0.as_str());
        let named = headers(&context, &template)?;
        if let Some(trace) = context.trace.filter(|_| !named.iter().any(|(name, _)| is_trace(name))) {
            request = request.header(TRACEPARENT, trace);
        }
        for (name, value) in named {
            request = request.header(name, value);
        }
        if let Some((user, password)) = basic_auth(&context, &template)? {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = payload(&context.firing.payload)? {
            request = request.body(body);
        }
        let shown = format!("{method} {}", shown(&url));
        let mut answer = request.send().await.map_err(|error| {
            Error::Unavailable(format!("{shown}: {}", tiphys_core::chain(&error.without_url())))
        })?;
        let status = answer.status().as_u16();
        // Read to its end, within limits, so that the connection can be used again.
        let mut read = 0;
        while read < 64 * 1024 {
            match answer.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                _ => break,
            }
        }
        judge(&shown, status, context.policy)?;
        Ok(Effect::Http { request: shown, status })
    }
}

/// The author's own header comes first.
const fn is_trace(name: &str) -> bool {
    name.eq_ignore_ascii_case(TRACEPARENT)
}

/// Whether a status is success.
fn judge(shown: &str, status: u16, policy: &Json) -> Result<(), Error> {
    if let Some(allow) = policy.pointer("/status/allow").and_then(Json::as_array) {
        if allow.iter().any(|allowed| allowed.as_u64() == Some(u64::from(status))) {
            return Ok(());
        }
        return Err(Error::Unavailable(format!(
            "{shown} was answered {status}, which the policy does not allow"
        )));
    }
    match status {
        408 | 429 | 500.. => Err(Error::Unavailable(format!("{shown} was answered {status}"))),
        _ => Ok(()),
    }
}

fn timeout(template: &Json) -> Duration {
    match template.get("timeout").and_then(Json::as_u64) {
        None | Some(0) => TIMEOUT,
        Some(seconds) => Duration::from_secs(seconds),
    }
}

fn headers(context: &Context<'_>, template: &Json) -> Result<Vec<(String, String)>, Error> {
    let mut out = Vec::new();
    for (name, value) in template.get("headers").and_then(Json::as_object).into_iter().flatten() {
        out.push((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    for secure in template.get("secureHeaders").and_then(Json::as_array).into_iter().flatten() {
        let name = secure.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        let from = secure.get("valueFrom");
        let value = match from.and_then(|f| f.get("secretKeyRef")) {
            Some(selector) => secret(context, selector)?,
            None => {
                let selector = from.and_then(|f| f.get("configMapKeyRef")).unwrap_or(&Json::Null);
                context.value(Kind::ConfigMap, selector)?
            }
        };
        out.push((name, value));
    }
    out.extend(context.firing.headers.iter().cloned());
    Ok(out)
}

fn basic_auth(context: &Context<'_>, template: &Json) -> Result<Option<(String, String)>, Error> {
    let Some(auth) = template.get("basicAuth").filter(|auth| !auth.is_null()) else { return Ok(None) };
    let part = |key: &str| match auth.get(key) {
        Some(selector) if !selector.is_null() => secret(context, selector),
        _ => Ok(String::new()),
    };
    Ok(Some((part("username")?, part("password")?)))
}

fn secret(context: &Context<'_>, at: &Json) -> Result<String, Error> {
    // Editors and `echo` leave a newline at the end of a secret, and a header may not hold one.
    Ok(context.value(Kind::Secret, at)?.trim_end_matches('\n').to_owned())
}

/// Refuses addresses that give a machine's or cloud's own credentials away.
async fn guard(url: &Url) -> Result<(), Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Forbidden(format!("`{}` is no http address", shown(url))));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|error| Error::Unavailable(format!("`{host}` cannot be resolved: {error}")))?
            .map(|address| address.ip())
            .collect(),
    };
    match found.into_iter().find(|address| is_link_local(*address)) {
        Some(address) => Err(Error::Forbidden(format!(
            "`{host}` is {address}, a link-local address, where machines keep their credentials; it is never called"
        ))),
        None => Ok(()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    let v6 = match address {
        // 100.100.100.200 is the metadata service of a cloud that keeps it elsewhere.
        IpAddr::V4(v4) => return v4.is_link_local() || v4.octets() == [100, 100, 100, 200],
        IpAddr::V6(v6) => v6,
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([o1, o2], [o3, o4]) = (high.to_be_bytes(), low.to_be_bytes());
        is_link_local(IpAddr::from([o1, o2, o3, o4]))
    };
    match [a, b, c, d, e, f] {
        // Written as an IPv4 address (mapped, compatible, translated), or carrying one (NAT64, 6to4).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        // fe80::/10, and the address of a cloud's metadata service.
        _ => a & 0xffc0 == 0xfe80 || [a, b] == [0xfd00, 0xec2],
    }
}

/// The address without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.authority().rsplit('@').next().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn link_local_addresses_in_all_their_spellings() {
        for bad in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::169.254.169.254]/",
            "http://[::ffff:0:169.254.169.254]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://100.100.100.200/",
            "http://169.254.43518/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "file:///etc/passwd",
        ] {
            assert!(guard(&Url::parse(bad).unwrap()).await.is_err(), "{bad}");
        }
        for good in
            ["http://127.0.0.1:1/", "http://[::1]:1/", "http://[::ffff:10.0.0.1]/", "http://[2001:db8::1]/"]
        {
            assert!(guard(&Url::parse(good).unwrap()).await.is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_success() {
        for (status, policy, ok) in [
            (200, json!(null), true),
            (404, json!(null), true),
            (429, json!(null), false),
            (503, json!(null), false),
            (503, json!({"status": {"allow": [503]}}), true),
            (200, json!({"status": {"allow": [202]}}), false),
        ] {
            assert_eq!(judge("x", status, &policy).is_ok(), ok, "{status} {policy}");
        }
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://user:pass@host:8/a?token=1").unwrap();
        assert_eq!(shown(&url), "https://host:8/a");
    }
}
