//! Functions on slash-separated paths, by their text alone.

use gotmpl::Value;

use super::Outcome;
use super::arguments::{Arguments, text};
use super::run::Run;

/// The shortest path that means the same, as Go's `path.Clean` has it.
fn cleaned(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

pub(super) fn clean(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let path = a.text(run, 0)?;
    run.allow(path.len())?;
    Ok(text(cleaned(path)))
}

pub(super) fn base(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let path = a.text(run, 0)?;
    run.allow(path.len())?;
    let trimmed = path.trim_end_matches('/');
    Ok(text(match (path, trimmed.rsplit('/').next()) {
        ("", _) => ".",
        (_, Some("") | None) => "/",
        (_, Some(last)) => last,
    }))
}

pub(super) fn dir(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let path = a.text(run, 0)?;
    run.allow(path.len())?;
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(text(cleaned(path.get(..end).unwrap_or_default())))
}

pub(super) fn ext(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let path = a.text(run, 0)?;
    run.allow(path.len())?;
    let last = path.rsplit('/').next().unwrap_or_default();
    let dot = last.rfind('.');
    Ok(text(dot.and_then(|dot| last.get(dot..)).unwrap_or_default()))
}

pub(super) fn is_abs(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(a.text(run, 0)?.starts_with('/')))
}
