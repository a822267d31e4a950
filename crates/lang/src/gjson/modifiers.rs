//! Modifiers (`@reverse`, `@join:{"preserve":true}` …) and literals (`!"text"`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::encode::{push_quoted, unquote};
use super::paths::balanced_end;
use super::pretty;
use super::scan::{Members, root, slice};
use super::walk::List;
use super::{Found, Scope, Step, Type, evaluate};

const NAMES: [&str; 13] = [
    "dig", "flatten", "fromstr", "group", "join", "keys", "pretty", "reverse", "this", "tostr", "ugly",
    "valid", "values",
];

/// Whether there is a modifier of this name; other names behind an `@` are keys.
pub(super) fn exists(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

/// Applies a path that begins with a modifier; `None` when it is none.
pub(super) fn step<'a, 'p>(json: &'a str, path: &'p str, scope: Scope<'_>) -> Option<Step<'a, 'p>> {
    let body = slice(path, 1, path.len());
    let end = body.find([':', '|', '.']).unwrap_or(body.len());
    let name = slice(body, 0, end);
    if !exists(name) {
        return None;
    }
    let after = slice(body, end, body.len());
    let (argument, rest) = match after.strip_prefix(':') {
        Some(argument) => argument.split_at_checked(argument_end(argument))?,
        None => ("", after),
    };
    let result = apply(name, json, argument, scope);
    scope.charge(result.len())?;
    Some(onward(result, rest))
}

/// Applies a path that begins with a literal; `None` when it is none.
pub(super) fn literal<'a, 'p>(path: &'p str) -> Option<Step<'a, 'p>> {
    let body = slice(path, 1, path.len());
    let end = match body.as_bytes().first()? {
        b'"' | b'{' | b'[' => balanced_end(body, 0)?,
        b'+' | b'-' | b'0'..=b'9' => body.find('|').unwrap_or(body.len()),
        _ => body.find(['|', '.']).unwrap_or(body.len()),
    };
    let text = slice(body, 0, end);
    let is_word = ["true", "false", "null", "nan", "inf"].iter().any(|word| word.eq_ignore_ascii_case(text));
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) && !is_word {
        return None;
    }
    let rest = slice(body, end, body.len());
    Some(onward(Cow::Owned(text.to_owned()), rest))
}

/// Without a further path the text becomes a value; what follows it otherwise is ignored, as in gjson.
fn onward<'a, 'p>(text: Cow<'a, str>, rest: &'p str) -> Step<'a, 'p> {
    if rest.starts_with(['|', '.']) {
        return Step {
            found: Some(Found { kind: Type::Json, raw: text }),
            rest: Some(slice(rest, 1, rest.len())),
        };
    }
    let found = match text {
        Cow::Borrowed(text) => root(text),
        Cow::Owned(text) => root(&text).map(Found::into_owned),
    };
    Step { found, rest: None }
}

/// An argument is one JSON value, or runs to the next pipe.
fn argument_end(argument: &str) -> usize {
    let bytes = argument.as_bytes();
    if let Some(b'{' | b'[' | b'"') = bytes.first() {
        return balanced_end(argument, 0).unwrap_or(bytes.len());
    }
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'|' => return at,
            b'{' | b'[' | b'"' | b'(' => at = balanced_end(argument, at).unwrap_or(bytes.len()),
            _ => at += 1,
        }
    }
    bytes.len()
}

fn apply<'a>(name: &str, json: &'a str, argument: &str, scope: Scope<'_>) -> Cow<'a, str> {
    match name {
        "this" => Cow::Borrowed(json),
        "valid" if is_valid(json) => Cow::Borrowed(json),
        "pretty" => pretty::pretty(json, argument, scope).into(),
        "ugly" => pretty::ugly(json).into(),
        "reverse" => reverse(json),
        "flatten" => flatten(json, option(argument, "deep"), scope),
        "join" => join(json, option(argument, "preserve")),
        "keys" => keys(json).into(),
        "values" => values(json),
        "tostr" => {
            let mut out = String::with_capacity(json.len() + 2);
            push_quoted(&mut out, json);
            out.into()
        }
        "fromstr" if is_valid(json) => root(json).map(|value| value.text()).unwrap_or_default().into(),
        "group" => group(json).into(),
        "dig" => {
            let mut list = List::new();
            if let Some(value) = root(json) {
                dig(&value, argument, scope, &mut list);
            }
            list.into_text().into()
        }
        _ => Cow::Borrowed(""),
    }
}

fn is_valid(json: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
}

/// Whether an argument such as `{"deep":true}` has this switch on.
fn option(argument: &str, name: &str) -> bool {
    let Some(argument) = root(argument) else {
        return false;
    };
    Members::of(&argument)
        .filter(|(key, _)| key.is_some_and(|key| unquote(key) == name))
        .last()
        .is_some_and(|(_, value)| value.boolean())
}

fn reverse(json: &str) -> Cow<'_, str> {
    let Some(value) = root(json).filter(|value| value.kind == Type::Json) else {
        return Cow::Borrowed(json);
    };
    let is_object = value.starts_with('{');
    let mut members: Vec<_> = Members::of(&value).collect();
    members.reverse();
    let body = members.iter().map(|(key, value)| match key {
        Some(key) => format!("{key}:{}", value.raw),
        None => value.raw.clone().into_owned(),
    });
    let body = body.collect::<Vec<_>>().join(",");
    Cow::Owned(if is_object { format!("{{{body}}}") } else { format!("[{body}]") })
}

fn flatten<'a>(json: &'a str, deep: bool, scope: Scope<'_>) -> Cow<'a, str> {
    let Some(value) = root(json).filter(|value| value.starts_with('[')) else {
        return Cow::Borrowed(json);
    };
    let mut list = List::new();
    for (_, member) in Members::of(&value) {
        if !member.starts_with('[') {
            list.push(&member.raw);
            continue;
        }
        let deeper = scope.deeper().filter(|_| deep && scope.charge(member.raw.len()).is_some());
        let inner = match deeper {
            Some(deeper) => flatten(&member.raw, deep, deeper),
            None => Cow::Borrowed(&*member.raw),
        };
        let inner = unwrap(&inner).trim();
        if !inner.is_empty() {
            list.push(inner);
        }
    }
    list.into_text().into()
}

/// The text between the brackets.
fn unwrap(json: &str) -> &str {
    let json = json.trim();
    json.strip_prefix(['[', '{']).and_then(|inner| inner.strip_suffix([']', '}'])).unwrap_or(json)
}

fn join(json: &str, preserve: bool) -> Cow<'_, str> {
    let Some(value) = root(json).filter(|value| value.starts_with('[')) else {
        return Cow::Borrowed(json);
    };
    let objects: Vec<_> =
        Members::of(&value).map(|(_, member)| member).filter(|member| member.starts_with('{')).collect();
    if preserve {
        let bodies: Vec<_> = objects.iter().map(|object| unwrap(&object.raw)).collect();
        return Cow::Owned(format!("{{{}}}", bodies.join(",")));
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut members: Vec<(&str, Found<'_>)> = Vec::new();
    for (key, member) in objects.iter().flat_map(Members::of) {
        let key = key.unwrap_or_default();
        let place = *places.entry(unquote(key).into_owned()).or_insert(members.len());
        match members.get_mut(place) {
            Some((_, present)) => *present = member,
            None => members.push((key, member)),
        }
    }
    let members = members.iter().map(|(key, value)| format!("{key}:{}", value.raw));
    Cow::Owned(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

fn keys(json: &str) -> String {
    let mut list = List::new();
    if let Some(value) = root(json) {
        for (key, _) in Members::of(&value) {
            list.push(key.unwrap_or("null"));
        }
    }
    list.into_text()
}

fn values(json: &str) -> Cow<'_, str> {
    let mut list = List::new();
    match root(json) {
        Some(value) if value.starts_with('[') => return Cow::Borrowed(json),
        Some(value) => Members::of(&value).for_each(|(_, member)| list.push(&member.raw)),
        None => {}
    }
    list.into_text().into()
}

/// Turns an object of lists into a list of objects.
fn group(json: &str) -> String {
    let Some(value) = root(json).filter(|value| value.starts_with('{')) else {
        return String::new();
    };
    let mut objects: Vec<Vec<String>> = Vec::new();
    for (key, member) in Members::of(&value).filter(|(_, member)| member.starts_with('[')) {
        for (index, (_, item)) in Members::of(&member).enumerate() {
            let field = format!("{}:{}", key.unwrap_or_default(), item.raw);
            match objects.get_mut(index) {
                Some(fields) => fields.push(field),
                None => objects.push(vec![field]),
            }
        }
    }
    let mut list = List::new();
    for fields in objects {
        list.push(&format!("{{{}}}", fields.join(",")));
    }
    list.into_text()
}

/// The path in a value and in everything below it.
fn dig(value: &Found<'_>, path: &str, scope: Scope<'_>, list: &mut List) {
    let Some(deeper) = scope.deeper().filter(|_| scope.charge(value.raw.len()).is_some()) else {
        return;
    };
    if let Some(found) = evaluate(&value.raw, path, scope) {
        list.push(&found.raw);
    }
    if value.kind == Type::Json {
        for (_, member) in Members::of(value) {
            dig(&member, path, deeper, list);
        }
    }
}
