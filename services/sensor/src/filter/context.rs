//! The context filter: equality with four attributes of the event.

use tiphys_core::{Clause, Event};
use tiphys_manifest::sensor::EventContext;

use super::word::quoted;
use crate::compile::Report;

/// The attributes wanted, as (name, value).
#[derive(Debug)]
pub(super) struct ContextFilter(Vec<(&'static str, String)>);

impl ContextFilter {
    pub(super) fn compile(context: &EventContext, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let wanted = [
            ("type", &context.kind),
            ("subject", &context.subject),
            ("source", &context.source),
            ("datacontenttype", &context.datacontenttype),
        ];
        if wanted.iter().all(|(_, value)| value.is_empty()) {
            report.error(
                path,
                "TIP-SEN-002",
                "the context filter compares nothing".into(),
                "name at least one of type, subject, source and datacontenttype; the others are not compared",
            );
            return None;
        }
        let wanted = wanted.into_iter().filter(|(_, value)| !value.is_empty());
        Some(Self(wanted.map(|(name, value)| (name, value.clone())).collect()))
    }

    pub(super) fn judge(&self, event: &Event, clauses: &mut Vec<Clause>) -> bool {
        let mut all = true;
        for (name, wanted) in &self.0 {
            let have = match *name {
                "type" => event.kind.as_str(),
                "subject" => &event.origin.event,
                "source" => &event.origin.source,
                _ => "application/json",
            };
            let passed = have == wanted;
            all &= passed;
            let verb = if passed { "is" } else { "is not" };
            clauses.push(Clause {
                filter: format!("context.{name}"),
                passed,
                detail: format!("{} {verb} {}", quoted(have), quoted(wanted)),
            });
        }
        all
    }
}
