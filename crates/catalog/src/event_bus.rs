//! From an EventBus object to the bus that is used: where it is, who we are to it, and what EVENTS may hold.
//!
//! What Argo would install is not installed here: `jetstream` takes the server that the process was given, and of
//! `jetstreamExotic` the address counts where the process was given none. The retired kinds, and Kafka, take the
//! server that was given, too; the lint says so (`TIP-MAN-030`).

mod access;
mod limits;

use tiphys_bus::BusError;
use tiphys_bus::jetstream::{JetStreamConfig, Tls};
use tiphys_bus::streams::EventLimits;
use tiphys_manifest::event_bus::{EventBusSpec, JetStream, JetStreamExotic, NatsNative};
use tiphys_manifest::load::path::Path;
use tiphys_manifest::{Diagnostic, Kind, Object, Spec, codes};

use crate::handle::Snapshot;
use limits::StreamText;

/// The name of the EventBus that counts, as of Argo's.
pub const DEFAULT: &str = "default";

/// What the process was given: by its arguments and its environment.
#[derive(Debug, Clone)]
pub struct Given {
    /// The server as far as it is known.
    pub config: JetStreamConfig,
    /// Whether its address was chosen by whoever started the process, and so is no default.
    pub fixed: bool,
    /// Whether the number of replicas was.
    pub replicated: bool,
}

/// The bus that is used.
#[derive(Debug, Clone)]
pub struct EventBus {
    /// The server.
    pub config: JetStreamConfig,
    /// What EVENTS may hold.
    pub events: EventLimits,
    /// Largest message, in bytes, where one is asked for.
    pub max_payload: Option<usize>,
    /// What of the object has no effect here, or another one.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the EventBus `default` of a namespace, where there is one.
///
/// # Errors
/// A setting makes no sense, or a Secret is absent.
pub fn event_bus(snapshot: &Snapshot, namespace: &str, given: Given) -> Result<EventBus, BusError> {
    let (fixed, replicated) = (given.fixed, given.replicated);
    let mut bus = EventBus {
        config: given.config,
        events: EventLimits::default(),
        max_payload: None,
        diagnostics: Vec::new(),
    };
    let Some(object) = snapshot.get(Kind::EventBus, namespace, DEFAULT) else {
        return Ok(bus);
    };
    let Spec::EventBus(spec) = &object.spec else {
        return Ok(bus);
    };
    let mut reader = Reader { snapshot, object, fixed, replicated, bus: &mut bus };
    reader.read(spec).map_err(|reason| BusError::Invalid {
        reason: format!("EventBus `{namespace}/{DEFAULT}` ({}:{}): {reason}", object.file, object.line),
    })?;
    Ok(bus)
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    object: &'a Object,
    fixed: bool,
    replicated: bool,
    bus: &'a mut EventBus,
}

impl Reader<'_> {
    fn read(&mut self, spec: &EventBusSpec) -> Result<(), String> {
        if let Some(exotic) = &spec.jetstream_exotic {
            return self.exotic(exotic);
        }
        if let Some(jetstream) = &spec.jetstream {
            return self.jetstream(jetstream);
        }
        if let Some(native) = spec.nats.as_ref().and_then(|nats| nats.native.as_ref()) {
            return self.native(native);
        }
        // Another server than ours: nothing of it counts.
        Ok(())
    }

    fn jetstream(&mut self, wanted: &JetStream) -> Result<(), String> {
        const SERVERS: &str = "set it in the server's own configuration; see docs/operations.md";
        for (key, given) in [
            ("settings", wanted.settings.is_some()),
            ("startArgs", wanted.start_args.is_some()),
            ("encryption", wanted.encryption == Some(true)),
        ] {
            if given {
                self.note(&["jetstream", key], "the server is not installed from here", SERVERS);
            }
        }
        self.replicas(wanted.replicas)?;
        self.max_payload(wanted.max_payload.as_deref())?;
        self.stream(&["jetstream", "streamConfig"], wanted.stream_config.as_deref())
    }

    fn exotic(&mut self, wanted: &JetStreamExotic) -> Result<(), String> {
        self.stream(&["jetstreamExotic", "streamConfig"], wanted.stream_config.as_deref())?;
        let url = wanted.url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        let Some(url) = url else {
            return Err("`jetstreamExotic` has no `url`".into());
        };
        if self.fixed {
            if url != self.bus.config.url {
                self.note(
                    &["jetstreamExotic", "url"],
                    "this process was given another address, which counts",
                    "start it without `--nats` and `NATS_URL` to use this one",
                );
            }
            return Ok(());
        }
        url.clone_into(&mut self.bus.config.url);
        if let Some(secret) = &wanted.access_secret {
            let value = self.secret(&secret.name, &secret.key)?;
            match value {
                Some(value) => self.bus.config.credentials = access::credentials(&value, url)?,
                None if secret.optional == Some(true) => {}
                None => return Err(self.absent(&secret.name, &secret.key)),
            }
        }
        if let Some(tls) = &wanted.tls {
            let client =
                access::tls(tls, |name, key| self.secret(name, key)?.ok_or_else(|| self.absent(name, key)))?;
            self.bus.config.tls = Tls { required: true, client: Some(client) };
        }
        Ok(())
    }

    /// The limits of a channel of NATS streaming are those of EVENTS.
    fn native(&mut self, wanted: &NatsNative) -> Result<(), String> {
        self.bus.events.max_messages = wanted.max_msgs.filter(|most| *most > 0);
        if let Some(text) = &wanted.max_age {
            self.bus.events.max_age = Some(limits::age(text)?);
        }
        if let Some(text) = &wanted.max_bytes {
            self.bus.events.max_bytes = Some(limits::bytes(text)?).filter(|most| *most > 0);
        }
        self.max_payload(wanted.max_payload.as_deref())
    }

    fn max_payload(&mut self, text: Option<&str>) -> Result<(), String> {
        let most = text.map(limits::bytes).transpose()?.filter(|most| *most > 0);
        self.bus.max_payload = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(())
    }

    fn replicas(&mut self, wanted: Option<i32>) -> Result<(), String> {
        let Some(wanted) = wanted.filter(|_| !self.replicated) else {
            return Ok(());
        };
        let fits = usize::try_from(wanted).ok().filter(|n| (1..=5).contains(n));
        self.bus.config.replicas =
            fits.ok_or_else(|| format!("{wanted} replicas are not offered: 1 to 5 are"))?;
        Ok(())
    }

    fn stream(&mut self, keys: &[&str], text: Option<&str>) -> Result<(), String> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Ok(());
        };
        let asked = StreamText::read(text).map_err(|wrong| format!("`streamConfig`: {wrong}"))?;
        self.bus.events = asked.limits;
        self.replicas(asked.replicas)?;
        for (what, help) in asked.without_effect {
            self.note(keys, &what, help);
        }
        Ok(())
    }

    fn secret(&self, name: &str, key: &str) -> Result<Option<secrecy::SecretString>, String> {
        if name.is_empty() || key.is_empty() {
            return Err("a reference to a Secret needs `name` and `key`".into());
        }
        Ok(self.snapshot.value(Kind::Secret, &self.object.namespace, name, key).ok())
    }

    fn absent(&self, name: &str, key: &str) -> String {
        let found = self.snapshot.value(Kind::Secret, &self.object.namespace, name, key);
        found.err().map(|absent| absent.to_string()).unwrap_or_default()
    }

    fn note(&mut self, keys: &[&str], what: &str, help: &str) {
        let path = keys.iter().fold(Path::root().key("spec"), |path, key| path.key(*key));
        let key = keys.last().copied().unwrap_or_default();
        let message = format!("`{key}`: {what}");
        let found = self.object.places.at_key(codes::BUS_SETTING, &path, message, help.into());
        self.bus.diagnostics.push(found);
    }
}

#[cfg(test)]
mod tests;
