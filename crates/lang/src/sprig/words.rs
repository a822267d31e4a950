//! Functions on the words of a text: their cases, and where lines are broken.

use super::Outcome;
use super::arguments::{Arguments, text};
use super::run::Run;

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Changes the first letter of each word.
fn first_letters(subject: &str, change: fn(char) -> String) -> String {
    let mut out = String::with_capacity(subject.len());
    let mut inside = false;
    for character in subject.chars() {
        if inside {
            out.push(character);
        } else {
            out.push_str(&change(character));
        }
        // Outside ASCII only space separates.
        inside = if character.is_ascii() { is_word(character) } else { !character.is_whitespace() };
    }
    out
}

pub(super) fn title(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    Ok(text(first_letters(subject, |c| c.to_uppercase().collect())))
}

pub(super) fn untitle(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    Ok(text(first_letters(subject, |c| c.to_lowercase().collect())))
}

pub(super) fn nospace(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    Ok(text(subject.split_whitespace().collect::<String>()))
}

pub(super) fn initials(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    let words = subject.split_whitespace();
    Ok(text(words.filter_map(|word| word.chars().next()).collect::<String>()))
}

pub(super) fn swapcase(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    let mut out = String::with_capacity(subject.len());
    for character in subject.chars() {
        if character.is_uppercase() {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
    }
    Ok(text(out))
}

/// Cuts at separators and where the case or kind of characters changes: `HTTPServer2x` has three words.
fn words(subject: &str) -> Vec<String> {
    let characters: Vec<char> = subject.chars().collect();
    let mut words = vec![String::new()];
    let mut last = ' ';
    for (index, character) in characters.iter().copied().enumerate() {
        if matches!(character, '_' | '-' | ' ' | '.') {
            words.push(String::new());
            last = ' ';
            continue;
        }
        let next_is_lower = characters.get(index + 1).is_some_and(|c| c.is_lowercase());
        let starts = match (last, character) {
            (last, c) if c.is_uppercase() => !last.is_uppercase() || next_is_lower,
            (last, c) if c.is_numeric() => !last.is_numeric(),
            _ => false,
        };
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
        last = character;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn joined(run: &mut Run, a: Arguments<'_>, separator: &str) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len().saturating_mul(2))?;
    Ok(text(words(subject).join(separator).to_lowercase()))
}

pub(super) fn snakecase(run: &mut Run, a: Arguments<'_>) -> Outcome {
    joined(run, a, "_")
}

pub(super) fn kebabcase(run: &mut Run, a: Arguments<'_>) -> Outcome {
    joined(run, a, "-")
}

pub(super) fn camelcase(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len().saturating_mul(2))?;
    let words = words(subject).into_iter();
    let words = words.map(|word| first_letters(&word.to_lowercase(), |c| c.to_uppercase().collect()));
    Ok(text(words.collect::<String>()))
}

/// Breaks lines at spaces; a word longer than a line stays whole.
fn broken(subject: &str, width: usize, line_end: &str) -> String {
    let mut out = String::with_capacity(subject.len());
    let mut length = 0;
    for word in subject.split(' ') {
        let size = word.chars().count();
        if length > 0 && length + 1 + size > width {
            out.push_str(line_end);
            length = 0;
        } else if !out.is_empty() {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += size;
    }
    out
}

pub(super) fn wrap(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let width = usize::try_from(a.int(run, 0)?).unwrap_or(1);
    let subject = a.text(run, 1)?;
    run.allow(subject.len())?;
    Ok(text(broken(subject, width, "\n")))
}

pub(super) fn wrap_with(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let width = usize::try_from(a.int(run, 0)?).unwrap_or(1);
    let (line_end, subject) = (a.text(run, 1)?, a.text(run, 2)?);
    let breaks = subject.matches(' ').count();
    run.allow(subject.len() + breaks.saturating_mul(line_end.len()))?;
    Ok(text(broken(subject, width, line_end)))
}
