//! What can go wrong at an API server, in words that say what to do.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;

/// An answer that takes longer is none: a connection whose other end is gone says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The operator does not allow the account.
    #[error("{0}")]
    NotAllowed(String),
    /// The account has not the right.
    #[error("{0}")]
    Forbidden(String),
    /// The token is not believed.
    #[error("{0}")]
    Unknown(String),
    /// The object, its kind or its namespace does not exist.
    #[error("{0}")]
    Missing(String),
    /// An object of that name exists.
    #[error("{0}")]
    Exists(String),
    /// Somebody changed the object meanwhile, or it is another than was meant.
    #[error("{0}")]
    Conflict(String),
    /// What the watch asked for is not kept any more: read afresh.
    #[error("{0}")]
    Expired(String),
    /// The API server refuses it for good.
    #[error("{0}")]
    Refused(String),
    /// The API server is away, overloaded or failing: try again.
    #[error("{0}")]
    Unavailable(String),
}

/// What was asked, for messages.
#[derive(Debug, Clone)]
pub struct Deed {
    /// As whom.
    pub who: String,
    /// The verb, as in a Role.
    pub verb: &'static str,
    /// The API group, empty for the core.
    pub group: String,
    /// The resource, as in a Role.
    pub plural: String,
    /// The namespace; absent for what has none.
    pub namespace: Option<String>,
    /// The object's name, or empty.
    pub name: String,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.plural)?;
        if self.name.is_empty() {
            return self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in {namespace}"));
        }
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

impl Deed {
    /// The failure of this request.
    pub(super) fn failed(&self, answer: Answer) -> Failure {
        match answer {
            Answer::Said(kube::Error::Api(status)) => self.refused(&status),
            other => plain(&self.to_string(), other),
        }
    }

    /// What a status of the API server means.
    #[must_use]
    pub fn refused(&self, status: &Status) -> Failure {
        let said = || format!("{self}: {}", message(status));
        match status.code {
            401 => Failure::Unknown(said()),
            // By number, too: what is no answer of an API has no reason that is known.
            403 => Failure::Forbidden(self.rule(status)),
            404 => Failure::Missing(said()),
            409 if status.is_already_exists() => Failure::Exists(said()),
            409 => Failure::Conflict(said()),
            410 => Failure::Expired(said()),
            408 | 429 | 500.. => Failure::Unavailable(said()),
            _ => Failure::Refused(said()),
        }
    }

    /// Which right is missing. Also policies answer 403; they are told from it by what they say.
    fn rule(&self, status: &Status) -> String {
        let said = message(status);
        if !said.contains("cannot ") {
            return format!("{self}: {said}");
        }
        let (kind, place) = match &self.namespace {
            Some(namespace) => ("Role", format!(" in namespace {namespace}")),
            None => ("ClusterRole", String::new()),
        };
        format!(
            "{who} may not {verb} {plural}{place}: bind it to a {kind}{place} with the rule {{apiGroups: [\"{group}\"], \
             resources: [\"{plural}\"], verbs: [\"{verb}\"]}} ({said})",
            who = self.who,
            verb = self.verb,
            plural = self.plural,
            group = self.group,
        )
    }
}

fn message(status: &Status) -> String {
    if status.message.is_empty() { format!("answered {}", status.code) } else { status.message.clone() }
}

/// What came of a request, or that nothing came.
pub(super) enum Answer {
    /// The client says this.
    Said(kube::Error),
    /// Nothing came in time.
    Silence,
}

/// Gives a request the time that it may take.
pub(super) async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Answer> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => answer.map_err(Answer::Said),
        Err(_) => Err(Answer::Silence),
    }
}

/// A failure of which nothing more is known than what was asked.
pub(super) fn plain(what: &str, answer: Answer) -> Failure {
    match answer {
        Answer::Silence => Failure::Unavailable(format!("{what}: no answer within {} s", PATIENCE.as_secs())),
        Answer::Said(kube::Error::Api(status)) => match status.code {
            401 => Failure::Unknown(format!("{what}: {}", message(&status))),
            403 => Failure::Forbidden(format!("{what}: {}", message(&status))),
            408 | 429 | 500.. => Failure::Unavailable(format!("{what}: {}", message(&status))),
            _ => Failure::Refused(format!("{what}: {}", message(&status))),
        },
        Answer::Said(
            error @ (kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) | kube::Error::InferConfig(_)),
        ) => Failure::Refused(format!("{what}: {}", tiphys_core::chain(&error))),
        Answer::Said(error) => Failure::Unavailable(format!("{what}: {}", tiphys_core::chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed() -> Deed {
        Deed {
            who: "ServiceAccount argo/response".into(),
            verb: "delete",
            group: String::new(),
            plural: "pods".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        }
    }

    #[test]
    fn a_missing_right_is_told_with_the_rule_that_gives_it() {
        let status =
            Status::failure("pods \"web\" is forbidden: User \"x\" cannot delete resource", "Forbidden")
                .with_code(403);
        let Failure::Forbidden(told) = deed().refused(&status) else { panic!("forbidden") };
        assert!(
            told.starts_with("ServiceAccount argo/response may not delete pods in namespace shop"),
            "{told}"
        );
        assert!(told.contains(r#"{apiGroups: [""], resources: ["pods"], verbs: ["delete"]}"#), "{told}");
        let quota = Status::failure("exceeded quota", "Forbidden").with_code(403);
        assert_eq!(deed().refused(&quota), Failure::Forbidden("delete pods shop/web: exceeded quota".into()));
    }

    #[test]
    fn what_is_worth_another_try() {
        for (code, reason, again) in [
            (429, "TooManyRequests", true),
            (500, "InternalError", true),
            (503, "", true),
            (504, "Timeout", true),
            (400, "BadRequest", false),
            (404, "NotFound", false),
            (409, "AlreadyExists", false),
            (422, "Invalid", false),
        ] {
            let failure = deed().refused(&Status::failure("m", reason).with_code(code));
            assert_eq!(matches!(failure, Failure::Unavailable(_)), again, "{code} {failure:?}");
        }
        let exists = deed().refused(&Status::failure("m", "AlreadyExists").with_code(409));
        assert!(matches!(exists, Failure::Exists(_)));
        let conflict = deed().refused(&Status::failure("m", "Conflict").with_code(409));
        assert!(matches!(conflict, Failure::Conflict(_)));
    }
}
