//! Retries: attempts of one node, one after the other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_manifest::workflow::{Backoff, RetryStrategy};

use super::Pass;
use super::call::Making;
use crate::definition::TemplateDef;
use crate::journal::{State, Update};
use crate::node::{Node, Phase};
use crate::scope::Scope;
use crate::substitute;
use crate::time;

/// What follows a failed attempt.
enum Next {
    /// Another.
    Attempt,
    /// Another, later.
    Wait(Timestamp),
    /// None, and why; empty = what the attempt said.
    GiveUp(String),
}

/// Errors that may go away by themselves.
const TRANSIENT: [&str; 6] =
    ["timed out", "timeout", "temporar", "unavailable", "connection refused", "connection reset"];

/// Where a new attempt is not to run: the hosts of the earlier ones, if `retryStrategy.affinity` wants others.
pub(super) fn hosts_to_avoid(state: &State, node: &Node, def: &TemplateDef) -> Vec<String> {
    let whole = state.definition.as_ref().and_then(|whole| whole.spec.retry_strategy.as_ref());
    let strategy = def.typed.retry_strategy.as_ref().or(whole);
    let affinity = strategy.and_then(|strategy| strategy.affinity.as_ref());
    let wanted = affinity.is_some_and(|affinity| affinity.get("nodeAntiAffinity").is_some());
    let Some(number) = node.attempt.filter(|_| wanted) else { return Vec::new() };
    let Some(retry) = node.name.strip_suffix(&format!("({number})")) else { return Vec::new() };
    let earlier = (0..number).filter_map(|number| state.named(&format!("{retry}({number})")));
    let mut hosts: Vec<String> = earlier.filter_map(|node| node.host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

impl Pass<'_> {
    /// The strategy of a template: its own, or the workflow's.
    pub(super) fn retry_of(&self, def: &TemplateDef) -> Option<RetryStrategy> {
        let whole = self.state.definition.as_ref();
        let own = def.typed.retry_strategy.clone();
        own.or_else(|| whole.and_then(|d| d.spec.retry_strategy.clone()))
    }

    pub(super) fn advance_retry(&mut self, node: &Arc<Node>) {
        let def = match self.resolve(&node.target) {
            Ok(def) => def,
            Err(why) => return self.end(&node.id, Phase::Error, why),
        };
        let attempts: Vec<String> = node
            .children
            .iter()
            .filter(|id| self.state.nodes.get(*id).is_some_and(|n| n.attempt.is_some()))
            .cloned()
            .collect();
        let Some(last) = attempts.last() else {
            return self.attempt(node, &def, 0);
        };
        self.advance(last);
        let Some(last) = self.node(last).filter(|last| last.phase.fulfilled()) else {
            return;
        };
        if !last.phase.bad() {
            return self.settle(node, &last, String::new());
        }
        let count = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        let first = attempts.first().and_then(|id| self.node(id));
        let first = first.map_or(node.started, |first| first.started);
        let next = self
            .after_failure(node, &def, &last, count, first)
            .unwrap_or_else(|why| Next::GiveUp(format!("retryStrategy: {why}")));
        match next {
            Next::Attempt => self.attempt(node, &def, count),
            Next::GiveUp(why) => self.settle(node, &last, why),
            Next::Wait(until) => {
                let message = format!("Backoff until {}", crate::status::time_text(until));
                if node.message != message {
                    self.update(Update { id: node.id.clone(), message: Some(message), ..Update::default() });
                }
                self.wake_at(until);
            }
        }
    }

    /// The last attempt's end becomes the node's.
    fn settle(&mut self, node: &Node, last: &Node, why: String) {
        let phase = match last.phase {
            Phase::Skipped | Phase::Omitted => Phase::Succeeded,
            phase => phase,
        };
        let message = if why.is_empty() { last.message.clone() } else { why };
        self.update(Update {
            id: node.id.clone(),
            phase: Some(phase),
            message: Some(message),
            outputs: Some(last.outputs.clone()),
            host: last.host.clone(),
            ..Update::default()
        });
    }

    fn attempt(&mut self, node: &Arc<Node>, def: &Arc<TemplateDef>, number: u32) {
        if self.state.suspended {
            self.held = true;
            return;
        }
        if !node.message.is_empty() {
            self.update(Update { id: node.id.clone(), message: Some(String::new()), ..Update::default() });
        }
        let boundary = node.boundary.as_ref().and_then(|id| self.node(id));
        let making = Making {
            name: format!("{}({number})", node.name),
            target: node.target.clone(),
            inputs: node.inputs.clone(),
            boundary,
            wants_result: node.wants_result,
            exit: node.exit,
            attempt: Some(number),
        };
        let id = self.make(making, def);
        self.link(std::slice::from_ref(&node.id), &id);
        // It may have ended as it was made.
        if self.node(&id).is_some_and(|attempt| attempt.phase.fulfilled())
            && let Some(node) = self.node(&node.id)
        {
            self.advance_retry(&node);
        }
    }

    fn after_failure(
        &self,
        node: &Node,
        def: &TemplateDef,
        last: &Node,
        count: u32,
        first: Timestamp,
    ) -> Result<Next, String> {
        let late = !node.exit && self.deadline().is_some_and(|at| at <= self.context.now);
        if self.state.shutdown.is_some() || late {
            return Ok(Next::GiveUp(String::new()));
        }
        let strategy = self.retry_of(def).unwrap_or_default();
        let scope = Scope {
            inputs: Some(&node.inputs),
            retry: Some((count.saturating_sub(1), Some(last))),
            ..Scope::of(&self.state, self.context.now, &node.name)
        };
        if !policy_allows(&strategy, last)? {
            return Ok(Next::GiveUp(String::new()));
        }
        if let Some(text) = &strategy.expression {
            let text = strip_tag(text);
            match substitute::expression(&scope, text).map_err(|error| error.to_string())? {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    return Ok(Next::GiveUp("retryStrategy.expression evaluated to false".into()));
                }
                other => return Err(format!("`{text}` gives {other}, not true or false")),
            }
        }
        if let Some(limit) = &strategy.limit {
            let text = substitute::required(&scope, &limit.to_string())?;
            let wrong = || format!("limit `{text}` is no whole number");
            let limit: u32 = text.trim().parse().map_err(|_| wrong())?;
            if count > limit {
                return Ok(Next::GiveUp("No more retries left".into()));
            }
        }
        match &strategy.backoff {
            Some(backoff) => self.backoff(backoff, last, count, first),
            None => Ok(Next::Attempt),
        }
    }

    fn backoff(&self, backoff: &Backoff, last: &Node, count: u32, first: Timestamp) -> Result<Next, String> {
        let length = |text: &Option<String>| {
            let given = text.as_deref().filter(|text| !text.is_empty());
            given.map(time::duration).transpose()
        };
        let base = length(&backoff.duration)?.ok_or("backoff has no duration")?;
        let factor: f64 = match backoff.factor.as_deref().filter(|f| !f.is_empty()) {
            Some(text) => text.parse().map_err(|_| format!("backoff.factor `{text}` is no number"))?,
            None => 1.0,
        };
        let exponent = i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX);
        let cap = length(&backoff.cap)?.unwrap_or(Duration::from_secs(100 * 365 * 86_400));
        let wait = base.as_secs_f64() * factor.max(0.0).powi(exponent);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(cap).min(cap);
        let until = time::after(last.finished.unwrap_or(self.context.now), wait);
        if let Some(longest) = length(&backoff.max_duration)? {
            let end = time::after(first, longest);
            if self.context.now > end {
                return Ok(Next::GiveUp("Max duration limit exceeded".into()));
            }
            if until > end {
                return Ok(Next::GiveUp("Backoff would exceed max duration limit".into()));
            }
        }
        if until <= self.context.now { Ok(Next::Attempt) } else { Ok(Next::Wait(until)) }
    }
}

fn policy_allows(strategy: &RetryStrategy, last: &Node) -> Result<bool, String> {
    let by_default = if strategy.expression.is_some() { "Always" } else { "OnFailure" };
    let named = strategy.retry_policy.as_deref().filter(|p| !p.is_empty());
    let message = last.message.to_lowercase();
    Ok(match named.unwrap_or(by_default) {
        "Always" => true,
        "OnFailure" => last.phase == Phase::Failed,
        "OnError" => last.phase == Phase::Error,
        "OnTransientError" => TRANSIENT.iter().any(|text| message.contains(text)),
        other => return Err(format!("retryPolicy '{other}' is not known")),
    })
}

/// An expression may be written with or without its tag.
fn strip_tag(text: &str) -> &str {
    let inner = text.trim().strip_prefix("{{=");
    inner.and_then(|inner| inner.strip_suffix("}}")).unwrap_or(text)
}
