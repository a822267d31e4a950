//! Parameters: values from events. Data beats context, a template beats a key, `value` is the last resort.

use tiphys_core::{Operation, Value};
use tiphys_lang::gjson::{self, Type};
use tiphys_lang::template::Template;
use tiphys_manifest::sensor::{TriggerParameter, TriggerParameterSource};

use crate::compile::Report;
use crate::failure::Failure;
use crate::parsed::Parsed;

#[cfg(test)]
mod tests;

/// The events of a firing, each under the dependency that it satisfied, in order of these names.
#[derive(Debug, Clone)]
pub(crate) struct EventSet<'a>(pub Vec<(&'a str, &'a Parsed)>);

impl<'a> EventSet<'a> {
    fn get(&self, dependency: &str) -> Option<&'a Parsed> {
        self.0.iter().find(|(name, _)| *name == dependency).map(|(_, parsed)| *parsed)
    }
}

/// A compiled parameter.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    path: String,
    dependency: String,
    source: Source,
    fallback: Option<String>,
    raw: bool,
    dest: String,
    operation: Operation,
}

#[derive(Debug, Clone)]
enum Source {
    /// Nothing but `value`.
    Fixed,
    /// The whole event.
    Whole,
    /// A part of the payload or of the attributes.
    Part { of: Part, template: Option<Result<Template, String>>, key: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Data,
    Context,
}

/// What was found.
enum Found {
    Text(String),
    Json(String),
}

/// What a list of parameters is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Written into a resource or a template.
    Resource,
    /// Makes a body; an empty destination is the whole of it, for each kind of trigger, as in Argo.
    Payload,
    /// Makes headers.
    Headers,
}

impl Parameter {
    /// Compiles; what is wrong goes into the report.
    pub(crate) fn compile(
        parameter: &TriggerParameter,
        purpose: Purpose,
        dependencies: &[&str],
        path: &str,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Some(source) = &parameter.src else {
            let help = "add `src` with a dependencyName";
            report.error(path, "TIP-SEN-007", "the parameter has no source".into(), help);
            return None;
        };
        if parameter.dest.is_empty() && purpose != Purpose::Payload {
            let help = "write where the value goes; only a payload may leave it empty";
            report.error(path, "TIP-SEN-007", "the parameter has no `dest`".into(), help);
        }
        if !dependencies.is_empty() && !dependencies.contains(&source.dependency_name.as_str()) {
            let message = format!("there is no dependency `{}`", source.dependency_name);
            let help = "name one of the Sensor's dependencies; until then only `value` is used";
            report.warning(&format!("{path}.src.dependencyName"), "TIP-SEN-007", message, help);
        }
        let operation = match parameter.operation.as_str() {
            "" | "overwrite" => Operation::Overwrite,
            "append" => Operation::Append,
            "prepend" => Operation::Prepend,
            other => {
                let message = format!("`{other}` is no operation");
                let at = format!("{path}.operation");
                report.error(&at, "TIP-SEN-007", message, "write overwrite, append or prepend");
                return None;
            }
        };
        Some(Self {
            path: path.to_owned(),
            dependency: source.dependency_name.clone(),
            source: Source::compile(source, path, report),
            fallback: source.value.clone(),
            raw: source.use_raw_data,
            dest: parameter.dest.clone(),
            operation,
        })
    }

    /// Where it goes.
    pub(crate) fn dest(&self) -> &str {
        &self.dest
    }

    /// Where it stands in the manifest.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The value with its destination; `None` where its dependency has no event and there is no `value`.
    pub(crate) fn value(&self, set: &EventSet<'_>) -> Result<Option<Value>, Failure> {
        let Some(found) = self.find(set)? else {
            return Ok(None);
        };
        let value = match found {
            Found::Json(json) if self.raw => json,
            Found::Json(text) | Found::Text(text) => serde_json::Value::String(text).to_string(),
        };
        Ok(Some(Value { dest: self.dest.clone(), operation: self.operation, value }))
    }

    /// The value as text.
    pub(crate) fn text(&self, set: &EventSet<'_>) -> Result<Option<String>, Failure> {
        Ok(self.find(set)?.map(|found| match found {
            Found::Json(text) | Found::Text(text) => text,
        }))
    }

    fn find(&self, set: &EventSet<'_>) -> Result<Option<Found>, Failure> {
        let fallback = || self.fallback.clone().map(Found::Text);
        let Some(parsed) = set.get(&self.dependency) else {
            return Ok(fallback());
        };
        let reason = match &self.source {
            Source::Fixed => return Ok(fallback()),
            Source::Whole => return Ok(Some(Found::Json(parsed.whole()))),
            Source::Part { of, template, key } => match part(*of, template, key, parsed) {
                Ok(found) => return Ok(Some(found)),
                Err(reason) => reason,
            },
        };
        match fallback() {
            Some(found) => Ok(Some(found)),
            None => Err(Failure::Unresolved { parameter: self.path.clone(), reason }),
        }
    }
}

impl Source {
    fn compile(source: &TriggerParameterSource, path: &str, report: &mut Report<'_>) -> Self {
        let data = (source.data_template.as_str(), source.data_key.as_str(), Part::Data);
        let context = (source.context_template.as_str(), source.context_key.as_str(), Part::Context);
        let set = |(template, key, _): &(&str, &str, Part)| !template.is_empty() || !key.is_empty();
        let Some((template, key, of)) = [data, context].into_iter().find(set) else {
            return if source.value.is_some() { Self::Fixed } else { Self::Whole };
        };
        let key = (!key.is_empty()).then(|| key.to_owned());
        let template = (!template.is_empty()).then(|| {
            Template::compile(template).map_err(|error| {
                let message = format!("the template cannot be read: {error}");
                let at = format!("{path}.src");
                // As in Argo, a template that fails gives way to the key, and the key to `value`.
                if key.is_some() || source.value.is_some() {
                    let help = "mend it; until then the key or `value` is used instead";
                    report.warning(&at, "TIP-SEN-004", message.clone(), help);
                } else {
                    let help = "see Go's text/template and sprig";
                    report.error(&at, "TIP-SEN-004", message.clone(), help);
                }
                message
            })
        });
        Self::Part { of, template, key }
    }
}

fn part(
    of: Part,
    template: &Option<Result<Template, String>>,
    key: &Option<String>,
    parsed: &Parsed,
) -> Result<Found, String> {
    let mut reason = String::new();
    match template {
        Some(Ok(template)) => match rendered(of, template, parsed) {
            Ok(text) => return Ok(Found::Text(text)),
            Err(why) => reason = why,
        },
        Some(Err(why)) => reason.clone_from(why),
        None => {}
    }
    let Some(key) = key else {
        return Err(reason);
    };
    let text = match of {
        Part::Data => parsed.text().ok_or("the payload is no UTF-8 text")?,
        Part::Context => parsed.context(),
    };
    let found = gjson::get(text, key).ok_or_else(|| {
        let place = if of == Part::Data { "payload" } else { "context" };
        let comma = if reason.is_empty() { "" } else { ", and " };
        format!("{reason}{comma}nothing stands at `{key}` in the {place}")
    })?;
    Ok(match found.kind {
        Type::String => Found::Text(found.text()),
        Type::Number => Found::Json(found.text()),
        _ => Found::Json(found.raw.into_owned()),
    })
}

fn rendered(of: Part, template: &Template, parsed: &Parsed) -> Result<String, String> {
    let result = match of {
        Part::Data => template.render(parsed.template_input(), parsed.template_context()),
        Part::Context => template.render(&parsed.context_input(), parsed.template_context()),
    };
    match result {
        Ok(text) if text.is_empty() || text == "<no value>" => {
            Err("the template makes nothing of this event".into())
        }
        Ok(text) => Ok(text),
        Err(error) => Err(format!("the template fails: {error}")),
    }
}
