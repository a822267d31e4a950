//! The streams of Tiphys and the subjects in them. One place, so that each name exists once.

use std::fmt::Write as _;
use std::time::Duration;

use crate::port::StreamConfig;

/// Events: `events.NAMESPACE.SOURCE.EVENT`.
pub const EVENTS: &str = "EVENTS";
/// Firings: `firings.NAMESPACE.SENSOR.TRIGGER`.
pub const FIRINGS: &str = "FIRINGS";
/// Verdicts: `verdicts.NAMESPACE.SENSOR`.
pub const VERDICTS: &str = "VERDICTS";
/// Dead letters: `dead.NAMESPACE.STAGE.SENSOR.TRIGGER`.
pub const DEAD: &str = "DEAD";
/// Condition state, last value only: `state.NAMESPACE.SENSOR.TRIGGER`.
pub const STATE: &str = "STATE";
/// What became of each firing, last value only, 14 days: `ledger.FIRING-ID`.
pub const LEDGER: &str = "LEDGER";
/// Workflow journals: `workflows.NAMESPACE.NAME`.
pub const WORKFLOWS: &str = "WORKFLOWS";
/// Objects given by the API, last value only: `catalog.KIND.NAMESPACE.NAME`.
pub const CATALOG: &str = "CATALOG";
/// Mutations by API or command line, with who and why: `audit.NAMESPACE`.
pub const AUDIT: &str = "AUDIT";
/// Schedules' memory (calendar, cron), last value only: `cron.NAMESPACE.KIND.NAME`.
pub const CRON: &str = "CRON";
/// Claims, last value only: `claims.KEY`.
pub const CLAIMS: &str = "CLAIMS";
/// Switches set by hand (a paused trigger), last value only: `control.NAMESPACE.SENSOR.TRIGGER`.
pub const CONTROL: &str = "CONTROL";
/// How the processes of an installation are, last value only, a day: `parts.ROLE.INSTANCE`.
pub const PARTS: &str = "PARTS";

const DAY: Duration = Duration::from_secs(24 * 3600);
const GIB: u64 = 1 << 30;

/// Every stream with its limits. A full EVENTS stream never blocks the others: each has its own.
#[must_use]
pub fn all() -> Vec<StreamConfig> {
    let log = |name: &str, max_bytes: u64, days: u32, trim_acked: bool| StreamConfig {
        name: name.into(),
        max_messages: 0,
        max_bytes,
        max_age: DAY * days,
        duplicate_window: Duration::from_secs(600),
        last_per_subject: false,
        trim_acked,
    };
    let table = |name: &str, days: u32| StreamConfig {
        name: name.into(),
        max_messages: 0,
        max_bytes: 0,
        max_age: DAY * days,
        duplicate_window: Duration::ZERO,
        last_per_subject: true,
        trim_acked: false,
    };
    vec![
        log(EVENTS, 4 * GIB, 7, true),
        log(FIRINGS, 2 * GIB, 14, true),
        log(VERDICTS, GIB, 7, true),
        log(DEAD, GIB, 30, false),
        table(STATE, 0),
        table(LEDGER, 14),
        log(WORKFLOWS, 4 * GIB, 0, false),
        table(CATALOG, 0),
        log(AUDIT, GIB, 90, false),
        table(CRON, 0),
        table(CLAIMS, 0),
        table(CONTROL, 0),
        table(PARTS, 1),
    ]
}

/// Limits of EVENTS that somebody asked for; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventLimits {
    /// Messages.
    pub max_messages: Option<u64>,
    /// Bytes.
    pub max_bytes: Option<u64>,
    /// Age.
    pub max_age: Option<Duration>,
    /// How long ids are remembered.
    pub duplicate_window: Option<Duration>,
}

/// Every stream, with these limits of EVENTS.
#[must_use]
pub fn all_with(limits: &EventLimits) -> Vec<StreamConfig> {
    let mut streams = all();
    for events in streams.iter_mut().filter(|stream| stream.name == EVENTS) {
        events.max_messages = limits.max_messages.unwrap_or(events.max_messages);
        events.max_bytes = limits.max_bytes.unwrap_or(events.max_bytes);
        events.max_age = limits.max_age.unwrap_or(events.max_age);
        events.duplicate_window = limits.duplicate_window.unwrap_or(events.duplicate_window);
    }
    streams
}

/// Encodes a name as one token of a subject: what is not a letter, digit, `-` or `_` becomes `%XX`; an
/// empty name becomes `%`.
#[must_use]
pub fn token(name: &str) -> String {
    if name.is_empty() {
        return "%".into();
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The subject of these names below `root`, each encoded by [`token`].
#[must_use]
pub fn subject(root: &str, names: &[&str]) -> String {
    let mut out = root.to_ascii_lowercase();
    for name in names {
        out.push('.');
        out.push_str(&token(name));
    }
    out
}

/// Undoes [`token`].
#[must_use]
pub fn name_of(token: &str) -> String {
    if token == "%" {
        return String::new();
    }
    let bytes = token.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = token.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The stream of a subject: its first token in upper case.
#[must_use]
pub fn stream_of(subject: &str) -> String {
    subject.split('.').next().unwrap_or_default().to_ascii_uppercase()
}

/// Whether a subject matches a filter with `*` and a last `>`; an empty filter matches all.
#[must_use]
pub fn matches(filter: &str, subject: &str) -> bool {
    if filter.is_empty() {
        return true;
    }
    let mut wanted = filter.split('.');
    let mut have = subject.split('.');
    loop {
        match (wanted.next(), have.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(w), Some(h)) if w == h => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_are_one_token() {
        assert_eq!(subject(EVENTS, &["a.b", "", "c*"]), "events.a%2Eb.%.c%2A");
        assert_eq!(name_of("a%2Eb"), "a.b");
        assert_eq!(name_of("%"), "");
        assert_eq!(name_of(&token("grün %41")), "grün %41");
    }

    #[test]
    fn filters() {
        assert!(matches("a.*.c", "a.b.c"));
        assert!(matches("a.>", "a.b.c"));
        assert!(!matches("a.>", "a"));
        assert!(!matches("a.*", "a.b.c"));
        assert!(matches("", "a"));
    }
}
