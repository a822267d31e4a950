//! What each service may do on the server: its own subjects, and no more.

use std::fmt::Write as _;

use super::blobs::BLOBS;
use super::config::{JetStreamConfig, inbox};
use super::names::Names;
use crate::streams::{
    self, AUDIT, CATALOG, CLAIMS, CONTROL, CRON, DEAD, EVENTS, FIRINGS, LEDGER, PARTS, STATE, VERDICTS,
    WORKFLOWS,
};

/// What a service does with the streams.
struct Needs {
    role: &'static str,
    /// Stores messages there.
    writes: &'static [&'static str],
    /// Reads there, and waits for more.
    reads: &'static [&'static str],
    /// Has durable consumers there.
    consumes: &'static [&'static str],
    /// Removes messages there.
    removes: &'static [&'static str],
}

const NEEDS: [Needs; 6] = [
    Needs {
        role: "bus",
        writes: &[PARTS],
        reads: &[CATALOG, PARTS],
        consumes: &[],
        removes: &[EVENTS, FIRINGS, VERDICTS, PARTS],
    },
    Needs {
        role: "eventsource",
        writes: &[EVENTS, DEAD, CRON, PARTS, BLOBS],
        reads: &[EVENTS, CRON, CATALOG, BLOBS],
        consumes: &[],
        removes: &[PARTS],
    },
    Needs {
        role: "sensor",
        writes: &[FIRINGS, VERDICTS, DEAD, STATE, CLAIMS, PARTS, BLOBS],
        reads: &[STATE, CLAIMS, CATALOG, BLOBS],
        consumes: &[EVENTS],
        removes: &[STATE, CLAIMS, PARTS],
    },
    Needs {
        role: "trigger",
        writes: &[FIRINGS, LEDGER, DEAD, WORKFLOWS, CONTROL, PARTS],
        reads: &[LEDGER, DEAD, CONTROL, CATALOG, WORKFLOWS],
        consumes: &[FIRINGS],
        removes: &[PARTS],
    },
    Needs {
        role: "executor",
        writes: &[WORKFLOWS, CRON, CLAIMS, PARTS],
        reads: &[WORKFLOWS, CRON, CLAIMS, CATALOG],
        consumes: &[],
        removes: &[WORKFLOWS, CRON, CLAIMS, PARTS],
    },
    Needs {
        role: "server",
        // The ledger, when a dead letter is fired again; claims, for the objects of a cluster.
        writes: &[EVENTS, FIRINGS, DEAD, LEDGER, WORKFLOWS, CATALOG, CLAIMS, CONTROL, AUDIT, PARTS],
        reads: &[
            EVENTS, FIRINGS, VERDICTS, DEAD, STATE, LEDGER, WORKFLOWS, CATALOG, AUDIT, CRON, CLAIMS, CONTROL,
            PARTS,
        ],
        consumes: &[],
        removes: &[PARTS],
    },
];

/// The role that makes the streams and makes room in them.
const KEEPER: &str = "bus";

/// What one user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// The service.
    pub role: &'static str,
    /// Subjects that it may send to.
    pub publish: Vec<String>,
    /// Subjects that it may listen to.
    pub subscribe: Vec<String>,
}

/// What each service of this installation needs. [`JetStreamConfig::role`] must be the role's name, or answers do
/// not reach it.
#[must_use]
pub fn permissions(config: &JetStreamConfig) -> Vec<Permissions> {
    let root = config.root();
    let names = Names::new(&root);
    NEEDS
        .iter()
        .map(|needs| Permissions {
            role: needs.role,
            publish: allowed(needs, &names),
            subscribe: vec![format!("{}.>", inbox(&root, Some(needs.role)))],
        })
        .collect()
}

fn allowed(needs: &Needs, names: &Names) -> Vec<String> {
    let mut out = vec!["$JS.API.INFO".to_owned()];
    let mut api = |what: &str, stream: &str, rest: &str| {
        let subject = format!("$JS.API.{what}.{}{rest}", names.stream(stream));
        if !out.contains(&subject) {
            out.push(subject);
        }
    };
    let mut all: Vec<String> = streams::all().into_iter().map(|stream| stream.name).collect();
    all.push(BLOBS.into());
    for stream in &all {
        api("STREAM.INFO", stream, "");
        if needs.role == KEEPER {
            api("STREAM.CREATE", stream, "");
            api("STREAM.UPDATE", stream, "");
        }
    }
    // Whoever stores the first blob makes their stream.
    if needs.writes.contains(&BLOBS) {
        api("STREAM.CREATE", BLOBS, "");
        api("STREAM.UPDATE", BLOBS, "");
    }
    // A writer reads back what became of a write.
    for stream in needs.writes {
        api("STREAM.MSG.GET", stream, "");
    }
    for stream in needs.reads.iter().chain(needs.consumes) {
        api("STREAM.MSG.GET", stream, "");
        api("DIRECT.GET", stream, "");
        for what in ["CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.MSG.NEXT"] {
            api(what, stream, ".>");
        }
    }
    for stream in needs.consumes {
        api("CONSUMER.DELETE", stream, ".>");
    }
    for stream in needs.removes {
        api("STREAM.PURGE", stream, "");
        if needs.role == KEEPER {
            api("CONSUMER.LIST", stream, "");
        }
    }
    for stream in needs.writes {
        out.extend(names.subjects(stream));
    }
    for stream in needs.consumes {
        // With and without the domain and the account in front.
        out.push(format!("$JS.ACK.{}.>", names.stream(stream)));
        out.push(format!("$JS.ACK.*.*.{}.>", names.stream(stream)));
    }
    out
}

/// The users as a block of a server's configuration. Passwords stand in its environment.
#[must_use]
pub fn users(config: &JetStreamConfig) -> String {
    let quoted = |subjects: &[String]| {
        let lines: Vec<String> = subjects.iter().map(|subject| format!("          {subject:?}")).collect();
        lines.join("\n")
    };
    let mut out = String::from(
        "# Made by `tiphys bus permissions`; to be made again after an upgrade. The passwords stand in the environment of\n\
         # the server.\nauthorization {\n  users: [\n",
    );
    for user in permissions(config) {
        let _ = write!(
            out,
            "    {{\n      user: \"{root}-{role}\", password: $TIPHYS_{variable}_PASSWORD\n      permissions: {{\n\
             \x20       publish: {{ allow: [\n{publish}\n        ] }}\n        subscribe: {{ allow: [\n{subscribe}\n        ] }}\n\
             \x20     }}\n    }}\n",
            root = config.root(),
            role = user.role,
            variable = user.role.to_ascii_uppercase(),
            publish = quoted(&user.publish),
            subscribe = quoted(&user.subscribe),
        );
    }
    out.push_str("  ]\n}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: &str, subject: &str) -> bool {
        let all = permissions(&JetStreamConfig::new("u", "tiphys"));
        let role = all.iter().find(|user| user.role == role).unwrap();
        role.publish.iter().any(|allowed| streams::matches(allowed, subject))
    }

    #[test]
    fn each_does_its_own_work_and_no_other() {
        let work = [
            ("eventsource", "tiphys.events.ns.s.e"),
            ("sensor", "tiphys.firings.ns.s.t"),
            ("trigger", "tiphys.ledger.f"),
            ("executor", "tiphys.workflows.ns.w"),
            ("server", "tiphys.audit.ns"),
            ("bus", "$JS.API.STREAM.CREATE.tiphys-EVENTS"),
            ("bus", "$JS.API.STREAM.PURGE.tiphys-EVENTS"),
            ("sensor", "$JS.ACK.tiphys-EVENTS.c.1.2.3.4.5"),
            ("sensor", "$JS.ACK.d.h.tiphys-EVENTS.c.1.2.3.4.5"),
        ];
        for (role, subject) in work {
            assert!(may(role, subject), "{role}: {subject}");
        }
        let foreign = [
            ("eventsource", "tiphys.firings.ns.s.t"),
            ("eventsource", "$JS.API.STREAM.PURGE.tiphys-EVENTS"),
            ("eventsource", "$JS.API.STREAM.DELETE.tiphys-EVENTS"),
            ("sensor", "tiphys.events.ns.s.e"),
            ("sensor", "$JS.ACK.tiphys-FIRINGS.c.1.2.3.4.5"),
            ("trigger", "tiphys.events.ns.s.e"),
            ("executor", "tiphys.firings.ns.s.t"),
            ("bus", "tiphys.events.ns.s.e"),
            ("server", "$JS.API.STREAM.PURGE.tiphys-EVENTS"),
            ("server", "$JS.API.STREAM.PURGE.tiphys-AUDIT"),
            ("server", "other.events.ns.s.e"),
        ];
        for (role, subject) in foreign {
            assert!(!may(role, subject), "{role}: {subject}");
        }
    }

    #[test]
    fn nobody_deletes_a_stream_or_hears_all() {
        for user in permissions(&JetStreamConfig::new("u", "tiphys")) {
            assert!(user.publish.iter().all(|subject| !subject.contains("STREAM.DELETE") && subject != ">"));
            assert_eq!(user.subscribe, [format!("_INBOX.tiphys.{}.>", user.role)]);
        }
    }
}
