//! `kubectl -o jsonpath`: a text with paths in braces, such as `{.metadata.name}` or
//! `{range .items[*]}{.metadata.name}{"\n"}{end}`.
//!
//! A path that leads nowhere gives nothing, as kubectl has it; several values are separated by spaces; texts stand bare
//! and everything else as JSON.

use jsonpath_rust::JsonPath as _;
use serde_json::Value;

use crate::LangError;

const LANGUAGE: &str = "jsonPath";
/// Bytes of a template.
const MAX_LENGTH: usize = 4096;
/// The path reader recurses.
const MAX_BRACKETS: usize = 32;
/// Bytes of what comes out.
const MAX_OUTPUT: usize = 4 << 20;
/// How deep `range` may nest.
const MAX_DEPTH: usize = 8;

/// A part of a template.
#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    /// A path of RFC 9535.
    Path(String),
    Range(String, Vec<Part>),
}

/// The text that a template gives for a document.
///
/// # Errors
/// Where the template is none, or makes too much.
pub fn render(template: &str, document: &Value) -> Result<String, LangError> {
    if template.len() > MAX_LENGTH || template.matches(['[', '(']).count() > MAX_BRACKETS {
        return Err(LangError::Limit { language: LANGUAGE, limit: "the length of a template" });
    }
    let mut pieces = pieces(template)?.into_iter();
    let parts = parts(&mut pieces, 0)?;
    if pieces.next().is_some() {
        return Err(failed("{end} without {range …}".into()));
    }
    let mut out = String::new();
    write(&parts, document, &mut out)?;
    Ok(out)
}

/// What stands between braces, and what does not.
enum Piece<'t> {
    Plain(&'t str),
    Braced(&'t str),
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, LangError> {
    let mut all = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        if !before.is_empty() {
            all.push(Piece::Plain(before));
        }
        let close = closing(from).ok_or_else(|| failed(format!("`{template}`: a brace is not closed")))?;
        all.push(Piece::Braced(from.get(1..close).unwrap_or_default().trim()));
        rest = from.get(close + 1..).unwrap_or_default();
    }
    if !rest.is_empty() {
        all.push(Piece::Plain(rest));
    }
    Ok(all)
}

/// Where the brace at the beginning is closed; not within quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices().skip(1) {
        match quote {
            _ if escaped => escaped = false,
            _ if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c == '}' => return Some(at),
            None => {}
        }
    }
    None
}

fn parts<'t>(pieces: &mut impl Iterator<Item = Piece<'t>>, depth: usize) -> Result<Vec<Part>, LangError> {
    if depth > MAX_DEPTH {
        return Err(LangError::Limit { language: LANGUAGE, limit: "the depth of ranges" });
    }
    let mut all = Vec::new();
    while let Some(piece) = pieces.next() {
        all.push(match piece {
            Piece::Plain(text) => Part::Text(text.to_owned()),
            Piece::Braced("end") if depth > 0 => return Ok(all),
            Piece::Braced("end") => return Err(failed("{end} without {range …}".into())),
            Piece::Braced(quoted) if quoted.starts_with(['"', '\'']) => Part::Text(unquoted(quoted)?),
            Piece::Braced(text) => match text.strip_prefix("range ") {
                Some(path) => Part::Range(standard(path.trim())?, parts(pieces, depth + 1)?),
                None => Part::Path(standard(text)?),
            },
        });
    }
    if depth > 0 {
        return Err(failed("{range …} without {end}".into()));
    }
    Ok(all)
}

/// A text in quotes, with the escapes of Go.
fn unquoted(quoted: &str) -> Result<String, LangError> {
    let wrong = || failed(format!("{quoted} is no text in quotes"));
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).ok_or_else(wrong)?;
    if quoted.len() < 2 || quoted.chars().last() != quoted.chars().next() {
        return Err(wrong());
    }
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next().ok_or_else(wrong)? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            },
            c => c,
        });
    }
    Ok(out)
}

/// From kubectl's spelling to that of RFC 9535: the root may be left out, and a name is whatever stands between dots,
/// where a backslash takes a dot into it.
fn standard(path: &str) -> Result<String, LangError> {
    let mut out = String::from("$");
    let body = path.strip_prefix(['$', '@']).unwrap_or(path);
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '.' => {
                if chars.peek() == Some(&'.') {
                    chars.next();
                    out.push_str("..");
                    if chars.peek() == Some(&'[') {
                        continue;
                    }
                }
                let mut name = String::new();
                while let Some(&next) = chars.peek() {
                    match next {
                        '.' | '[' => break,
                        '\\' => {
                            chars.next();
                            name.extend(chars.next());
                        }
                        other => {
                            chars.next();
                            name.push(other);
                        }
                    }
                }
                match name.as_str() {
                    "" => {}
                    "*" => out.push_str("[*]"),
                    name => {
                        let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
                        out.push_str(&format!("['{escaped}']"));
                    }
                }
            }
            '[' => {
                out.push('[');
                bracket(&mut chars, &mut out)
                    .ok_or_else(|| failed(format!("`{path}`: a bracket is not closed")))?;
            }
            _ => {
                return Err(failed(format!(
                    "`{path}` is no path: it begins with a dot, as in {{.metadata.name}}"
                )));
            }
        }
    }
    Ok(out)
}

/// Copies up to the bracket that closes.
fn bracket(chars: &mut impl Iterator<Item = char>, out: &mut String) -> Option<()> {
    let (mut depth, mut quote, mut escaped) = (1_usize, None, false);
    loop {
        let c = chars.next()?;
        out.push(c);
        match quote {
            _ if escaped => escaped = false,
            _ if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '[' => depth += 1,
                ']' if depth == 1 => return Some(()),
                ']' => depth -= 1,
                _ => {}
            },
        }
    }
}

fn write(parts: &[Part], document: &Value, out: &mut String) -> Result<(), LangError> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                for (number, value) in query(document, path)?.into_iter().enumerate() {
                    if number > 0 {
                        out.push(' ');
                    }
                    match value {
                        Value::String(text) => out.push_str(text),
                        Value::Null => {}
                        other => out.push_str(&other.to_string()),
                    }
                }
            }
            Part::Range(path, body) => {
                for value in query(document, path)? {
                    write(body, value, out)?;
                }
            }
        }
        if out.len() > MAX_OUTPUT {
            return Err(LangError::Limit { language: LANGUAGE, limit: "the output of a template" });
        }
    }
    Ok(())
}

fn query<'d>(document: &'d Value, path: &str) -> Result<Vec<&'d Value>, LangError> {
    if path == "$" {
        return Ok(vec![document]);
    }
    document.query(path).map_err(|error| failed(format!("`{path}` is no path: {error}")))
}

fn failed(message: String) -> LangError {
    LangError::Eval { language: LANGUAGE, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_as_kubectl_renders_them() {
        let document = json!({
            "metadata": {"name": "web", "annotations": {"example.com/a.b": "dotted"}},
            "spec": {"replicas": 3, "on": true, "empty": null},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Live", "status": "False"}]},
            "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
        });
        for (template, expected) in [
            ("{.metadata.name}", "web"),
            ("{$.metadata.name}", "web"),
            ("{ .metadata.name }", "web"),
            ("name={.metadata.name}, {.spec.replicas}", "name=web, 3"),
            ("{.metadata.annotations.example\\.com/a\\.b}", "dotted"),
            ("{.metadata.annotations['example.com/a.b']}", "dotted"),
            ("{.spec.on}{.spec.empty}{.nothing.here}", "true"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[-1:].metadata.name}", "b"),
            ("{.items[0].metadata}", r#"{"name":"a"}"#),
            ("{.status.conditions[?(@.type==\"Ready\")].status}", "True"),
            ("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"),
            ("{range .items[*]}[{@.metadata.name}]{end}!", "[a][b]!"),
            ("{.items..name}", "a b"),
            ("plain", "plain"),
        ] {
            assert_eq!(render(template, &document).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(render("{.}", &json!({"a": 1})).as_deref(), Ok(r#"{"a":1}"#));
    }

    #[test]
    fn what_is_no_template_is_told() {
        for wrong in ["{.a", "{range .a}{.b}", "{end}", "{metadata.name}", "{.a[0}", "{.a[?(]}", "{\"x}"] {
            assert!(render(wrong, &json!({"a": [1]})).is_err(), "{wrong}");
        }
    }
}
