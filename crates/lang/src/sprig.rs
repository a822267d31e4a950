//! The sprig functions: one table for templates and expressions. They work on template values; none does
//! I/O, and what depends on time or chance takes it from the run.
//!
//! Times are text in these values, in the form in which Go prints them, since template values have none.

mod arguments;
pub(crate) mod convert;
mod dict;
mod encode;
mod flow;
mod list;
mod math;
mod path;
mod random;
mod regex;
pub(crate) mod run;
mod strings;
mod table;
mod time;
mod words;

use gotmpl::Value;

use crate::LangError;
use crate::value::Value as ExprValue;
use arguments::Arguments;
use run::Run;

pub(crate) use table::TABLE;

type Outcome = Result<Value, LangError>;
type Call = fn(&mut Run, Arguments<'_>) -> Outcome;

/// One function, and how many arguments it takes.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    least: usize,
    most: usize,
    call: Call,
}

/// Functions of sprig that read the host; Argo Workflows refuses the first two as well.
const REFUSED: [&str; 3] = ["env", "expandenv", "getHostByName"];

/// The function of that name. `mustX` is `X`: here each function fails where it cannot answer.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    let of = |name: &str| TABLE.iter().find(|function| function.name == name);
    of(name).or_else(|| {
        let mut rest = name.strip_prefix("must")?.chars();
        let first = rest.next().filter(char::is_ascii_uppercase)?;
        of(&format!("{}{}", first.to_ascii_lowercase(), rest.as_str()))
    })
}

/// The message for a function that there is not.
pub(crate) fn unknown(shown: &str, name: &str) -> String {
    if REFUSED.contains(&name) {
        return format!("the function {shown} is not offered: it would read from the host");
    }
    let near = TABLE
        .iter()
        .map(|function| (strsim::damerau_levenshtein(function.name, name), function.name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match near {
        Some((_, near)) => format!("there is no function {shown}; did you mean {near}?"),
        None => format!("there is no function {shown}"),
    }
}

/// Calls a function.
pub(crate) fn call(function: &'static Function, run: &mut Run, values: &[Value]) -> Outcome {
    let count = values.len();
    run.spend(8 + count as u64)?;
    if count < function.least || count > function.most {
        let name = function.name;
        return Err(run.fail(format!("{name} does not take {count} arguments")));
    }
    (function.call)(run, Arguments { name: function.name, values })
}

/// Calls a function from an expression.
pub(crate) fn call_with_values(
    function: &'static Function,
    run: &mut Run,
    values: &[ExprValue],
) -> Result<ExprValue, LangError> {
    let mut converted = Vec::with_capacity(values.len());
    for value in values {
        run.pay_for(value)?;
        converted.push(convert::to_template(value));
    }
    let result = call(function, run, &converted)?;
    run.admit(&result)?;
    Ok(convert::from_template(&result))
}
