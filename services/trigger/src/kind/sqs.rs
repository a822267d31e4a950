//! `sqs`: one message per firing, with the firing's id as attribute. A FIFO queue takes it as deduplication id too, and
//! stores a message that is sent twice within five minutes once.

mod link;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;
use tiphys_core::trace::TRACEPARENT;
use tokio::sync::OnceCell;

use self::link::{Letter, Link, Settings};
use super::pool::Pool;
use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// Of so many attributes that a message may have, one is ours.
const ATTRIBUTES: usize = 10;
/// A message's group has at most so many characters.
const GROUP: usize = 128;

/// The kind, with its clients.
#[derive(Default)]
pub(super) struct Sqs(Pool<Arc<OnceCell<Link>>>);

#[async_trait]
impl TriggerKind for Sqs {
    fn key(&self) -> &'static str {
        "sqs"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut template = context.template.clone();
        apply(&mut template, &context.firing.parameters)?;
        let settings = Settings::of(&context, &template)?;
        let letter = letter(&context, &template, settings.is_fifo())?;
        let key = settings.key();
        let cell = match self.0.get(&key) {
            Some(cell) => cell,
            None => self.0.keep(key.clone(), Arc::default()),
        };
        let link = cell.get_or_try_init(|| Link::open(&settings)).await?;
        match link.send(letter).await {
            Ok(receipt) => Ok(Effect::Published { to: settings.shown(), receipt }),
            Err(failure) => {
                // The queue may have been made anew, under another address.
                if matches!(failure, Error::Missing(_)) {
                    self.0.forget(&key);
                }
                Err(failure)
            }
        }
    }
}

/// What the firing sends.
fn letter(context: &Context<'_>, template: &Json, is_fifo: bool) -> Result<Letter, Error> {
    let firing = context.firing;
    let Some(body) = payload(&firing.payload)? else {
        return Err(Error::Template("`payload` of the sqs trigger is missing: it makes the message".into()));
    };
    let body = String::from_utf8(body)
        .map_err(|_| Error::Template("the message of the sqs trigger would be no text".into()))?;
    let delay = match template.get("delaySeconds") {
        None | Some(Json::Null) => None,
        Some(given) => {
            Some(text(given).parse::<i32>().ok().filter(|delay| (0..=900).contains(delay)).ok_or_else(
                || Error::Template(format!("`delaySeconds` is {given}; it is a number from 0 to 900")),
            )?)
        }
    };
    let group = template.get("messageGroupId").map(text).filter(|group| !group.is_empty());
    let mut attributes = attributes(template)?;
    if let Some(trace) = context.trace.filter(|_| attributes.len() + 1 < ATTRIBUTES) {
        attributes.entry(TRACEPARENT.into()).or_insert_with(|| ("String", trace.to_owned()));
    }
    Ok(Letter {
        body,
        firing: firing.id.0.clone(),
        group: group.or_else(|| is_fifo.then(|| own_group(context))),
        is_fifo,
        delay,
        attributes,
    })
}

/// `attributes`: text, or numbers, by name.
fn attributes(template: &Json) -> Result<link::Attributes, Error> {
    let mut all = link::Attributes::new();
    for (name, value) in template.get("attributes").and_then(Json::as_object).into_iter().flatten() {
        let kind = if value.is_number() { "Number" } else { "String" };
        let value = text(value);
        if value.is_empty() {
            return Err(Error::Template(format!("attribute `{name}` is empty, which SQS refuses")));
        }
        all.insert(name.clone(), (kind, value));
    }
    if all.len() >= ATTRIBUTES {
        return Err(Error::Template(format!(
            "the sqs trigger has {} attributes; a message may have {ATTRIBUTES}, and one holds the firing's id",
            all.len()
        )));
    }
    Ok(all)
}

/// The messages of one trigger are a group, unless the manifest says otherwise.
fn own_group(context: &Context<'_>) -> String {
    let firing = context.firing;
    let names = [firing.namespace.as_str(), &firing.sensor, &firing.trigger];
    let name = names.join("/");
    let sound = name.len() <= GROUP && name.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { name } else { tiphys_core::id::digest(&names, 16) }
}

/// Text as it is, anything else as JSON.
fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
