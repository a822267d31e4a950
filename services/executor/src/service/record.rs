//! What a record means to those who do not drive its workflow, without reading all of it.

use std::sync::Arc;

use tiphys_core::workflow::WorkflowRecord;

use crate::journal::{self, Change};

/// A record from outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A submission or a command: its owner has to do something.
    Asked,
    /// What its owner wrote.
    Progress {
        /// The launcher to which it binds the workflow.
        begun: Option<Arc<str>>,
        /// It ends the workflow, or is the last word after its end.
        ended: bool,
    },
}

impl Kind {
    pub(super) fn of(payload: &[u8]) -> Self {
        const PROGRESS: &[u8] = b"{\"record\":\"progress\"";
        if !payload.starts_with(PROGRESS) {
            return Self::Asked;
        }
        // Quotes within texts are escaped, so that nobody's text looks like this; an object might, and is
        // found out when it is read.
        let wanted: [&[u8]; 3] =
            [b"\"change\":\"begun\"", b"\"change\":\"ended\"", b"\"change\":\"collected\""];
        if !wanted.iter().any(|wanted| has(payload, wanted)) {
            return Self::Progress { begun: None, ended: false };
        }
        let changes = match journal::parse(payload) {
            Ok(WorkflowRecord::Progress { progress }) => journal::progress(&progress).map(|p| p.changes),
            _ => Ok(Vec::new()),
        };
        let changes = changes.unwrap_or_default();
        let begun = changes.iter().find_map(|change| match change {
            Change::Begun(begun) => begun.launcher.as_deref().map(Arc::from),
            _ => None,
        });
        let ended =
            changes.iter().any(|change| matches!(change, Change::Ended { .. } | Change::Collected { .. }));
        Self::Progress { begun, ended }
    }
}

fn has(payload: &[u8], wanted: &[u8]) -> bool {
    payload.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Begun;
    use crate::node::Phase;
    use tiphys_core::Timestamp;

    fn kind(changes: Vec<Change>) -> Kind {
        let record = journal::record(Timestamp::UNIX_EPOCH, changes).unwrap();
        Kind::of(&serde_json::to_vec(&record).unwrap())
    }

    #[test]
    fn what_binds_and_what_ends_is_found() {
        let begun = Begun { launcher: Some("host-1".into()), ..Begun::default() };
        let ended = |message: &str| Change::Ended { phase: Phase::Failed, message: message.into() };
        let launcher = Some(Arc::from("host-1"));
        assert_eq!(
            kind(vec![Change::Begun(Box::new(begun)), ended("")]),
            Kind::Progress { begun: launcher, ended: true }
        );
        assert_eq!(kind(vec![ended("x")]), Kind::Progress { begun: None, ended: true });
        let collected = Change::Collected { problem: String::new() };
        assert_eq!(kind(vec![collected]), Kind::Progress { begun: None, ended: true });
        let template = serde_json::json!({"change": "ended", "text": "\"change\":\"begun\""});
        let stored = Change::Stored { key: "k".into(), template };
        assert_eq!(kind(vec![stored]), Kind::Progress { begun: None, ended: false });
        assert_eq!(Kind::of(b"{\"record\":\"command\"}"), Kind::Asked);
    }
}
