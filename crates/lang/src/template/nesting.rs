//! Refuses templates that nest deeper than the parser, which goes down by recursion, can bear, and those
//! whose blocks are not closed.

use super::LANGUAGE;
use crate::LangError;

/// How deep blocks and brackets may nest.
const MAX_DEPTH: usize = 60;

/// Fails where blocks or brackets nest too deep, or a block has no end.
pub(super) fn check(text: &str) -> Result<(), LangError> {
    // One entry for each open block: itself and its `else if` branches, which nest as well.
    let mut blocks: Vec<usize> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let action = rest.get(start + 2..).unwrap_or_default();
        let (length, brackets) = measure(action);
        let words = trimmed(action.get(..length).unwrap_or_default());
        let (first, others) = word(words);
        if blocks.is_empty() && matches!(first, "else" | "end") {
            let before = text.len() - rest.len() + start;
            return Err(wrong("there is no block open here", text, before));
        }
        match first {
            "if" | "with" | "range" | "define" | "block" => blocks.push(1),
            "else" => {
                let chained = matches!(word(others).0, "if" | "with");
                if let Some(block) = blocks.last_mut().filter(|_| chained) {
                    *block += 1;
                }
            }
            "end" => drop(blocks.pop()),
            _ => {}
        }
        if brackets > MAX_DEPTH || blocks.iter().sum::<usize>() > MAX_DEPTH {
            let before = text.len() - rest.len() + start;
            return Err(wrong("blocks or brackets nest too deep", text, before));
        }
        rest = action.get(length..).unwrap_or_default();
    }
    // The engine forgives a missing `end`, and one too many; Go does not.
    if !blocks.is_empty() {
        return Err(wrong("a block is not closed: an end is missing", text, text.len()));
    }
    Ok(())
}

fn wrong(message: &str, text: &str, end: usize) -> LangError {
    LangError::Syntax {
        language: LANGUAGE,
        message: message.to_owned(),
        offset: text.get(..end).unwrap_or_default().chars().count(),
    }
}

/// An action without its trim marker.
fn trimmed(action: &str) -> &str {
    let rest = action.strip_prefix('-');
    let rest = rest.filter(|rest| rest.starts_with(|c: char| c.is_whitespace()));
    rest.unwrap_or(action)
}

/// The word at the beginning, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text.split_at(end.unwrap_or(text.len()))
}

/// The length of an action up to its end, and how deep its brackets go.
fn measure(action: &str) -> (usize, usize) {
    if trimmed(action).trim_start().starts_with("/*") {
        return (action.find("*/").map_or(action.len(), |end| end + 2), 0);
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in action.char_indices() {
        match quote {
            Some('`') if character == '`' => quote = None,
            Some('`') => {}
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None => match character {
                '"' | '\'' | '`' => quote = Some(character),
                '(' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                ')' => depth = depth.saturating_sub(1),
                '}' if action.get(at..).is_some_and(|rest| rest.starts_with("}}")) => {
                    return (at, deepest);
                }
                _ => {}
            },
        }
    }
    (action.len(), deepest)
}
