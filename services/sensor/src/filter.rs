//! Filters: which events count. Argo's rules, and each comparison told in words.

use tiphys_core::Clause;
use tiphys_manifest::sensor::{EventDependency, EventDependencyFilter};

use crate::compile::Report;
use crate::failure::Failure;
use crate::parsed::Parsed;

mod context;
mod data;
mod expression;
mod time;
mod word;

#[cfg(test)]
mod tests;

/// How several results combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combine {
    All,
    Any,
}

impl Combine {
    fn compile(text: &str, path: &str, report: &mut Report<'_>) -> Self {
        match text {
            "" | "and" => Self::All,
            "or" => Self::Any,
            other => {
                report.error(
                    path,
                    "TIP-SEN-002",
                    format!("`{other}` is no logical operator"),
                    "write `and` or `or`, in lower case",
                );
                Self::All
            }
        }
    }

    /// Judges one after the other, and stops as soon as the result is certain.
    fn over<'a, T: 'a>(
        self,
        items: impl IntoIterator<Item = &'a T>,
        clauses: &mut Vec<Clause>,
        judge: impl Fn(&T) -> Clause,
    ) -> bool {
        for item in items {
            let clause = judge(item);
            let passed = clause.passed;
            clauses.push(clause);
            if passed == (self == Self::Any) {
                return passed;
            }
        }
        self == Self::All
    }
}

/// What the filters of a dependency say of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It counts.
    Passed,
    /// It does not.
    Refused,
    /// It cannot be said.
    Failed(Failure),
}

/// The compiled filters of a dependency.
#[derive(Debug)]
pub(crate) struct Filters {
    dependency: String,
    combine: Combine,
    /// Present where the payload is changed first.
    transform: Option<&'static str>,
    expressions: Option<expression::Expressions>,
    data: Option<data::DataFilters>,
    context: Option<context::ContextFilter>,
    window: Option<time::Window>,
    script: bool,
    /// Whether the manifest has `filters` at all; under `or`, filters that are there and empty pass nothing.
    present: bool,
}

impl Filters {
    /// Compiles; what is wrong goes into the report.
    pub(crate) fn compile(dependency: &EventDependency, path: &str, report: &mut Report<'_>) -> Self {
        let empty = EventDependencyFilter::default();
        let filters = dependency.filters.as_ref().unwrap_or(&empty);
        let at = |name: &str| format!("{path}.filters.{name}");
        let transform = dependency.transform.as_ref().and_then(|transform| {
            match (transform.jq.is_empty(), transform.script.is_empty()) {
                (false, _) => Some("transform.jq"),
                (true, false) => Some("transform.script (Lua)"),
                (true, true) => None,
            }
        });
        Self {
            dependency: dependency.name.clone(),
            combine: Combine::compile(
                &dependency.filters_logical_operator,
                &format!("{path}.filtersLogicalOperator"),
                report,
            ),
            transform,
            expressions: expression::Expressions::compile(filters, &at("exprs"), report),
            data: data::DataFilters::compile(filters, &at("data"), report),
            context: filters
                .context
                .as_ref()
                .and_then(|context| context::ContextFilter::compile(context, &at("context"), report)),
            window: filters.time.as_ref().and_then(|time| time::Window::compile(time, &at("time"), report)),
            script: !filters.script.is_empty(),
            present: dependency.filters.is_some(),
        }
    }

    /// Judges an event, filter by filter.
    pub(crate) fn judge(&self, parsed: &Parsed, clauses: &mut Vec<Clause>) -> Judgement {
        if let Some(construct) = self.transform {
            return self.not_run(construct);
        }
        if !self.present {
            return Judgement::Passed;
        }
        let Some(text) = parsed.text() else {
            return Judgement::Failed(Failure::NotText);
        };
        let mut results = [None; 4];
        results[0] = (self.expressions.as_ref()).map(|all| all.judge(parsed, text, clauses));
        results[1] = (self.data.as_ref()).map(|all| all.judge(parsed, text, clauses));
        results[2] = (self.context.as_ref()).map(|context| context.judge(&parsed.event, clauses));
        results[3] = (self.window.as_ref()).map(|window| window.judge(&parsed.event, clauses));
        let mut known = results.into_iter().flatten();
        // The script cannot be asked. Where the other filters decide alone, it need not be.
        match self.combine {
            Combine::All if known.any(|passed| !passed) => Judgement::Refused,
            Combine::Any if known.any(|passed| passed) => Judgement::Passed,
            // An absent payload passes a script.
            Combine::All | Combine::Any if self.script && text.is_empty() => Judgement::Passed,
            Combine::All | Combine::Any if self.script => self.not_run("filters.script (Lua)"),
            Combine::All => Judgement::Passed,
            Combine::Any => Judgement::Refused,
        }
    }

    fn not_run(&self, construct: &'static str) -> Judgement {
        Judgement::Failed(Failure::NotRun { dependency: self.dependency.clone(), construct })
    }
}
