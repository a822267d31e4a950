//! `streamConfig`: YAML within YAML, read as viper reads it: keys in any case, numbers also as texts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tiphys_bus::streams::EventLimits;

/// A day and more would let nobody replay; less than this no sensor could keep up with.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// What stands there.
#[derive(Debug, Default)]
pub(super) struct StreamText {
    pub(super) limits: EventLimits,
    pub(super) replicas: Option<i32>,
    /// What is wanted and not done, and what to do.
    pub(super) without_effect: Vec<(String, &'static str)>,
}

impl StreamText {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let map: BTreeMap<String, Value> =
            serde_saphyr::from_str(text).map_err(|error| format!("not the YAML of a map: {error}"))?;
        let mut out = Self::default();
        for (key, value) in map {
            let wrong = |why: String| format!("`{key}`: {why}");
            match key.to_ascii_lowercase().as_str() {
                "maxmsgs" => out.limits.max_messages = most(&value).map_err(wrong)?,
                "maxbytes" => out.limits.max_bytes = most(&value).map_err(wrong)?,
                "maxage" => out.limits.max_age = time(&value).map_err(wrong)?,
                "duplicates" => out.limits.duplicate_window = time(&value).map_err(wrong)?,
                "replicas" => out.replicas = Some(number(&value).map_err(wrong)?),
                "retention" => out.retention(&value, &key),
                "discard" => out.discard(&value, &key),
                _ => out.without_effect.push((
                    format!("`{key}` is not known"),
                    "known are maxMsgs, maxBytes, maxAge, replicas, duplicates, retention and discard",
                )),
            }
        }
        Ok(out)
    }

    fn retention(&mut self, value: &Value, key: &str) {
        if number::<i64>(value) != Ok(0) {
            self.without_effect.push((
                format!("`{key}`: events are kept by limits (0), so that they can be replayed"),
                "leave it out; what every consumer has acked makes room where room is needed",
            ));
        }
    }

    fn discard(&mut self, value: &Value, key: &str) {
        if number::<i64>(value) != Ok(1) {
            self.without_effect.push((
                format!("`{key}`: a full stream refuses new events (1) rather than to lose old ones"),
                "leave it out, or write 1",
            ));
        }
    }
}

fn number<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    let whole = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    whole.and_then(|n| T::try_from(n).ok()).ok_or_else(|| format!("{value} is no such number"))
}

/// A limit; what is not positive sets none, and so leaves ours.
fn most(value: &Value) -> Result<Option<u64>, String> {
    let bytes = match value {
        Value::String(text) if text.trim().parse::<i64>().is_err() => bytes(text)?,
        value => u64::try_from(number::<i64>(value)?).unwrap_or(0),
    };
    Ok(Some(bytes).filter(|most| *most > 0))
}

fn time(value: &Value) -> Result<Option<Duration>, String> {
    match value {
        Value::String(text) => age(text).map(Some),
        // A bare number is nanoseconds, as Go counts.
        value => {
            Ok(Some(Duration::from_nanos(number::<i64>(value)?.unsigned_abs())).filter(|d| !d.is_zero()))
        }
    }
}

/// A time as Go writes it.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let read = tiphys_lang::duration::parse(text.trim()).filter(|age| *age >= LEAST_AGE);
    read.ok_or_else(|| format!("`{text}` is no duration of a second or more, such as `72h`"))
}

/// A size as NATS writes it: `1000`, `1MB`, `4GiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" => Some(1000),
        "m" => Some(1_000_000),
        "g" => Some(1_000_000_000),
        "t" => Some(1_000_000_000_000),
        "kb" | "ki" | "kib" => Some(1 << 10),
        "mb" | "mi" | "mib" => Some(1 << 20),
        "gb" | "gi" | "gib" => Some(1 << 30),
        "tb" | "ti" | "tib" => Some(1 << 40),
        _ => None,
    };
    let read = digits.parse::<u64>().ok().zip(scale).and_then(|(n, scale)| n.checked_mul(scale));
    read.ok_or_else(|| format!("`{text}` is no size, such as `1MB`"))
}
