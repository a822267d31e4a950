//! What a newcomer sees first: addresses, a request to paste for each webhook, the next schedules, where the
//! data is.

use std::fmt::Write as _;

use serde_json::Value;
use tiphys_catalog::Snapshot;
use tiphys_core::Timestamp;
use tiphys_lang::cron::Schedule;
use tiphys_manifest::{Kind, Severity};

/// What the banner tells.
pub(crate) struct Banner<'a> {
    /// Base address.
    pub(crate) base: &'a str,
    /// Data folder.
    pub(crate) data: &'a str,
    /// Where steps run.
    pub(crate) steps: &'a str,
    /// A command that reaches this server, from its words.
    pub(crate) hint: &'a dyn Fn(&str) -> String,
    /// Whether every step may run on the host.
    pub(crate) everything_on_host: bool,
    /// Whether nothing is kept.
    pub(crate) memory: bool,
    /// Whether others than this machine may connect.
    pub(crate) exposed: bool,
    /// The objects.
    pub(crate) snapshot: &'a Snapshot,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Banner<'_> {
    /// The text.
    pub(crate) fn render(&self) -> String {
        let mut out = format!("\ntiphys {}\n\n", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(out, "  API        {}   (token: {}/token)", self.base, self.data);
        let kept = if self.memory { "events are in memory, and gone at the end; steps in " } else { "" };
        let _ = writeln!(out, "  Data       {kept}{}", self.data);
        let _ = writeln!(out, "  Objects    {}", self.counts());
        let _ = writeln!(out, "  Steps      {}", self.steps);
        let errors = self.snapshot.diagnostics.iter().filter(|finding| finding.severity == Severity::Error);
        match errors.count() {
            0 => {}
            count => {
                let _ = writeln!(
                    out,
                    "  WARNING    manifests with errors are left out ({count}); see: {}",
                    (self.hint)("status")
                );
            }
        }
        if self.exposed {
            out.push_str("  WARNING    others than this machine can connect; webhooks without `auth` take events from anybody\n");
        }
        if self.everything_on_host {
            out.push_str(
                "  WARNING    --launcher process: every step runs on this machine, whatever its image says\n",
            );
        }
        let hooks = self.hooks();
        if !hooks.is_empty() {
            out.push_str("\n  Webhooks\n");
            hooks.iter().for_each(|hook| out.push_str(hook));
        }
        let schedules = self.schedules();
        if !schedules.is_empty() {
            out.push_str("\n  Next schedules\n");
            for (next, what) in schedules.iter().take(5) {
                let _ = writeln!(out, "    {next}   {what}");
            }
        }
        let follow = ["events tail", "list", "status"].map(|words| (self.hint)(words));
        // With options they are too long for one line.
        let long = follow[1] != "tiphys list";
        let follow = follow.join(if long { "\n             " } else { " | " });
        let _ = writeln!(out, "\n  Follow it  {follow}      Ctrl-C ends");
        out
    }

    fn counts(&self) -> String {
        let count = |kind: Kind| (kind, self.snapshot.of_kind(kind).count());
        let counts: Vec<String> = Kind::ALL
            .into_iter()
            .map(count)
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if counts.is_empty() { "none yet; put manifests into the folder".into() } else { counts.join(", ") }
    }

    /// One request per webhook. Secrets are named, not shown: the reader sets a variable.
    fn hooks(&self) -> Vec<String> {
        let mut hooks = Vec::new();
        for source in self.snapshot.of_kind(Kind::EventSource) {
            let webhooks = source.document.pointer("/spec/webhook").and_then(Value::as_object);
            for (event, hook) in webhooks.into_iter().flatten() {
                let method = hook.get("method").and_then(Value::as_str).unwrap_or("POST");
                let address = format!("{}/events/{}/{}/{event}", self.base, source.namespace, source.name);
                let (headers, notes) = credentials(hook);
                hooks.push(format!(
                    "    # {}/{event}{notes}\n    curl -i -X {method} {headers}-H 'Content-Type: application/json' -d '{{}}' {address}\n",
                    source.name
                ));
            }
        }
        hooks
    }

    fn schedules(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for cron in self.snapshot.of_kind(Kind::CronWorkflow) {
            let text = |key: &str| cron.document.pointer(&format!("/spec/{key}")).and_then(Value::as_str);
            let listed = cron.document.pointer("/spec/schedules").and_then(Value::as_array);
            let schedules =
                text("schedule").into_iter().chain(listed.into_iter().flatten().filter_map(Value::as_str));
            for schedule in schedules {
                all.extend(self.next(schedule, text("timezone"), format!("cron workflow {}", cron.name)));
            }
        }
        for source in self.snapshot.of_kind(Kind::EventSource) {
            let calendars = source.document.pointer("/spec/calendar").and_then(Value::as_object);
            for (event, calendar) in calendars.into_iter().flatten() {
                let text =
                    |key: &str| calendar.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
                let what = format!("event {}/{event}", source.name);
                match (text("schedule"), text("interval")) {
                    (Some(schedule), _) => all.extend(self.next(schedule, text("timezone"), what)),
                    (None, Some(interval)) => all.push((format!("every {interval}"), what)),
                    (None, None) => {}
                }
            }
        }
        all.sort();
        all
    }

    fn next(&self, schedule: &str, zone: Option<&str>, what: String) -> Option<(String, String)> {
        let zone = jiff::tz::TimeZone::get(zone.unwrap_or("UTC")).ok()?;
        let next = Schedule::parse(schedule, &zone).ok()?.next_after(self.now)?;
        Some((next.to_string(), format!("{what} ({schedule})")))
    }
}

/// Headers that a webhook wants, with variables for what is secret, and what the variables are.
fn credentials(hook: &Value) -> (String, String) {
    let (mut headers, mut notes) = (String::new(), String::new());
    let named = |selector: &Value| {
        let text = |key: &str| selector.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("key {} of Secret {}", text("key"), text("name"))
    };
    let first =
        |auth: &Value| auth.get("secrets").and_then(Value::as_array).and_then(|s| s.first()).map(named);
    if let Some(secret) = hook.get("authSecret").filter(|secret| !secret.is_null()) {
        headers.push_str("-H \"Authorization: Bearer $TOKEN\" ");
        let _ = write!(notes, "; TOKEN is {}", named(secret));
    }
    let auth = hook.get("auth").unwrap_or(&Value::Null);
    if let Some(key) = auth.get("apiKey").filter(|key| !key.is_null()) {
        let header = key.get("header").and_then(Value::as_str).unwrap_or("X-Api-Key");
        let _ = write!(headers, "-H \"{header}: $API_KEY\" ");
        let _ = write!(notes, "; API_KEY is {}", first(key).unwrap_or_default());
    }
    if let Some(bearer) = auth.get("bearer").filter(|bearer| !bearer.is_null()) {
        headers.push_str("-H \"Authorization: Bearer $TOKEN\" ");
        let _ = write!(notes, "; TOKEN is {}", first(bearer).unwrap_or_default());
    }
    if let Some((header, secret)) = signature(auth, named) {
        // The body of the printed request, signed as the sender signs it.
        let _ = write!(headers, "-H \"{header}: $(printf '{{}}' | tiphys tool hmac --key-env HMAC_KEY)\" ");
        let _ = write!(notes, "; HMAC_KEY is {secret}, and exported");
    }
    (headers, notes)
}

/// The header of a signature by HMAC-SHA256 in hex, and what its secret is.
fn signature(auth: &Value, named: impl Fn(&Value) -> String) -> Option<(String, String)> {
    let first = |of: &Value| of.get("secrets").and_then(Value::as_array).and_then(|s| s.first()).map(&named);
    if let Some(hmac) = auth.get("hmac").filter(|hmac| !hmac.is_null()) {
        let header = hmac.get("header").and_then(Value::as_str).unwrap_or("X-Hub-Signature");
        return Some((header.to_owned(), first(hmac)?));
    }
    let header = match auth.get("preset").and_then(Value::as_str)? {
        "jira" => "X-Hub-Signature",
        "github" => "X-Hub-Signature-256",
        _ => return None,
    };
    Some((header.to_owned(), first(auth)?))
}
