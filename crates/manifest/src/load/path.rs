//! Where in a document something stands.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// The steps from the root of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// One step further, into a mapping.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.then(Segment::Key(key.into()))
    }

    /// One step further, into a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// This path, and then another.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(other.0.iter().cloned());
        Self(all)
    }

    /// The path of the mapping or list that holds this.
    #[must_use]
    pub fn parent(&self) -> Self {
        let mut all = self.0.clone();
        all.pop();
        Self(all)
    }

    /// The last step, where it is into a mapping.
    #[must_use]
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Segment::Key(key)) => Some(key),
            _ => None,
        }
    }

    fn then(&self, segment: Segment) -> Self {
        let mut all = self.0.clone();
        all.push(segment);
        Self(all)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if key.is_empty() || key.contains(['.', '[', ']', ' ', '/']) => {
                    write!(f, "[{key:?}]")?;
                }
                Segment::Key(key) if at == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn text() {
        let path = Path::root().key("metadata").key("labels").key("a.b/c");
        assert_eq!(path.to_string(), "metadata.labels[\"a.b/c\"]");
        assert_eq!(Path::root().key("a").index(0).key("b").to_string(), "a[0].b");
    }
}
