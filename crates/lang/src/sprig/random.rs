//! Functions of chance. The same run gives the same: an event that is looked at again decides as before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotmpl::Value;

use super::Outcome;
use super::arguments::{Arguments, text};
use super::run::Run;
use crate::LangError;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

fn characters(run: &mut Run, a: Arguments<'_>, set: &[char]) -> Outcome {
    let count = usize::try_from(a.int(run, 0)?).unwrap_or(0);
    run.allow(count)?;
    run.spend((count as u64).saturating_mul(64))?;
    let mut out = String::with_capacity(count);
    for _ in 0..count {
        let index = run.random_below(set.len() as u64);
        out.extend(usize::try_from(index).ok().and_then(|index| set.get(index)));
    }
    Ok(text(out))
}

fn letters() -> Vec<char> {
    LOWER.chars().chain(LOWER.to_uppercase().chars()).collect()
}

pub(super) fn alpha(run: &mut Run, a: Arguments<'_>) -> Outcome {
    characters(run, a, &letters())
}

pub(super) fn alpha_num(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let set: Vec<char> = letters().into_iter().chain(DIGITS.chars()).collect();
    characters(run, a, &set)
}

pub(super) fn numeric(run: &mut Run, a: Arguments<'_>) -> Outcome {
    characters(run, a, &DIGITS.chars().collect::<Vec<_>>())
}

pub(super) fn ascii(run: &mut Run, a: Arguments<'_>) -> Outcome {
    characters(run, a, &(' '..='~').collect::<Vec<_>>())
}

pub(super) fn bytes(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let count = usize::try_from(a.int(run, 0)?).unwrap_or(0);
    run.allow(count.saturating_mul(2))?;
    run.spend(count as u64 * 4)?;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        bytes.extend(run.random());
    }
    bytes.truncate(count);
    Ok(text(STANDARD.encode(bytes)))
}

fn between(run: &mut Run, from: i64, to: i64) -> Result<i64, LangError> {
    match to.checked_sub(from).and_then(|size| u64::try_from(size).ok()) {
        Some(size) if size > 0 => {
            let step = i64::try_from(run.random_below(size)).unwrap_or(0);
            Ok(from.saturating_add(step))
        }
        _ => Err(run.fail("randInt: the second number must be the greater one")),
    }
}

pub(super) fn int(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (from, to) = (a.int(run, 0)?, a.int(run, 1)?);
    Ok(Value::Int(between(run, from, to)?))
}

pub(super) fn uuid(run: &mut Run, _: Arguments<'_>) -> Outcome {
    let mut digits: Vec<char> = hex::encode(run.random()).chars().take(32).collect();
    let variant = ['8', '9', 'a', 'b'];
    let chosen = usize::try_from(run.random_below(4)).unwrap_or(0);
    for (place, digit) in [(12, Some(&'4')), (16, variant.get(chosen))] {
        if let (Some(slot), Some(digit)) = (digits.get_mut(place), digit) {
            *slot = *digit;
        }
    }
    let mut out = String::with_capacity(36);
    for (index, digit) in digits.into_iter().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    Ok(text(out))
}

pub(super) fn shuffle(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut characters: Vec<char> = a.text(run, 0)?.chars().collect();
    run.allow(characters.len())?;
    run.spend(characters.len() as u64 * 64)?;
    for end in (1..characters.len()).rev() {
        let other = run.random_below(end as u64 + 1);
        characters.swap(end, usize::try_from(other).unwrap_or(end));
    }
    Ok(text(characters.into_iter().collect::<String>()))
}
