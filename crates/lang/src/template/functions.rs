//! The functions of templates: sprig's, and a few of our own that the rewriting of templates puts in.
//!
//! The template engine hands a function its arguments and nothing else. So the run that functions draw on
//! stands in a thread-local slot while a template renders; rendering never leaves its thread.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use gotmpl::{FuncMap, TemplateError, Value};

use crate::LangError;
use crate::sprig::run::Run;
use crate::sprig::{self, TABLE};
use crate::value::number::float_text;

/// Prints a value as Go does, floats above all; put behind each action that prints.
pub(super) const PRINT: &str = "#print";
/// Pays for a value that a builtin is about to print or compare.
pub(super) const WEIGH: &str = "#weigh";
/// The same for what `printf` prints by `%v`; gives the text that Go would print.
pub(super) const VALUE: &str = "#value";
/// Pays for one more round of a loop, or call of a template.
pub(super) const TICK: &str = "#tick";

/// Builtins of the engine that are kept as they are.
const BUILTINS: [&str; 18] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "urlquery",
];

/// Builtins whose work grows with the size of their arguments.
const WEIGHED: [&str; 10] = ["eq", "ge", "gt", "html", "js", "le", "lt", "ne", "printf", "urlquery"];

struct State {
    run: Run,
    /// The first error, in its own type.
    failure: Option<LangError>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Whether templates know such a function.
pub(super) fn is_known(name: &str) -> bool {
    BUILTINS.contains(&name) || sprig::find(name).is_some()
}

/// Whether a builtin's arguments are to be weighed.
pub(super) fn is_weighed(name: &str) -> bool {
    WEIGHED.contains(&name)
}

/// Does something with a run for functions to draw on. Gives back the error that stopped a function, too.
pub(super) fn during<T>(run: Run, body: impl FnOnce() -> T) -> (T, Option<LangError>) {
    let state = State { run, failure: None };
    STATE.with_borrow_mut(|slot| *slot = Some(state));
    let result = body();
    let state = STATE.with_borrow_mut(Option::take);
    (result, state.and_then(|state| state.failure))
}

fn with_run(body: impl FnOnce(&mut Run) -> Result<Value, LangError>) -> Result<Value, TemplateError> {
    STATE.with_borrow_mut(|slot| {
        let Some(state) = slot else {
            return Err(TemplateError::Exec("no template renders".to_owned()));
        };
        body(&mut state.run).map_err(|error| {
            let message = error.to_string();
            state.failure.get_or_insert(error);
            TemplateError::Exec(message)
        })
    })
}

/// All functions by name.
pub(super) fn all() -> FuncMap {
    static ALL: LazyLock<FuncMap> = LazyLock::new(build);
    ALL.clone()
}

fn build() -> FuncMap {
    let mut functions = FuncMap::new();
    for function in &TABLE {
        functions.insert(
            function.name.to_owned(),
            Arc::new(move |values: &[Value]| with_run(|run| sprig::call(function, run, values))),
        );
    }
    // `mustX` is not in the table; see `sprig::find`.
    for function in &TABLE {
        let mut rest = function.name.chars();
        let Some(first) = rest.next() else { continue };
        let name = format!("must{}{}", first.to_ascii_uppercase(), rest.as_str());
        functions.entry(name).or_insert_with(|| {
            Arc::new(move |values: &[Value]| with_run(|run| sprig::call(function, run, values)))
        });
    }
    functions.insert(PRINT.to_owned(), Arc::new(|values| with_run(|run| shown(run, values))));
    functions.insert(WEIGH.to_owned(), Arc::new(|values| with_run(|run| weighed(run, values))));
    functions.insert(VALUE.to_owned(), Arc::new(|values| with_run(|run| plain(run, values))));
    functions.insert(TICK.to_owned(), Arc::new(|_| with_run(tick)));
    functions.insert("print".to_owned(), Arc::new(|values| with_run(|run| print(run, values))));
    functions.insert("println".to_owned(), Arc::new(|values| with_run(|run| println(run, values))));
    functions
}

fn tick(run: &mut Run) -> Result<Value, LangError> {
    run.spend(16)?;
    Ok(Value::String("".into()))
}

fn weighed(run: &mut Run, values: &[Value]) -> Result<Value, LangError> {
    let value = values.last().unwrap_or(&Value::Nil);
    run.admit(value)?;
    Ok(value.clone())
}

fn plain(run: &mut Run, values: &[Value]) -> Result<Value, LangError> {
    match values.last() {
        Some(value @ (Value::Float(_) | Value::List(_) | Value::Map(_))) => {
            run.shown(value).map(|text| Value::String(text.into()))
        }
        _ => weighed(run, values),
    }
}

fn shown(run: &mut Run, values: &[Value]) -> Result<Value, LangError> {
    match values.last() {
        None | Some(Value::Nil) => Ok(Value::Nil),
        Some(Value::String(text)) => Ok(Value::String(text.clone())),
        Some(Value::Float(float)) => Ok(Value::String(float_text(*float).into())),
        Some(other) => run.shown(other).map(|text| Value::String(text.into())),
    }
}

/// Go's `Sprint`: a space stands between two values of which neither is text.
fn print(run: &mut Run, values: &[Value]) -> Result<Value, LangError> {
    let mut out = String::new();
    let mut last_is_text = true;
    for value in values {
        let is_text = matches!(value, Value::String(_));
        if !is_text && !last_is_text {
            out.push(' ');
        }
        out.push_str(&run.shown(value)?);
        last_is_text = is_text;
    }
    run.allow(out.len())?;
    Ok(Value::String(out.into()))
}

fn println(run: &mut Run, values: &[Value]) -> Result<Value, LangError> {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let separator = if index > 0 { " " } else { "" };
        let _ = write!(out, "{separator}{}", run.shown(value)?);
    }
    out.push('\n');
    run.allow(out.len())?;
    Ok(Value::String(out.into()))
}
