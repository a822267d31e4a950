//! `@pretty` and `@ugly`.

use super::encode::unquote;
use super::number;
use super::scan::{Members, root, slice, string_end};
use super::{Found, Scope, Type};

/// Drops the white space between tokens.
pub(super) fn ugly(json: &str) -> String {
    let bytes = json.as_bytes();
    let mut out = String::with_capacity(json.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at),
            _ => {
                let length = bytes.iter().skip(at + 1).position(|byte| *byte <= b' ' || *byte == b'"');
                length.map_or(bytes.len(), |length| at + 1 + length)
            }
        };
        if *byte > b' ' {
            out.push_str(slice(json, at, end));
            at = end;
        } else {
            at += 1;
        }
    }
    out
}

/// Breaks a text into indented lines; arrays of scalars stay on one line where they fit.
pub(super) fn pretty(json: &str, argument: &str, scope: Scope<'_>) -> String {
    let style = Style::parse(argument);
    let Some(value) = root(json) else {
        return String::new();
    };
    let mut out = style.prefix.clone();
    style.write(&mut out, &value, scope, 0);
    out.push('\n');
    out
}

struct Style {
    width: usize,
    prefix: String,
    indent: String,
    sort: bool,
}

/// Wider lines and longer indents serve nobody, but cost memory.
const WIDEST: f64 = 10_000.0;

impl Style {
    fn parse(argument: &str) -> Self {
        let mut style = Self { width: 80, prefix: String::new(), indent: String::from("  "), sort: false };
        let Some(argument) = root(argument) else {
            return style;
        };
        let blank = |value: &Found<'_>| -> String {
            let text = value.text();
            text.chars().filter(char::is_ascii_whitespace).take(16).collect()
        };
        for (key, value) in Members::of(&argument) {
            match unquote(key.unwrap_or_default()).as_ref() {
                "sortKeys" => style.sort = value.boolean(),
                "indent" => style.indent = blank(&value),
                "prefix" => style.prefix = blank(&value),
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "held between 0 and a small limit"
                )]
                "width" => style.width = number::parse(&value.text()).clamp(0.0, WIDEST) as usize,
                _ => {}
            }
        }
        style
    }

    fn write(&self, out: &mut String, value: &Found<'_>, scope: Scope<'_>, depth: u8) {
        let deeper = scope.deeper().filter(|_| scope.charge(value.raw.len()).is_some());
        let Some(deeper) = deeper.filter(|_| value.kind == Type::Json) else {
            out.push_str(&value.raw);
            return;
        };
        let is_object = value.starts_with('{');
        if !is_object && self.write_flat(out, value, deeper) {
            return;
        }
        let mut members: Vec<_> = Members::of(value).collect();
        if self.sort && is_object {
            members.sort_by(|(one, _), (other, _)| {
                unquote(one.unwrap_or_default()).cmp(&unquote(other.unwrap_or_default()))
            });
        }
        out.push(if is_object { '{' } else { '[' });
        for (position, (key, member)) in members.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            self.new_line(out, depth + 1);
            if let Some(key) = key {
                out.push_str(key);
                out.push_str(": ");
            }
            self.write(out, member, deeper, depth + 1);
        }
        if !members.is_empty() {
            self.new_line(out, depth);
        }
        out.push(if is_object { '}' } else { ']' });
    }

    fn new_line(&self, out: &mut String, depth: u8) {
        out.push('\n');
        out.push_str(&self.prefix);
        for _ in 0..depth {
            out.push_str(&self.indent);
        }
    }

    /// Writes an array on the current line, if it holds no object and fits.
    fn write_flat(&self, out: &mut String, value: &Found<'_>, scope: Scope<'_>) -> bool {
        let column = out.len() - out.rfind('\n').unwrap_or(0);
        let room = self.width.saturating_sub(column);
        let start = out.len();
        if room > 3 && flat(out, value, start + room, scope) {
            return true;
        }
        out.truncate(start);
        false
    }
}

fn flat(out: &mut String, value: &Found<'_>, limit: usize, scope: Scope<'_>) -> bool {
    if value.starts_with('{') || scope.charge(value.raw.len()).is_none() {
        return false;
    }
    let Some(deeper) = scope.deeper() else {
        return false;
    };
    if value.kind != Type::Json {
        out.push_str(&value.raw);
        return out.len() <= limit;
    }
    out.push('[');
    for (position, (_, member)) in Members::of(value).enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        if !flat(out, &member, limit, deeper) {
            return false;
        }
    }
    out.push(']');
    out.len() <= limit
}
