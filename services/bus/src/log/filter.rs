//! The subjects that a consumer or a reader wants.

use std::collections::HashSet;

use crate::error::BusError;
use crate::streams;

/// A set of filters, exact ones apart, so that a message is judged by one look-up where possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    exact: HashSet<String>,
    patterns: Vec<String>,
    all: bool,
}

impl Filters {
    /// From the port's list; an empty one wants everything.
    pub(crate) fn new<S: AsRef<str>>(filters: &[S]) -> Self {
        let mut out = Self { all: filters.is_empty(), ..Self::default() };
        for filter in filters.iter().map(AsRef::as_ref) {
            match filter {
                "" | ">" => out.all = true,
                exact if is_exact(exact) => drop(out.exact.insert(exact.into())),
                pattern => out.patterns.push(pattern.into()),
            }
        }
        out
    }

    /// Whether the subject is wanted.
    pub(crate) fn matches(&self, subject: &str) -> bool {
        self.all || self.exact.contains(subject) || self.patterns.iter().any(|p| streams::matches(p, subject))
    }

    /// The subjects wanted, where each is named in full.
    pub(crate) fn named(&self) -> Option<impl Iterator<Item = &str>> {
        (!self.all && self.patterns.is_empty()).then(|| self.exact.iter().map(String::as_str))
    }
}

/// Whether a filter names one subject.
pub(crate) fn is_exact(filter: &str) -> bool {
    !filter.is_empty() && !filter.split('.').any(|token| token == "*" || token == ">")
}

/// Refuses what cannot be the subject of a message.
pub(crate) fn check_subject(subject: &str) -> Result<(), BusError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'%');
    if subject.split('.').all(|token| !token.is_empty() && token.bytes().all(good)) {
        return Ok(());
    }
    Err(BusError::Invalid {
        reason: format!(
            "`{subject}` is no subject: it must be tokens of letters, digits, `-`, `_` and `%XX`, joined by dots"
        ),
    })
}

/// Refuses what cannot be a filter.
pub(crate) fn check_filter(filter: &str) -> Result<(), BusError> {
    let mut tokens = filter.split('.').peekable();
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        let wild = token == "*" || (token == ">" && last);
        if !(wild || filter.is_empty() || check_subject(token).is_ok()) {
            return Err(BusError::Invalid {
                reason: format!(
                    "`{filter}` is no filter: `{token}` is neither a token nor a wildcard in its place"
                ),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_patterns() {
        let filters = Filters::new(&["a.b", "c.*"]);
        assert!(filters.matches("a.b") && filters.matches("c.d"));
        assert!(!filters.matches("a.c") && !filters.matches("c.d.e"));
        assert!(filters.named().is_none());
        assert_eq!(Filters::new(&["a.b"]).named().unwrap().count(), 1);
        assert!(Filters::new::<&str>(&[]).matches("x"));
    }

    #[test]
    fn bad_ones_are_refused() {
        for bad in ["", "a..b", "a.*", "a b", ".a"] {
            assert!(check_subject(bad).is_err(), "{bad}");
        }
        for bad in ["a.>.b", "a..b", "a.b*"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
        for good in ["", ">", "a.*.b", "a.>", "a.%.b%2E"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
    }
}
