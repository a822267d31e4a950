//! What streams, subjects and filters are called on the server.

use crate::error::BusError;
use crate::log::check_filter;

/// The names of one installation.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(super) fn stream(&self, stream: &str) -> String {
        format!("{}-{stream}", self.prefix)
    }

    /// The subjects of a stream.
    pub(super) fn subjects(&self, stream: &str) -> Vec<String> {
        let root = self.subject(&stream.to_ascii_lowercase());
        vec![format!("{root}.>"), root]
    }

    pub(super) fn subject(&self, subject: &str) -> String {
        format!("{}.{subject}", self.prefix)
    }

    /// Undoes [`Self::subject`].
    pub(super) fn ours<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)?.strip_prefix('.')
    }

    /// A filter on a stream's subjects; `None` stands for all.
    pub(super) fn filter(&self, stream: &str, filter: &str) -> Result<Option<String>, BusError> {
        check_filter(filter)?;
        let root = stream.to_ascii_lowercase();
        // The server accepts of a consumer only what lies within the stream.
        Ok(match filter.split_once('.') {
            None if filter.is_empty() || filter == ">" => None,
            None if filter == "*" => Some(self.subject(&root)),
            Some(("*", rest)) => Some(self.subject(&format!("{root}.{rest}"))),
            _ => Some(self.subject(filter)),
        })
    }

    /// A consumer's filters, without those that another one contains, which the server refuses.
    pub(super) fn filters(&self, stream: &str, filters: &[String]) -> Result<Vec<String>, BusError> {
        let mut out: Vec<String> = Vec::new();
        for filter in filters {
            let Some(filter) = self.filter(stream, filter)? else {
                return Ok(Vec::new());
            };
            if !out.iter().any(|wide| contains(wide, &filter)) {
                out.retain(|narrow| !contains(&filter, narrow));
                out.push(filter);
            }
        }
        out.sort();
        Ok(out)
    }
}

/// Whether every subject that matches `narrow` matches `wide`.
fn contains(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(w), Some(n)) if w == n => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(filters: &[&str]) -> Vec<String> {
        let filters: Vec<String> = filters.iter().map(|f| (*f).into()).collect();
        Names::new("p").filters("T", &filters).unwrap()
    }

    #[test]
    fn filters_stay_within_the_stream() {
        assert_eq!(filters(&["*.a"]), ["p.t.a"]);
        assert_eq!(filters(&["*"]), ["p.t"]);
        assert!(filters(&[]).is_empty());
        assert!(filters(&["t.a", ">"]).is_empty());
    }

    #[test]
    fn what_another_contains_is_left_out() {
        assert_eq!(filters(&["t.a.b", "t.a.>", "t.a.*", "t.b"]), ["p.t.a.>", "p.t.b"]);
        assert_eq!(filters(&["t.>", "t.a"]), ["p.t.>"]);
        assert_eq!(filters(&["t.a", "t.a"]), ["p.t.a"]);
        assert_eq!(filters(&["t.*", "t.>"]), ["p.t.>"]);
        assert!(!contains("a.*", "a.>") && !contains("a.b", "a.*"));
    }

    #[test]
    fn subjects_and_back() {
        let names = Names::new("p");
        assert_eq!(names.ours(&names.subject("t.a")), Some("t.a"));
        assert_eq!(names.ours("px.t.a"), None);
    }
}
