//! A Sensor, compiled: every regular expression, expression, template, condition and schedule is read once, when
//! the manifest loads.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use tiphys_bus::streams;
use tiphys_lang::template::Template;
use tiphys_manifest::codes::Code;
use tiphys_manifest::load::path::Path;
use tiphys_manifest::sensor::{EventDependency, SensorSpec};
use tiphys_manifest::{Diagnostic, Object, Severity, Spec};

use crate::filter::Filters;
use crate::trigger::CompiledTrigger;

/// A compiled Sensor.
#[derive(Debug)]
pub struct Compiled {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The revision that was compiled.
    pub revision: String,
    /// What works, but not as its author may believe.
    pub warnings: Vec<Diagnostic>,
    /// Whether its decisions are spans of the traces of their events.
    pub traced: bool,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) triggers: Vec<CompiledTrigger>,
}

/// A compiled dependency.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) event: String,
    pub(crate) filters: Filters,
}

impl Compiled {
    /// The subjects of the events that it waits for.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let subjects: BTreeSet<String> = (self.dependencies.iter())
            .map(|d| streams::subject(streams::EVENTS, &[&self.namespace, &d.source, &d.event]))
            .collect();
        subjects.into_iter().collect()
    }

    /// Each (trigger, dependency, event source, event name) that is counted.
    pub fn units(&self) -> impl Iterator<Item = (&str, &str, &str, &str)> {
        self.triggers.iter().flat_map(move |trigger| {
            (self.dependencies.iter())
                .filter(move |dependency| trigger.names(&dependency.name))
                .map(|d| (trigger.name.as_str(), d.name.as_str(), d.source.as_str(), d.event.as_str()))
        })
    }

    /// Whether a trigger waits for several events, so that there is state to keep.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.stateful)
    }

    pub(crate) fn trigger(&self, name: &str) -> Option<&CompiledTrigger> {
        self.triggers.iter().find(|trigger| trigger.name == name)
    }
}

/// Compiles a Sensor.
///
/// # Errors
/// All that is wrong with it, at least one of them an error.
pub fn compile(object: &Object) -> Result<Compiled, Vec<Diagnostic>> {
    let mut report = Report::new(Some(object));
    let Spec::Sensor(spec) = &object.spec else {
        report.error("kind", "TIP-SEN-001", "the object is no Sensor".into(), "give a Sensor");
        return Err(report.found);
    };
    let dependencies = dependencies(spec, &mut report);
    let names: Vec<&str> = spec.dependencies.iter().map(|d| d.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut triggers = Vec::with_capacity(spec.triggers.len());
    for (index, trigger) in spec.triggers.iter().enumerate() {
        let path = format!("spec.triggers[{index}]");
        let document = object.document.pointer(&format!("/spec/triggers/{index}"));
        let document = document.cloned().or_else(|| serde_json::to_value(trigger).ok());
        let document = document.unwrap_or_default();
        let Some(compiled) = CompiledTrigger::compile(trigger, document, &names, &path, &mut report) else {
            continue;
        };
        if !seen.insert(compiled.name.clone()) {
            report.error(
                &format!("{path}.template.name"),
                "TIP-SEN-001",
                format!("there are two triggers with the name `{}`", compiled.name),
                "give each trigger a name of its own",
            );
        }
        triggers.push(compiled);
    }
    if spec.triggers.is_empty() {
        report.error("spec.triggers", "TIP-SEN-001", "there is no trigger".into(), "add one");
    }
    if report.found.iter().any(|one| one.severity == Severity::Error) {
        return Err(report.found);
    }
    Ok(Compiled {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: object.uid.clone(),
        revision: object.revision.clone(),
        warnings: report.found,
        traced: false,
        dependencies,
        triggers,
    })
}

fn dependencies(spec: &SensorSpec, report: &mut Report<'_>) -> Vec<Dependency> {
    let mut seen = BTreeSet::new();
    if spec.dependencies.is_empty() {
        let help = "name at least one event by eventSourceName and eventName";
        report.error("spec.dependencies", "TIP-SEN-001", "there is no dependency".into(), help);
    }
    let compile = |(index, dependency): (usize, &EventDependency)| {
        let path = format!("spec.dependencies[{index}]");
        for (field, text) in [
            ("name", &dependency.name),
            ("eventSourceName", &dependency.event_source_name),
            ("eventName", &dependency.event_name),
        ] {
            if text.is_empty() {
                let message = format!("the dependency has no {field}");
                report.error(&format!("{path}.{field}"), "TIP-SEN-001", message, "fill it in");
            }
        }
        if !seen.insert(dependency.name.clone()) {
            let message = format!("there are two dependencies with the name `{}`", dependency.name);
            let help = "give each dependency a name of its own";
            report.error(&format!("{path}.name"), "TIP-SEN-001", message, help);
        }
        Dependency {
            name: dependency.name.clone(),
            source: dependency.event_source_name.clone(),
            event: dependency.event_name.clone(),
            filters: Filters::compile(dependency, &path, report),
        }
    };
    spec.dependencies.iter().enumerate().map(compile).collect()
}

/// Gathers what is wrong with one object.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Absent for a template that events have changed: it stands in no file.
    object: Option<&'a Object>,
    pub(crate) found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(object: Option<&'a Object>) -> Self {
        Self { object, found: Vec::new() }
    }

    pub(crate) fn error(&mut self, path: &str, code: &'static str, message: String, help: &str) {
        self.add(Severity::Error, path, code, message, help);
    }

    pub(crate) fn warning(&mut self, path: &str, code: &'static str, message: String, help: &str) {
        self.add(Severity::Warning, path, code, message, help);
    }

    fn add(&mut self, severity: Severity, path: &str, code: &'static str, message: String, help: &str) {
        let code = Code { id: code, severity, strict: true, explanation: "" };
        let Some(object) = self.object else {
            let mut found = code.finding("", message, help.to_owned());
            found.path = path.to_owned();
            self.found.push(found);
            return;
        };
        let mut found = object.places.at_value(code, &path_of(path), message, help.to_owned());
        found.file.clone_from(&object.file);
        found.object = format!("Sensor/{}", object.name);
        if found.line == 0 {
            found.line = object.line;
        }
        self.found.push(found);
    }

    /// Looks up a time zone.
    pub(crate) fn zone(&mut self, name: &str, path: &str) -> Option<TimeZone> {
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            let message = format!("there is no time zone `{name}`");
            self.error(path, "TIP-SEN-006", message, "write an IANA name, as in Europe/Berlin or UTC");
        }
        zone
    }

    /// Compiles a template.
    pub(crate) fn template(&mut self, text: &str, path: &str) -> Option<Template> {
        Template::compile(text)
            .map_err(|error| {
                let message = format!("the template cannot be read: {error}");
                self.error(path, "TIP-SEN-004", message, "see Go's text/template and sprig");
            })
            .ok()
    }
}

/// Reads a path such as `spec.triggers[0].template`.
fn path_of(text: &str) -> Path {
    text.split('.').fold(Path::root(), |path, step| {
        let (key, index) = step.split_once('[').unwrap_or((step, ""));
        let path = path.key(key);
        match index.trim_end_matches(']').parse() {
            Ok(index) => path.index(index),
            Err(_) => path,
        }
    })
}
