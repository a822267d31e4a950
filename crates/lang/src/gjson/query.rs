//! Queries on arrays: `#(path op value)`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::encode::{parse_bool, unescape};
use super::paths::{Next, balanced_end};
use super::scan::{slice, string_end};
use super::{Found, Type, number};

/// A segment that begins with `#(`.
pub(super) struct Query<'p> {
    /// What to read in each element; empty for the element itself.
    pub(super) path: &'p str,
    operator: Operator,
    operand: Cow<'p, str>,
    /// `#(…)#`: every match, not only the first.
    pub(super) all: bool,
    pub(super) next: Next<'p>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    NotLike,
}

/// Longer ones first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 10] = [
    ("!=", Operator::NotEqual),
    ("!%", Operator::NotLike),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
    ("%", Operator::Like),
    ("!", Operator::NotEqual),
];

impl<'p> Query<'p> {
    /// Reads the query at the start of `path`, which begins with `#(` or `#[`.
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let end = balanced_end(path, 1)?;
        let inner = slice(path, 2, end - 1);
        let (read, test) = inner.split_at_checked(operator_at(inner))?;
        let (operator, operand) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, test.strip_prefix(sign)?)))
            .unwrap_or((Operator::Exists, ""));
        let after = slice(path, end, path.len());
        let behind = after.strip_prefix('#');
        let rest = behind.unwrap_or(after);
        let next = match rest.find(['.', '|']) {
            None => Next::End,
            Some(at) if rest.as_bytes().get(at) == Some(&b'.') => Next::Path(slice(rest, at + 1, rest.len())),
            Some(at) => Next::Pipe(slice(rest, at + 1, rest.len())),
        };
        Some(Self {
            path: trim(read),
            operator,
            operand: operand_text(trim(operand)),
            all: behind.is_some(),
            next,
        })
    }

    /// Whether what was read in an element fits.
    pub(super) fn matches(&self, value: Option<&Found<'_>>) -> bool {
        if let Some(word) = self.operand.strip_prefix('~') {
            let truth = match word {
                "*" => value.is_some(),
                "null" => value.is_none_or(|value| value.kind == Type::Null),
                "true" => value.is_some_and(Found::boolean),
                "false" => value.is_none_or(is_falsy),
                _ => return false,
            };
            return self.compare_truth(truth, "true");
        }
        let Some(value) = value else { return false };
        if self.operator == Operator::Exists {
            return true;
        }
        match value.kind {
            Type::String => self.compare_text(&value.as_text()),
            Type::Number => {
                let order = value.number().partial_cmp(&number::parse(&self.operand));
                self.fits(order)
            }
            Type::True => self.compare_truth(true, &self.operand),
            Type::False => self.compare_truth(false, &self.operand),
            Type::Null | Type::Json => false,
        }
    }

    fn compare_text(&self, text: &str) -> bool {
        match self.operator {
            Operator::Like => matches_pattern(text, &self.operand),
            Operator::NotLike => !matches_pattern(text, &self.operand),
            _ => self.fits(Some(text.cmp(&self.operand))),
        }
    }

    /// False is less than true; another word equals neither, and only `!=` and the wide comparisons that
    /// need no second truth take it.
    fn compare_truth(&self, truth: bool, operand: &str) -> bool {
        match self.operator {
            Operator::Exists => true,
            Operator::Equal => operand == if truth { "true" } else { "false" },
            Operator::NotEqual => operand != if truth { "true" } else { "false" },
            Operator::Greater => truth && operand == "false",
            Operator::GreaterOrEqual => truth,
            Operator::Less => !truth && operand == "true",
            Operator::LessOrEqual => !truth,
            Operator::Like | Operator::NotLike => false,
        }
    }

    fn fits(&self, order: Option<Ordering>) -> bool {
        match self.operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            Operator::Exists | Operator::Like | Operator::NotLike => false,
        }
    }
}

fn is_falsy(value: &Found<'_>) -> bool {
    match value.kind {
        Type::Null | Type::False => true,
        Type::String => parse_bool(&value.as_text()) == Some(false),
        Type::Number => value.number() == 0.0,
        Type::True | Type::Json => false,
    }
}

/// Where the operator stands, outside nested queries and quotes; the length where there is none.
fn operator_at(inner: &str) -> usize {
    let bytes = inner.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'!' | b'=' | b'<' | b'>' | b'%' if depth == 0 => return at,
            b'\\' => at += 1,
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn operand_text(operand: &str) -> Cow<'_, str> {
    match operand.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) => unescape(text),
        None => Cow::Borrowed(operand),
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

/// `*` stands for any text, `?` for one character, a backslash takes the next one as it is. A failed match
/// goes back to the last star only, so the time is at worst the product of the lengths.
pub(super) fn matches_pattern(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    let mut retry = None;
    loop {
        let before = text.clone();
        let fits = match pattern.next() {
            Some('*') => {
                retry = Some((before, pattern.clone()));
                continue;
            }
            Some('?') => text.next().is_some(),
            Some('\\') => pattern.next().is_some_and(|wanted| text.next() == Some(wanted)),
            Some(wanted) => text.next() == Some(wanted),
            None if text.as_str().is_empty() => return true,
            None => false,
        };
        if fits {
            continue;
        }
        let Some((from, after_star)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        text = from.clone();
        pattern = after_star.clone();
    }
}
