//! Functions with patterns. They take time linear in the text.

use gotmpl::Value;
use regex::{NoExpand, Regex, Replacer};

use super::Outcome;
use super::arguments::{Arguments, list, text};
use super::run::{MAX_TEXT, Run};
use crate::LangError;

/// Compiles the first argument, and pays for a pass over a text.
fn pattern(run: &mut Run, a: &Arguments<'_>, subject: &str) -> Result<Regex, LangError> {
    let pattern = a.text(run, 0)?;
    run.spend(pattern.len() as u64 * 16 + subject.len() as u64 + 1000)?;
    Regex::new(pattern).map_err(|error| run.fail(format!("{}: {error}", a.name)))
}

pub(super) fn is_match(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 1)?;
    Ok(Value::Bool(pattern(run, &a, subject)?.is_match(subject)))
}

pub(super) fn find(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 1)?;
    let found = pattern(run, &a, subject)?.find(subject);
    Ok(text(found.map_or("", |found| found.as_str())))
}

/// How many to find; a negative count means all.
fn count(run: &Run, a: &Arguments<'_>) -> Result<usize, LangError> {
    Ok(usize::try_from(a.int(run, 2)?).unwrap_or(usize::MAX))
}

pub(super) fn find_all(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (subject, count) = (a.text(run, 1)?, count(run, &a)?);
    let pattern = pattern(run, &a, subject)?;
    let found = pattern.find_iter(subject).take(count);
    Ok(list(found.map(|found| text(found.as_str())).collect()))
}

pub(super) fn split(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (subject, count) = (a.text(run, 1)?, count(run, &a)?);
    let pattern = pattern(run, &a, subject)?;
    Ok(list(pattern.splitn(subject, count).map(text).collect()))
}

pub(super) fn replace_all(run: &mut Run, a: Arguments<'_>) -> Outcome {
    replaced(run, &a, a.text(run, 2)?)
}

pub(super) fn replace_all_literal(run: &mut Run, a: Arguments<'_>) -> Outcome {
    replaced(run, &a, NoExpand(a.text(run, 2)?))
}

fn replaced(run: &mut Run, a: &Arguments<'_>, mut by: impl Replacer) -> Outcome {
    let subject = a.text(run, 1)?;
    let pattern = pattern(run, a, subject)?;
    let mut out = String::new();
    let mut end = 0;
    for captures in pattern.captures_iter(subject) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        out.push_str(subject.get(end..whole.start()).unwrap_or_default());
        by.replace_append(&captures, &mut out);
        end = whole.end();
        if out.len() > MAX_TEXT {
            break;
        }
    }
    out.push_str(subject.get(end..).unwrap_or_default());
    run.allow(out.len())?;
    Ok(text(out))
}

pub(super) fn quote_meta(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len() * 2)?;
    Ok(text(regex::escape(subject)))
}
