//! Multipaths: `{a,name:b}` builds an object and `[a,b]` an array.

use super::encode::push_quoted;
use super::paths::balanced_end;
use super::scan::slice;
use super::{Found, Scope, Step, evaluate};

/// Applies a path that begins with a multipath; `None` when it is none.
pub(super) fn step<'a, 'p>(json: &'a str, path: &'p str, scope: Scope<'_>) -> Option<Step<'a, 'p>> {
    let end = balanced_end(path, 0)?;
    let rest = slice(path, end, path.len());
    if !(rest.is_empty() || rest.starts_with(['|', '.'])) {
        return None;
    }
    let is_object = path.starts_with('{');
    let mut out = String::from(if is_object { "{" } else { "[" });
    for selector in selectors(slice(path, 1, end - 1)) {
        let Some(value) = evaluate(json, selector.path, scope) else {
            continue;
        };
        if out.len() > 1 {
            out.push(',');
        }
        if is_object {
            push_name(&mut out, &selector);
            out.push(':');
        }
        scope.charge(value.raw.len())?;
        out.push_str(&value.raw);
    }
    out.push(if is_object { '}' } else { ']' });
    Some(Step { found: Some(Found::json(out)), rest: (!rest.is_empty()).then(|| slice(rest, 1, rest.len())) })
}

struct Selector<'p> {
    name: &'p str,
    path: &'p str,
}

fn push_name(out: &mut String, selector: &Selector<'_>) {
    let name = selector.name;
    if name.starts_with('"') && serde_json::from_str::<serde::de::IgnoredAny>(name).is_ok() {
        out.push_str(name);
    } else if !name.is_empty() {
        push_quoted(out, name);
    } else {
        let last = last_segment(selector.path);
        let plain = last.chars().all(|character| character >= ' ' && !"[]{}()#|!".contains(character));
        push_quoted(out, if plain { last } else { "_" });
    }
}

fn last_segment(path: &str) -> &str {
    let bytes = path.as_bytes();
    let start = path
        .rmatch_indices(['|', '.'])
        .map(|(at, _)| at)
        .find(|at| at.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\\'));
    start.map_or(path, |start| slice(path, start + 1, path.len()))
}

/// The comma-separated members between the brackets.
fn selectors(inner: &str) -> Vec<Selector<'_>> {
    let bytes = inner.as_bytes();
    let mut selectors = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut colon = None;
    let mut modifier = false;
    while at < bytes.len() {
        match bytes.get(at) {
            Some(b'\\') => at += 1,
            // A colon behind a modifier begins its argument.
            Some(b'@') if at > 0 => modifier |= matches!(bytes.get(at - 1), Some(b'.' | b'|')),
            Some(b':') if !modifier && colon.is_none() => colon = Some(at),
            Some(b',') => {
                selectors.push(selector(inner, start, colon.take(), at));
                modifier = false;
                start = at + 1;
            }
            Some(b'"' | b'[' | b'(' | b'{') => {
                at = balanced_end(inner, at).unwrap_or(bytes.len());
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    selectors.push(selector(inner, start, colon, bytes.len()));
    selectors
}

fn selector(inner: &str, start: usize, colon: Option<usize>, end: usize) -> Selector<'_> {
    match colon {
        Some(colon) => Selector { name: slice(inner, start, colon), path: slice(inner, colon + 1, end) },
        None => Selector { name: "", path: slice(inner, start, end) },
    }
}
