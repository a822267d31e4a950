//! Tags in manifests replaced by values: on the parsed tree, once. What is inserted is never scanned again.

use serde_json::Value;
use tiphys_lang::LangError;
use tiphys_lang::expr;
use tiphys_lang::govaluate;
use tiphys_lang::tags::{self, Piece, Text};
use tiphys_lang::template::Context;

use crate::names::item_text;
use crate::scope::{Found, Scope};

/// Names that begin so are ours; one that cannot be resolved is a mistake. Others may belong to the template
/// language of whatever the step runs, and stay as they are.
const OURS: [&str; 9] =
    ["inputs.", "outputs.", "steps.", "tasks.", "item.", "workflow.", "pod.", "node.", "lastRetry."];

fn wrong(message: String) -> LangError {
    LangError::Eval { language: "tags", message }
}

fn told(error: &LangError) -> String {
    match error {
        LangError::Eval { language: "tags", message } => message.clone(),
        other => other.to_string(),
    }
}

/// The value of one tag or expression; `Ok(None)` leaves it as written.
fn value_of(scope: &Scope<'_>, piece: &Piece) -> Result<Option<Found>, LangError> {
    match piece {
        Piece::Tag(name) => match scope.find(name) {
            Found::Wrong(why) => Err(wrong(format!("failed to resolve {{{{{name}}}}}: {why}"))),
            Found::Unknown if name == "item" || OURS.iter().any(|ours| name.starts_with(ours)) => {
                let why = format!("failed to resolve {{{{{name}}}}}: it means nothing here");
                Err(wrong(why))
            }
            Found::Unknown => Ok(None),
            found => Ok(Some(found)),
        },
        Piece::Expression(text) => match expression(scope, text)? {
            Value::Null => Ok(Some(Found::Absent)),
            value => Ok(Some(Found::Text(item_text(&value)))),
        },
        Piece::Literal(_) | Piece::Nested(_) => Ok(None),
    }
}

/// Evaluates an expression.
pub(crate) fn expression(scope: &Scope<'_>, text: &str) -> Result<Value, LangError> {
    let context = Context { now: scope.now, seed: scope.seed };
    expr::Program::compile(text)?
        .eval(&scope.environment(), context)
        .map_err(|error| wrong(format!("expression `{text}` failed: {error}")))
}

/// A text with its tags replaced. `None` where the whole text is one reference to a value that is absent.
pub(crate) fn text(scope: &Scope<'_>, written: &str) -> Result<Option<String>, String> {
    text_with(scope, written, &mut |value| value)
}

fn text_with(
    scope: &Scope<'_>,
    written: &str,
    insert: &mut dyn FnMut(String) -> String,
) -> Result<Option<String>, String> {
    if !written.contains("{{") {
        return Ok(Some(written.to_owned()));
    }
    let parsed = Text::parse(written);
    if let [piece @ Piece::Tag(_)] = parsed.pieces.as_slice()
        && let Ok(Some(Found::Absent)) = value_of(scope, piece)
    {
        return Ok(None);
    }
    render(scope, &parsed, insert).map(Some).map_err(|error| told(&error))
}

fn render(
    scope: &Scope<'_>,
    parsed: &Text,
    insert: &mut dyn FnMut(String) -> String,
) -> Result<String, LangError> {
    parsed.render(&mut |piece| match value_of(scope, piece)? {
        Some(Found::Text(value)) => Ok(Some(insert(value))),
        Some(_) => {
            let name = match piece {
                Piece::Tag(name) => format!("{{{{{name}}}}}"),
                Piece::Expression(text) => format!("{{{{={text}}}}}"),
                _ => String::new(),
            };
            Err(wrong(format!("{name} has no value: what should have made it was skipped or made none")))
        }
        None => Ok(None),
    })
}

/// A text with its tags replaced; an absent value is a mistake.
pub(crate) fn required(scope: &Scope<'_>, written: &str) -> Result<String, String> {
    present(written, text(scope, written)?)
}

fn present(written: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("{written} has no value: what should have made it was skipped or made none"))
}

/// A text with each value passed through `insert` before it stands in its place.
pub(crate) fn marked(
    scope: &Scope<'_>,
    written: &str,
    insert: &mut dyn FnMut(String) -> String,
) -> Result<String, String> {
    present(written, text_with(scope, written, insert)?)
}

/// A JSON tree with the tags in its texts replaced.
pub(crate) fn tree(scope: &Scope<'_>, written: &Value) -> Result<Value, String> {
    tags::map_strings(written, &mut |text| required(scope, text).map_err(wrong)).map_err(|error| told(&error))
}

/// The same for texts in which whoever runs the pod replaces `$(NAME)` by a variable, which may be a secret: what
/// is inserted is not taken for such a name.
pub(crate) fn expanded_tree(scope: &Scope<'_>, written: &Value) -> Result<Value, String> {
    let mut literal = |value: String| value.replace('$', "$$");
    tags::map_strings(written, &mut |text| {
        let value = text_with(scope, text, &mut literal).map_err(wrong)?;
        present(text, value).map_err(wrong)
    })
    .map_err(|error| told(&error))
}

/// Whether a `when` holds. A value inserted into quotes stays within them, and a bare one that is no plain word
/// or number is taken as text: a value cannot change what is asked. Only a `when` that is nothing but one tag
/// takes its value as the condition.
pub(crate) fn holds(scope: &Scope<'_>, when: &str) -> Result<bool, String> {
    let parsed = Text::parse(when);
    let told = |error: LangError| format!("invalid 'when' expression '{when}': {}", told(&error));
    let condition = if parsed.pieces.len() == 1 {
        render(scope, &parsed, &mut |value| value).map_err(told)?
    } else {
        let mut values: Vec<String> = Vec::new();
        let marked = render(scope, &parsed, &mut |value| {
            values.push(value);
            format!("{MARK}{}{MARK}", values.len() - 1)
        });
        insert_quoted(&marked.map_err(told)?, &values)
    };
    let program = govaluate::Program::compile_when(&condition).map_err(told)?;
    program.holds(&std::collections::BTreeMap::new()).map_err(told)
}

/// Stands around the number of a value that is yet to be inserted; no manifest holds it.
const MARK: char = '\u{1}';

fn insert_quoted(marked: &str, values: &[String]) -> String {
    let mut out = String::with_capacity(marked.len());
    let mut quote: Option<char> = None;
    for (index, part) in marked.split(MARK).enumerate() {
        if index % 2 == 0 {
            for c in part.chars() {
                match quote {
                    Some(open) if c == open => quote = None,
                    None if c == '\'' || c == '"' => quote = Some(c),
                    _ => {}
                }
            }
            out.push_str(part);
            continue;
        }
        let value = part.parse().ok().and_then(|at: usize| values.get(at));
        let value = value.map_or("", String::as_str);
        if quote.is_some() {
            out.push_str(&escaped(value));
        } else if is_word(value) {
            out.push_str(value);
        } else {
            out.push('\'');
            out.push_str(&escaped(value));
            out.push('\'');
        }
    }
    out
}

/// Whether a value may stand bare: one word or one number.
fn is_word(value: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = value.chars().next().is_some_and(char::is_alphabetic);
    let number = value.trim_start_matches('-').parse::<f64>().is_ok_and(f64::is_finite)
        && value.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    (starts && value.chars().all(word) && value != "in") || number
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_change_the_question() {
        let values = ["x' || true || 'x".to_owned(), "two words".to_owned(), "7".to_owned()];
        let marked = format!("'{MARK}0{MARK}' == 'y' && {MARK}1{MARK} == a && {MARK}2{MARK} > 5");
        let text = insert_quoted(&marked, &values);
        assert_eq!(text, "'x\\' || true || \\'x' == 'y' && 'two words' == a && 7 > 5");
    }
}
