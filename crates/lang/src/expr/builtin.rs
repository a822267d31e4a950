//! The functions of expr-lang that take no closure, and those that Argo adds.

mod list;
mod number;
mod text;
mod time;

use std::cmp::Ordering;

use crate::LangError;
use crate::sprig::run::Run;
use crate::value::Value;

type Outcome = Result<Value, LangError>;
type Call = fn(&mut Run, &[Value]) -> Outcome;

/// One function, and how many arguments it takes.
#[derive(Debug)]
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) call: Call,
}

const fn builtin(name: &'static str, least: usize, most: usize, call: Call) -> Builtin {
    Builtin { name, least, most, call }
}

const MANY: usize = usize::MAX;

static TABLE: [Builtin; 60] = [
    builtin("abs", 1, 1, number::abs),
    builtin("asFloat", 1, 1, number::float),
    builtin("asInt", 1, 1, number::int),
    builtin("bitand", 2, 2, number::bitand),
    builtin("bitnand", 2, 2, number::bitnand),
    builtin("bitnot", 1, 1, number::bitnot),
    builtin("bitor", 2, 2, number::bitor),
    builtin("bitshl", 2, 2, number::bitshl),
    builtin("bitshr", 2, 2, number::bitshr),
    builtin("bitushr", 2, 2, number::bitushr),
    builtin("bitxor", 2, 2, number::bitxor),
    builtin("ceil", 1, 1, number::ceil),
    builtin("concat", 1, MANY, list::concat),
    builtin("date", 1, 3, time::date),
    builtin("duration", 1, 1, time::duration),
    builtin("first", 1, 1, list::first),
    builtin("flatten", 1, 1, list::flatten),
    builtin("float", 1, 1, number::float),
    builtin("floor", 1, 1, number::floor),
    builtin("fromBase64", 1, 1, text::from_base64),
    builtin("fromJSON", 1, 1, text::from_json),
    builtin("fromPairs", 1, 1, list::from_pairs),
    builtin("get", 2, 2, list::get),
    builtin("hasPrefix", 2, 2, text::has_prefix),
    builtin("hasSuffix", 2, 2, text::has_suffix),
    builtin("indexOf", 2, 2, text::index_of),
    builtin("int", 1, 1, number::int),
    builtin("join", 1, 2, text::join),
    builtin("jsonpath", 2, 2, text::jsonpath),
    builtin("keys", 1, 1, list::keys),
    builtin("last", 1, 1, list::last),
    builtin("lastIndexOf", 2, 2, text::last_index_of),
    builtin("len", 1, 1, list::len),
    builtin("lower", 1, 1, text::lower),
    builtin("max", 1, MANY, number::max),
    builtin("mean", 1, MANY, number::mean),
    builtin("median", 1, MANY, number::median),
    builtin("min", 1, MANY, number::min),
    builtin("now", 0, 0, time::now),
    builtin("repeat", 2, 2, text::repeat),
    builtin("replace", 3, 4, text::replace),
    builtin("reverse", 1, 1, list::reverse),
    builtin("round", 1, 1, number::round),
    builtin("sort", 1, 2, list::sort),
    builtin("split", 2, 3, text::split),
    builtin("splitAfter", 2, 3, text::split_after),
    builtin("string", 1, 1, text::string),
    builtin("take", 2, 2, list::take),
    builtin("timezone", 1, 1, time::timezone),
    builtin("toBase64", 1, 1, text::to_base64),
    builtin("toJSON", 1, 1, text::to_json_indented),
    builtin("toJson", 1, 1, text::to_json),
    builtin("toPairs", 1, 1, list::to_pairs),
    builtin("trim", 1, 2, text::trim),
    builtin("trimPrefix", 1, 2, text::trim_prefix),
    builtin("trimSuffix", 1, 2, text::trim_suffix),
    builtin("type", 1, 1, text::type_name),
    builtin("uniq", 1, 1, list::uniq),
    builtin("upper", 1, 1, text::upper),
    builtin("values", 1, 1, list::values),
];

/// The function of that name.
pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    TABLE.iter().find(|function| function.name == name)
}

/// The error of an argument that does not fit.
fn unfit(run: &Run, function: &str, value: &Value) -> LangError {
    run.fail(format!("invalid argument for {function} (type {})", value.go_type()))
}

/// Reads `"asc"` or `"desc"`.
pub(super) fn descending(run: &mut Run, order: Option<&Value>) -> Result<bool, LangError> {
    match order {
        None => Ok(false),
        Some(Value::Text(text)) if text.as_ref() == "asc" => Ok(false),
        Some(Value::Text(text)) if text.as_ref() == "desc" => Ok(true),
        Some(_) => Err(run.fail("the order must be \"asc\" or \"desc\"")),
    }
}

/// Sorts items by their keys; equal ones keep their order.
pub(super) fn sort_by_keys(
    run: &mut Run,
    keys: Vec<Value>,
    items: Vec<Value>,
    descending: bool,
) -> Result<Vec<Value>, LangError> {
    let count = keys.len() as u64;
    run.spend(count * 8 * (count.max(2).ilog2() as u64))?;
    let mut pairs: Vec<(Value, Value)> = keys.into_iter().zip(items).collect();
    if let Some((wrong, _)) = pairs.iter().find(|(key, _)| {
        let first = pairs.first().map(|(first, _)| first);
        first.is_none_or(|first| first.order(key).is_none())
    }) {
        return Err(run.fail(format!("cannot sort {}", wrong.go_type())));
    }
    pairs.sort_by(|(left, _), (right, _)| {
        let order = left.order(right).unwrap_or(Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    Ok(pairs.into_iter().map(|(_, item)| item).collect())
}
