//! Deleting the object that is meant, and no other that took its name since.
//!
//! An alert names a pod by its name. When the answer comes, another pod may have that name: one that a controller made
//! anew, or one that an attacker wants gone. So a manifest that is deleted may say which object it means, by annotations
//! that are filled from the event:
//!
//! | place | the object must have |
//! |---|---|
//! | annotation `tiphys.dev/precondition-uid`, or `metadata.uid` | this uid |
//! | annotation `tiphys.dev/precondition-container-id` | a container whose id begins so, running now or just before its last restart; Falco tells the first 12 digits |
//!
//! The API server compares the uid again while it deletes. One that is given and empty, or is no id (`<NA>`), is not met.

use serde_json::Value;

use super::{Failure, Objects, Removal};

/// Names the uid that the object must have.
pub const PRECONDITION_UID: &str = "tiphys.dev/precondition-uid";
/// Names a container that must be the pod's.
pub const PRECONDITION_CONTAINER: &str = "tiphys.dev/precondition-container-id";

/// Which object is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    uid: Option<String>,
    container: Option<String>,
}

/// Whether an object is the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It is; this is its uid.
    Same(String),
    /// It is another; why.
    Another(String),
    /// It cannot be told; why.
    Unclear(String),
}

/// What came of a guarded delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted, or ends now; its uid, where it is known.
    Deleted(String),
    /// There is none of that name.
    Absent,
    /// What has the name is another, and was left alone; why.
    Another(String),
}

impl Precondition {
    /// What a manifest says.
    #[must_use]
    pub fn of(manifest: &Value) -> Self {
        let metadata = &manifest["metadata"];
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()),
            other => Some(other.to_string()),
        };
        let annotation = |name: &str| text(&metadata["annotations"][name]);
        Self {
            uid: annotation(PRECONDITION_UID).or_else(|| text(&metadata["uid"])),
            container: annotation(PRECONDITION_CONTAINER),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.uid.is_none() && self.container.is_none()
    }

    /// Judges an object that has the name.
    #[must_use]
    pub fn judge(&self, live: &Value) -> Fit {
        let metadata = &live["metadata"];
        let shown = || {
            let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
            let (kind, namespace) = (live["kind"].as_str().unwrap_or("object"), text("namespace"));
            let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            format!("{kind} {place}{}", text("name"))
        };
        let Some(there) = metadata["uid"].as_str() else {
            return Fit::Unclear(format!("{} has no uid", shown()));
        };
        if let Some(uid) = &self.uid {
            if uid.len() < 8 || uid.starts_with('<') {
                return Fit::Unclear(format!(
                    "'{uid}' is no uid, so that it is not known which {} is meant",
                    shown()
                ));
            }
            if uid != there {
                return Fit::Another(format!("{} has the uid {there}, and {uid} is meant", shown()));
            }
        }
        if let Some(id) = &self.container {
            let known = id.rsplit("://").next().unwrap_or_default();
            let is_id = (12..=64).contains(&known.len()) && known.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_id {
                return Fit::Unclear(format!(
                    "'{id}' is no container id (12 to 64 hexadecimal digits), so that it is not known which {} is meant",
                    shown()
                ));
            }
            if !containers(live).any(|container| container.starts_with(known)) {
                return Fit::Another(format!("{} (uid {there}) has no container {known}", shown()));
            }
        }
        Fit::Same(there.to_owned())
    }
}

/// Ids of the containers of a pod: of those that run, and of those that ended last.
fn containers(pod: &Value) -> impl Iterator<Item = &str> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let all = lists.into_iter().filter_map(|list| pod["status"][list].as_array()).flatten();
    all.flat_map(|status| {
        [&status["containerID"], &status["lastState"]["terminated"]["containerID"]]
            .into_iter()
            .filter_map(Value::as_str)
            .filter_map(|id| id.rsplit("://").next())
    })
}

impl Objects {
    /// Deletes the object of this name if it is the one that is meant. Without a precondition it is deleted whatever it
    /// is, and needs no right to be read.
    ///
    /// # Errors
    /// [`Failure::Refused`] where it cannot be told which object is meant; else as the API server answers.
    pub async fn delete_meant(
        &self,
        name: &str,
        meant: &Precondition,
        how: &Removal,
    ) -> Result<Deletion, Failure> {
        let mut how = how.clone();
        if !meant.is_none() {
            let Some(live) = self.get(name).await? else { return Ok(Deletion::Absent) };
            match meant.judge(&live) {
                Fit::Same(uid) => how.uid = Some(uid),
                Fit::Another(why) => return Ok(Deletion::Another(why)),
                Fit::Unclear(why) => return Err(Failure::Refused(format!("not deleted: {why}"))),
            }
        }
        match self.delete(name, &how).await {
            Ok(None) => Ok(Deletion::Absent),
            Ok(Some(answer)) => {
                let uid = [&answer["metadata"]["uid"], &answer["details"]["uid"]];
                let uid = uid.into_iter().find_map(Value::as_str).map(str::to_owned);
                Ok(Deletion::Deleted(uid.or(how.uid).unwrap_or_default()))
            }
            // It went between the two, and another came.
            Err(Failure::Conflict(said)) if how.uid.is_some() => Ok(Deletion::Another(said)),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "3ad0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef12345678";

    fn pod() -> Value {
        json!({
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "uid": "11111111-2222-3333-4444-555555555555"},
            "status": {
                "containerStatuses": [{
                    "containerID": format!("containerd://{ID}"),
                    "lastState": {"terminated": {"containerID": "containerd://feedfeedfeedfeed0000"}},
                }],
                "initContainerStatuses": [{"containerID": "docker://aaaaaaaaaaaabbbb"}],
            },
        })
    }

    fn with(annotation: &str, value: Value) -> Precondition {
        Precondition::of(&json!({"metadata": {"annotations": {annotation: value}}}))
    }

    #[test]
    fn the_container_of_the_alert_decides() {
        for (id, fits) in [
            (&ID[..12], true),
            (ID, true),
            (&format!("containerd://{ID}"), true),
            ("feedfeedfeed", true),
            ("aaaaaaaaaaaa", true),
            ("bbbbbbbbbbbb", false),
            ("ad0bd5e9c1f2", false),
        ] {
            let fit = with(PRECONDITION_CONTAINER, json!(id)).judge(&pod());
            assert_eq!(matches!(fit, Fit::Same(_)), fits, "{id}: {fit:?}");
            assert_eq!(matches!(fit, Fit::Another(_)), !fits, "{id}: {fit:?}");
        }
    }

    #[test]
    fn what_is_no_id_is_never_met() {
        for value in [json!(""), json!("<NA>"), json!("host"), json!("3ad0bd5e9c1"), json!(0), json!(" ")] {
            for name in [PRECONDITION_CONTAINER, PRECONDITION_UID] {
                let meant = with(name, value.clone());
                assert!(!meant.is_none(), "{name} {value}");
                let fit = meant.judge(&pod());
                assert!(!matches!(fit, Fit::Same(_)), "{name} {value}: {fit:?}");
            }
        }
        assert!(with(PRECONDITION_UID, Value::Null).is_none());
    }

    #[test]
    fn the_uid_decides_and_both_must_fit() {
        let uid = "11111111-2222-3333-4444-555555555555";
        assert_eq!(with(PRECONDITION_UID, json!(uid)).judge(&pod()), Fit::Same(uid.into()));
        let named = Precondition::of(&json!({"metadata": {"name": "web", "uid": uid}}));
        assert_eq!(named.judge(&pod()), Fit::Same(uid.into()));
        let other = with(PRECONDITION_UID, json!("99999999-2222-3333-4444-555555555555"));
        assert!(matches!(other.judge(&pod()), Fit::Another(_)));
        let both = json!({"metadata": {"annotations": {
            PRECONDITION_UID: uid, PRECONDITION_CONTAINER: "bbbbbbbbbbbb",
        }}});
        assert!(matches!(Precondition::of(&both).judge(&pod()), Fit::Another(_)));
    }
}
