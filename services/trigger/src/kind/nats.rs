//! `nats`: one message per firing, with the firing's id as `Nats-Msg-Id`. Where a stream takes the subject, its ack is
//! waited for, and within its duplicate window a message is stored once; else the server has it when this is done, and
//! whoever listens gets it.

mod link;

use std::sync::Arc;

use async_nats::HeaderMap;
use async_trait::async_trait;
use serde_json::Value as Json;
use tiphys_core::trace::TRACEPARENT;
use tokio::sync::OnceCell;

use self::link::{Link, Settings};
use super::pool::Pool;
use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// The kind, with its connections.
#[derive(Default)]
pub(super) struct Nats(Pool<Arc<OnceCell<Arc<Link>>>>);

#[async_trait]
impl TriggerKind for Nats {
    fn key(&self) -> &'static str {
        "nats"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut template = context.template.clone();
        apply(&mut template, &context.firing.parameters)?;
        let subject = template.get("subject").and_then(Json::as_str).unwrap_or_default();
        if subject.is_empty() {
            return Err(Error::Template("`subject` of the nats trigger is missing".into()));
        }
        let Some(body) = payload(&context.firing.payload)? else {
            return Err(Error::Template(
                "`payload` of the nats trigger is missing, as in Argo: it makes the message".into(),
            ));
        };
        let settings = Settings::of(&context, &template)?;
        let link = self.link(&settings).await?;
        let receipt = link.publish(subject, headers(&context), body.into(), stream_wanted(&template)).await?;
        Ok(Effect::Published { to: format!("{} subject {subject}", link.shown()), receipt })
    }
}

fn headers(context: &Context<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["Nats-Msg-Id", "Tiphys-Firing-Id"] {
        headers.insert(name, context.firing.id.0.as_str());
    }
    if let Some(trace) = context.trace {
        headers.insert(TRACEPARENT, trace);
    }
    headers
}

/// Whether the manifest says that a stream takes the message, or that none does.
fn stream_wanted(template: &Json) -> Option<bool> {
    match template.get("jetstream") {
        None | Some(Json::Null) => None,
        Some(Json::Bool(wanted)) => Some(*wanted),
        Some(_) => Some(true),
    }
}

impl Nats {
    /// The connection of these settings; a new one where the last is lost.
    async fn link(&self, settings: &Settings) -> Result<Arc<Link>, Error> {
        let key = settings.key();
        for _ in 0..2 {
            let cell = match self.0.get(&key) {
                Some(cell) => cell,
                None => self.0.keep(key.clone(), Arc::default()),
            };
            let link = cell.get_or_try_init(|| async { Link::open(settings).await.map(Arc::new) }).await?;
            if link.is_connected() {
                return Ok(link.clone());
            }
            self.0.forget(&key);
        }
        Err(Error::Unavailable(format!("the connection to {} is lost", settings.shown())))
    }
}
