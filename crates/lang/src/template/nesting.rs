//! Refuses templates that nest deeper than the parser, which goes down by recursion, can bear.

use super::LANGUAGE;
use crate::LangError;

/// How deep blocks and brackets may nest.
const MAX_DEPTH: usize = 60;

/// Fails where blocks or brackets nest too deep.
pub(super) fn check(text: &str) -> Result<(), LangError> {
    // One entry for each open block: itself and its `else if` branches, which nest as well.
    let mut blocks: Vec<usize> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let action = rest.get(start + 2..).unwrap_or_default();
        let (length, brackets) = measure(action);
        let words = action.get(..length).unwrap_or_default();
        let words = words.strip_prefix('-').unwrap_or(words);
        let mut words = words
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        match words.next() {
            Some("if" | "with" | "range" | "define" | "block") => blocks.push(1),
            Some("else") => {
                let chained = matches!(words.next(), Some("if" | "with"));
                if let Some(block) = blocks.last_mut().filter(|_| chained) {
                    *block += 1;
                }
            }
            Some("end") => drop(blocks.pop()),
            _ => {}
        }
        if brackets > MAX_DEPTH || blocks.iter().sum::<usize>() > MAX_DEPTH {
            let before = text.len() - rest.len() + start;
            return Err(LangError::Syntax {
                language: LANGUAGE,
                message: "blocks or brackets nest too deep".to_owned(),
                offset: text.get(..before).unwrap_or_default().chars().count(),
            });
        }
        rest = action.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// The length of an action up to its end, and how deep its brackets go.
fn measure(action: &str) -> (usize, usize) {
    let comment = action.strip_prefix("- ").unwrap_or(action).trim_start();
    if comment.starts_with("/*") {
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
