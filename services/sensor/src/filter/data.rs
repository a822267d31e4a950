//! The data filters: one value of the payload against a list of values, of which one is enough.

use std::borrow::Cow;

use regex::Regex;
use tiphys_core::Clause;
use tiphys_lang::gjson::{self, Found, Type};
use tiphys_lang::template::Template;
use tiphys_manifest::sensor::{DataFilter, EventDependencyFilter};

use super::Combine;
use super::word::{quoted, shown};
use crate::compile::Report;
use crate::parsed::{Parsed, input};

/// All data filters of a dependency.
#[derive(Debug)]
pub(super) struct DataFilters {
    combine: Combine,
    all: Vec<One>,
}

#[derive(Debug)]
struct One {
    name: String,
    path: String,
    template: Option<Template>,
    comparator: Comparator,
    wanted: Wanted,
    /// The wanted values as the manifest wrote them.
    words: Vec<String>,
}

#[derive(Debug)]
enum Wanted {
    Texts(Vec<Regex>),
    Numbers(Vec<f64>),
    Truths(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl DataFilters {
    pub(super) fn compile(
        filters: &EventDependencyFilter,
        path: &str,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        if filters.data.is_empty() {
            return None;
        }
        let operator = path.replace(".data", ".dataLogicalOperator");
        let combine = Combine::compile(&filters.data_logical_operator, &operator, report);
        let all =
            filters.data.iter().enumerate().filter_map(|(index, filter)| {
                One::compile(filter, index, &format!("{path}[{index}]"), report)
            });
        Some(Self { all: all.collect(), combine })
    }

    pub(super) fn judge(&self, parsed: &Parsed, text: &str, clauses: &mut Vec<Clause>) -> bool {
        text.is_empty() || self.combine.over(&self.all, clauses, |one| one.judge(parsed, text))
    }
}

impl One {
    fn compile(filter: &DataFilter, index: usize, path: &str, report: &mut Report<'_>) -> Option<Self> {
        if filter.value.is_empty() {
            report.error(
                &format!("{path}.value"),
                "TIP-SEN-002",
                "the filter has no value to compare with".into(),
                "list at least one value",
            );
            return None;
        }
        let comparator = Comparator::compile(&filter.comparator, path, report)?;
        let wanted = Wanted::compile(filter, path, report)?;
        let template = match filter.template.as_str() {
            "" => None,
            text => Some(report.template(text, &format!("{path}.template"))?),
        };
        Some(Self {
            name: format!("data[{index}] {}", filter.path),
            path: filter.path.clone(),
            template,
            comparator,
            wanted,
            words: filter.value.clone(),
        })
    }

    fn judge(&self, parsed: &Parsed, text: &str) -> Clause {
        let (passed, detail) = match gjson::get(text, &self.path) {
            None => (false, format!("nothing stands at {}", self.path)),
            Some(found) => match self.templated(parsed, found) {
                Err(reason) => (false, reason),
                Ok(found) => self.compare(&found),
            },
        };
        Clause { filter: self.name.clone(), passed, detail }
    }

    fn templated<'a>(&self, parsed: &Parsed, found: Found<'a>) -> Result<Found<'a>, String> {
        let Some(template) = &self.template else {
            return Ok(found);
        };
        let data = input(found.text().into());
        let rendered = template
            .render(&data, parsed.template_context())
            .map_err(|error| format!("the template fails: {error}"))?;
        if rendered.is_empty() || rendered == "<no value>" {
            return Err(format!("the template makes nothing of {}", shown(&found)));
        }
        // The result is a text, and compares as one: "3.14" also as a number.
        let raw = serde_json::to_string(&rendered).unwrap_or_default();
        Ok(Found { kind: Type::String, raw: Cow::Owned(raw) })
    }

    fn compare(&self, found: &Found<'_>) -> (bool, String) {
        let hit = match &self.wanted {
            Wanted::Texts(patterns) => {
                let text = found.text();
                patterns.iter().position(|pattern| match self.comparator {
                    Comparator::Equal => pattern.is_match(&text),
                    Comparator::NotEqual => !pattern.is_match(&text),
                    _ => false,
                })
            }
            Wanted::Numbers(numbers) => {
                let have = found.number();
                numbers.iter().position(|wanted| self.comparator.holds(have, *wanted))
            }
            Wanted::Truths(truths) => {
                let have = found.boolean();
                truths.iter().position(|wanted| have == *wanted)
            }
        };
        let have = shown(found);
        let verb = self.verb();
        let detail = match hit.and_then(|index| self.words.get(index)) {
            Some(word) => format!("{have} {verb} {}", self.told(word)),
            None => {
                let words: Vec<String> = self.words.iter().map(|word| self.told(word)).collect();
                format!("{have} {verb} none of {}", words.join(", "))
            }
        };
        (hit.is_some(), detail)
    }

    fn told(&self, word: &str) -> String {
        if matches!(self.wanted, Wanted::Texts(_)) { quoted(word) } else { word.to_owned() }
    }

    const fn verb(&self) -> &'static str {
        match (&self.wanted, self.comparator) {
            (Wanted::Truths(_), _) => "is",
            (Wanted::Texts(_), Comparator::Equal) => "matches",
            (Wanted::Texts(_), Comparator::NotEqual) => "does not match",
            (_, comparator) => comparator.symbol(),
        }
    }
}

impl Wanted {
    fn compile(filter: &DataFilter, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let mut bad = |word: &str, what: String, help: &str| {
            report.error(&format!("{path}.value"), "TIP-SEN-002", format!("`{word}` {what}"), help);
        };
        let values = filter.value.iter();
        match filter.kind.as_str() {
            "string" => values
                .map(|word| {
                    Regex::new(word)
                        .map_err(|error| {
                            bad(
                                word,
                                format!("is no regular expression: {error}"),
                                "escape what is special with a backslash",
                            )
                        })
                        .ok()
                })
                .collect::<Option<_>>()
                .map(Self::Texts),
            "number" => values
                .map(|word| {
                    word.parse()
                        .map_err(|_| {
                            bad(word, "is no number".into(), "write a number, or choose type string")
                        })
                        .ok()
                })
                .collect::<Option<_>>()
                .map(Self::Numbers),
            "bool" => values
                .map(|word| {
                    truth(word).or_else(|| {
                        bad(word, "is no truth value".into(), "write true or false");
                        None
                    })
                })
                .collect::<Option<_>>()
                .map(Self::Truths),
            other => {
                report.error(
                    &format!("{path}.type"),
                    "TIP-SEN-002",
                    format!("`{other}` is no type of data filter"),
                    "write string, number or bool",
                );
                None
            }
        }
    }
}

/// The words that Go's `ParseBool` takes.
fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

impl Comparator {
    fn compile(text: &str, path: &str, report: &mut Report<'_>) -> Option<Self> {
        Some(match text {
            "" | "=" | "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            other => {
                report.error(
                    &format!("{path}.comparator"),
                    "TIP-SEN-002",
                    format!("`{other}` is no comparator"),
                    "write one of = != > >= < <=",
                );
                return None;
            }
        })
    }

    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    #[expect(clippy::float_cmp, reason = "Argo compares exactly")]
    fn holds(self, have: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => have == wanted,
            Self::NotEqual => have != wanted,
            Self::Greater => have > wanted,
            Self::GreaterOrEqual => have >= wanted,
            Self::Less => have < wanted,
            Self::LessOrEqual => have <= wanted,
        }
    }
}
