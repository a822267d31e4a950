//! The expression filters: govaluate over named fields of the payload.

use std::collections::BTreeMap;

use tiphys_core::Clause;
use tiphys_lang::gjson;
use tiphys_lang::govaluate::{Program, Value};
use tiphys_manifest::sensor::{EventDependencyFilter, ExprFilter};

use super::Combine;
use super::word::{quoted, shown};
use crate::compile::Report;
use crate::parsed::Parsed;

/// All expressions of a dependency.
#[derive(Debug)]
pub(super) struct Expressions {
    combine: Combine,
    all: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    name: String,
    text: String,
    program: Program,
    /// Name and path of each variable.
    fields: Vec<(String, String)>,
}

impl Expressions {
    pub(super) fn compile(
        filters: &EventDependencyFilter,
        path: &str,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        if filters.exprs.is_empty() {
            return None;
        }
        let operator = path.replace(".exprs", ".exprLogicalOperator");
        let combine = Combine::compile(&filters.expr_logical_operator, &operator, report);
        let all = filters.exprs.iter().enumerate().filter_map(|(index, filter)| {
            Expression::compile(filter, index, &format!("{path}[{index}]"), report)
        });
        Some(Self { all: all.collect(), combine })
    }

    pub(super) fn judge(&self, _: &Parsed, text: &str, clauses: &mut Vec<Clause>) -> bool {
        text.is_empty() || self.combine.over(&self.all, clauses, |one| one.judge(text))
    }
}

impl Expression {
    fn compile(filter: &ExprFilter, index: usize, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let program = Program::compile(&filter.expr)
            .map_err(|error| {
                report.error(
                    &format!("{path}.expr"),
                    "TIP-SEN-003",
                    format!("the expression cannot be read: {error}"),
                    "operators are == != > >= < <= =~ !~ && || ! and brackets; texts stand in quotes",
                );
            })
            .ok()?;
        let fields: Vec<(String, String)> =
            filter.fields.iter().map(|f| (f.name.clone(), f.path.clone())).collect();
        for variable in program.variables() {
            if !fields.iter().any(|(name, _)| *name == variable) {
                report.warning(
                    &format!("{path}.expr"),
                    "TIP-SEN-003",
                    format!("the expression names `{variable}`, which no field defines"),
                    "add it to `fields` with its path in the payload; until then nothing passes",
                );
            }
        }
        Some(Self { name: format!("exprs[{index}]"), text: filter.expr.clone(), program, fields })
    }

    fn judge(&self, text: &str) -> Clause {
        let (passed, detail) = match self.variables(text) {
            Err(path) => (false, format!("{}: nothing stands at {path}", self.text)),
            Ok((variables, words)) => {
                let (passed, outcome) = match self.program.eval(&variables) {
                    Ok(Value::Bool(true)) => (true, "holds".to_owned()),
                    Ok(Value::Bool(false)) => (false, "does not hold".to_owned()),
                    Ok(_) => (false, "gives neither true nor false".to_owned()),
                    Err(error) => (false, format!("fails ({error})")),
                };
                (passed, format!("{} {outcome} with {words}", self.text))
            }
        };
        Clause { filter: self.name.clone(), passed, detail }
    }

    /// The variables and how they are told, or the path at which nothing stands.
    fn variables(&self, text: &str) -> Result<(BTreeMap<String, Value>, String), &str> {
        let mut variables = BTreeMap::new();
        let mut words = String::new();
        for (name, path) in &self.fields {
            let found = gjson::get(text, path).ok_or(path.as_str())?;
            if !words.is_empty() {
                words.push_str(", ");
            }
            words.push_str(name);
            words.push_str(" = ");
            words.push_str(&shown(&found));
            variables.insert(name.clone(), value_of(&found));
        }
        if words.is_empty() {
            words.push_str(&quoted(""));
        }
        Ok((variables, words))
    }
}

fn value_of(found: &gjson::Found<'_>) -> Value {
    match found.kind {
        gjson::Type::True => Value::Bool(true),
        gjson::Type::False => Value::Bool(false),
        gjson::Type::Null => Value::Null,
        gjson::Type::Number => Value::Number(found.number()),
        gjson::Type::String => Value::Text(found.text()),
        gjson::Type::Json => serde_json::from_str(&found.raw).map_or(Value::Null, json),
    }
}

fn json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(json).collect()),
        serde_json::Value::Null | serde_json::Value::Object(_) => Value::Null,
    }
}
