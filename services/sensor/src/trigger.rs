//! A trigger, compiled, and the making of its firings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;
use tiphys_core::{Firing, FiringId, Timestamp, Value};
use tiphys_lang::condition::Condition;
use tiphys_lang::cron::Schedule;
use tiphys_manifest::sensor::{Trigger, TriggerParameter, TriggerTemplate};

use crate::apply::apply;
use crate::compile::{Compiled, Report};
use crate::failure::Failure;
use crate::parameter::{EventSet, Parameter, Purpose};
use crate::trace;

/// What a firing may have in bytes; a message on the bus may have 1 MiB.
const LARGEST: usize = 1_000_000;

/// A compiled trigger.
#[derive(Debug)]
pub(crate) struct CompiledTrigger {
    pub(crate) name: String,
    pub(crate) condition: Condition,
    /// Whether events wait for each other.
    pub(crate) stateful: bool,
    /// When events that wait are forgotten.
    pub(crate) resets: Vec<Schedule>,
    kind: &'static str,
    /// As the manifest wrote it.
    spec: Json,
    size: usize,
    template_parameters: Vec<Parameter>,
    /// Whether the template's own parameters change the lists below.
    rewritten: bool,
    lists: Lists,
    /// What is fired for the same events once this one is given up.
    dead_letter: Option<Box<Self>>,
}

/// The parameters of a trigger's kind.
#[derive(Debug, Clone, Default)]
struct Lists {
    parameters: Vec<Parameter>,
    payload: Vec<Parameter>,
    headers: Vec<Parameter>,
}

impl CompiledTrigger {
    /// Compiles; what is wrong goes into the report.
    pub(crate) fn compile(
        trigger: &Trigger,
        spec: Json,
        dependencies: &[&str],
        path: &str,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let missing = TriggerTemplate::default();
        let template = trigger.template.as_ref().unwrap_or(&missing);
        if template.name.is_empty() {
            let at = format!("{path}.template.name");
            report.error(&at, "TIP-SEN-001", "the trigger has no name".into(), "name it");
        }
        let kind = kind_of(&spec, path, report)?;
        let condition = Condition::compile(&template.conditions, dependencies)
            .map_err(|error| {
                let message = format!("the condition cannot be read: {error}");
                let help = "write names of dependencies with &&, || and brackets";
                report.error(&format!("{path}.template.conditions"), "TIP-SEN-005", message, help);
            })
            .ok()?;
        let resets = resets(template, path, report);
        let compile = |(index, parameter): (usize, &TriggerParameter)| {
            let at = format!("{path}.parameters[{index}]");
            Parameter::compile(parameter, Purpose::Resource, dependencies, &at, report)
        };
        let template_parameters: Vec<Parameter> =
            trigger.parameters.iter().enumerate().filter_map(compile).collect();
        let rewritten = template_parameters.iter().any(|parameter| {
            let mut steps = parameter.dest().split('.').skip(1);
            matches!(steps.next(), None | Some("parameters" | "payload" | "dynamicHeaders"))
        });
        let lists = Lists::compile(&spec, kind, dependencies, path, report);
        let dead_letter = trigger.dlq_trigger.as_ref().and_then(|next| {
            // One of its own has no effect, as in Argo.
            let next = Trigger { dlq_trigger: None, ..(**next).clone() };
            let spec = spec.get("dlqTrigger").cloned().unwrap_or_default();
            Self::compile(&next, spec, dependencies, &format!("{path}.dlqTrigger"), report).map(Box::new)
        });
        Some(Self {
            name: template.name.clone(),
            // A condition on one dependency is complete with its event; nothing is held for it.
            stateful: condition.needs_state() && condition.dependencies().len() > 1,
            condition,
            resets,
            kind,
            size: spec.to_string().len(),
            spec,
            template_parameters,
            rewritten,
            lists,
            dead_letter,
        })
    }

    /// Whether its condition names a dependency.
    pub(crate) fn names(&self, dependency: &str) -> bool {
        self.condition.dependencies().iter().any(|name| name == dependency)
    }

    /// Makes the firing of an event set.
    pub(crate) fn fire(
        &self,
        sensor: &Compiled,
        set: &EventSet<'_>,
        now: Timestamp,
    ) -> Result<Firing, Failure> {
        let mut trigger_spec = self.spec.clone();
        let mut size = self.size;
        let mut lists = Cow::Borrowed(&self.lists);
        if !self.template_parameters.is_empty() {
            self.rewrite(&mut trigger_spec, set)?;
            size = trigger_spec.to_string().len();
            if self.rewritten {
                lists = Cow::Owned(self.lists_of(&trigger_spec)?);
            }
        }
        let parameters = values(&lists.parameters, set)?;
        let payload = values(&lists.payload, set)?;
        let headers = headers(&lists.headers, set)?;
        let long = parameters.iter().chain(&payload).map(|value| escaped(&value.value));
        size += long.chain(headers.iter().map(|(_, text)| escaped(text))).sum::<usize>();
        if size > LARGEST {
            return Err(Failure::TooLarge { size, limit: LARGEST });
        }
        let replay = set.0.iter().map(|(_, parsed)| parsed.replay()).max().unwrap_or(0);
        let ids: Vec<_> = set.0.iter().map(|(name, parsed)| (*name, &parsed.event.id)).collect();
        let id = FiringId::derive(&sensor.namespace, &sensor.name, &self.name, &ids, replay);
        let attributes = trace::attributes(set, &id, sensor.traced);
        let next = self.dead_letter.as_ref();
        let dead_letter = next.and_then(|next| next.after(self, &attributes, sensor, set, now, size));
        let received = set.0.iter().map(|(_, parsed)| parsed.event.received);
        Ok(Firing {
            version: 1,
            id,
            namespace: sensor.namespace.clone(),
            sensor: sensor.name.clone(),
            sensor_uid: sensor.uid.clone(),
            sensor_revision: sensor.revision.clone(),
            trigger: self.name.clone(),
            events: set.0.iter().map(|(name, parsed)| parsed.reference(name)).collect(),
            replay,
            decided: now,
            received: received.min().unwrap_or(now),
            trigger_spec,
            parameters,
            payload,
            headers,
            attributes,
            dead_letter,
        })
    }

    /// The firing that follows when the one of `first` is given up. What cannot be made does not hold the first:
    /// whoever gives that up finds none, and says so.
    fn after(
        &self,
        first: &Self,
        attributes: &BTreeMap<String, String>,
        sensor: &Compiled,
        set: &EventSet<'_>,
        now: Timestamp,
        size: usize,
    ) -> Option<Box<Firing>> {
        let mut next = self.fire(sensor, set, now).ok()?;
        // One decision made both.
        next.attributes.clone_from(attributes);
        // Its name may be that of another trigger.
        next.id = FiringId(tiphys_core::id::digest(&["dlq", &first.name, &next.id.0], 16));
        let fits = serde_json::to_string(&next).is_ok_and(|text| text.len() + size <= LARGEST);
        fits.then(|| Box::new(next))
    }

    /// Applies the template's own parameters.
    fn rewrite(&self, spec: &mut Json, set: &EventSet<'_>) -> Result<(), Failure> {
        let Some(template) = spec.get_mut("template") else {
            return Ok(());
        };
        for parameter in &self.template_parameters {
            let Some(value) = parameter.value(set)? else {
                continue;
            };
            apply(template, &value).map_err(|error| Failure::Unwritable {
                parameter: parameter.path().to_owned(),
                dest: value.dest.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// The lists of a template that its own parameters changed.
    fn lists_of(&self, spec: &Json) -> Result<Lists, Failure> {
        let mut report = Report::new(None);
        let lists = Lists::compile(spec, self.kind, &[], "rewritten", &mut report);
        match report.found.into_iter().find(|one| one.severity == tiphys_manifest::Severity::Error) {
            None => Ok(lists),
            Some(wrong) => Err(Failure::Unwritable {
                parameter: wrong.path,
                dest: self.kind.to_owned(),
                reason: wrong.message,
            }),
        }
    }
}

impl Lists {
    fn compile(spec: &Json, kind: &str, dependencies: &[&str], path: &str, report: &mut Report<'_>) -> Self {
        let mut list = |field: &str, purpose: Purpose| -> Vec<Parameter> {
            let at = format!("{path}.template.{kind}.{field}");
            let there = spec.pointer(&format!("/template/{kind}/{field}"));
            let Some(there) = there.filter(|value| !value.is_null()) else {
                return Vec::new();
            };
            match serde_json::from_value::<Vec<TriggerParameter>>(there.clone()) {
                Err(error) => {
                    let message = format!("the list cannot be read: {error}");
                    report.error(&at, "TIP-SEN-007", message, "each entry has `src` and `dest`");
                    Vec::new()
                }
                Ok(all) => all
                    .iter()
                    .enumerate()
                    .filter_map(|(index, one)| {
                        let at = format!("{at}[{index}]");
                        Parameter::compile(one, purpose, dependencies, &at, report)
                    })
                    .collect(),
            }
        };
        Self {
            parameters: list("parameters", Purpose::Resource),
            payload: list("payload", Purpose::Payload),
            headers: list("dynamicHeaders", Purpose::Headers),
        }
    }
}

fn kind_of(spec: &Json, path: &str, report: &mut Report<'_>) -> Option<&'static str> {
    let set = |kind: &&str| spec.pointer(&format!("/template/{kind}")).is_some_and(|value| !value.is_null());
    let kind = TriggerTemplate::KINDS.into_iter().find(|kind| set(kind));
    if kind.is_none() {
        let message = "the trigger does nothing: no kind that is known stands in its template".into();
        let help = format!("add one of {}", TriggerTemplate::KINDS.join(", "));
        report.error(&format!("{path}.template"), "TIP-SEN-001", message, &help);
    }
    kind
}

fn resets(template: &TriggerTemplate, path: &str, report: &mut Report<'_>) -> Vec<Schedule> {
    let mut schedules = Vec::new();
    for (index, reset) in template.conditions_reset.iter().enumerate() {
        let Some(by_time) = &reset.by_time else {
            continue;
        };
        let at = format!("{path}.template.conditionsReset[{index}].byTime");
        let zone = if by_time.timezone.is_empty() { "UTC" } else { &by_time.timezone };
        let Some(zone) = report.zone(zone, &format!("{at}.timezone")) else {
            continue;
        };
        match Schedule::parse(&by_time.cron, &zone) {
            Ok(schedule) => schedules.push(schedule),
            Err(error) => {
                let message = format!("the schedule cannot be read: {error}");
                let help = "write five fields: minute, hour, day, month, day of the week";
                report.error(&format!("{at}.cron"), "TIP-SEN-006", message, help);
            }
        }
    }
    schedules
}

fn values(list: &[Parameter], set: &EventSet<'_>) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::with_capacity(list.len());
    for parameter in list {
        values.extend(parameter.value(set)?);
    }
    Ok(values)
}

fn headers(list: &[Parameter], set: &EventSet<'_>) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::with_capacity(list.len());
    for header in list {
        if let Some(text) = header.text(set)? {
            headers.push((header.dest().to_owned(), text));
        }
    }
    Ok(headers)
}

/// How long a text is within a JSON text, nearly.
fn escaped(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | 0..=31)).count()
}
