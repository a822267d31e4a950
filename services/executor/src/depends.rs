//! `depends` of a DAG task: results of other tasks with `&&`, `||`, `!` and brackets.

/// What is asked about another task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Succeeded, Skipped or Daemoned; with what its `continueOn` tolerates.
    Plain,
    /// One of these.
    Succeeded,
    /// See `Succeeded`.
    Failed,
    /// See `Succeeded`.
    Errored,
    /// See `Succeeded`.
    Skipped,
    /// See `Succeeded`.
    Omitted,
    /// See `Succeeded`.
    Daemoned,
    /// Of a loop: at least one child succeeded.
    AnySucceeded,
    /// Of a loop: every child failed.
    AllFailed,
}

/// A condition on other tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depends {
    /// Holds at once.
    Always,
    /// A question about the task of this name.
    Task(String, Asked),
    /// Both.
    And(Box<Depends>, Box<Depends>),
    /// Either.
    Or(Box<Depends>, Box<Depends>),
    /// Not.
    Not(Box<Depends>),
}

/// Brackets may nest so deep.
const DEPTH_MAX: usize = 64;

impl Depends {
    /// Parses the text of `depends`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, rest: text, depth: 0 };
        let parsed = parser.either()?;
        parser.skip();
        if parser.rest.is_empty() { Ok(parsed) } else { Err(parser.wrong("cannot be read")) }
    }

    /// All of these tasks, by the plain question: what `dependencies` means.
    #[must_use]
    pub fn all(names: &[String]) -> Self {
        names
            .iter()
            .map(|name| Self::Task(name.clone(), Asked::Plain))
            .reduce(|a, b| Self::And(Box::new(a), Box::new(b)))
            .unwrap_or(Self::Always)
    }

    /// The questions, in order.
    pub fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a str, Asked)) {
        match self {
            Self::Always => {}
            Self::Task(name, asked) => visitor(name, *asked),
            Self::And(a, b) | Self::Or(a, b) => {
                a.visit(visitor);
                b.visit(visitor);
            }
            Self::Not(a) => a.visit(visitor),
        }
    }

    /// Whether it holds, given the answers.
    pub fn holds(&self, answer: &dyn Fn(&str, Asked) -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Task(name, asked) => answer(name, *asked),
            Self::And(a, b) => a.holds(answer) && b.holds(answer),
            Self::Or(a, b) => a.holds(answer) || b.holds(answer),
            Self::Not(a) => !a.holds(answer),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> String {
        let at = self.text.len() - self.rest.len();
        format!("depends `{}` {what} at character {at}", self.text)
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn either(&mut self) -> Result<Depends, String> {
        let mut left = self.both()?;
        while self.take("||") {
            left = Depends::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Depends, String> {
        let mut left = self.single()?;
        while self.take("&&") {
            left = Depends::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Depends, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nests too deep"));
        }
        let parsed = if self.take("!") {
            Depends::Not(Box::new(self.single()?))
        } else if self.take("(") {
            let inner = self.either()?;
            if !self.take(")") {
                return Err(self.wrong("wants a closing bracket"));
            }
            inner
        } else {
            self.task()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn task(&mut self) -> Result<Depends, String> {
        self.skip();
        let name = self.word().to_owned();
        if name.is_empty() {
            return Err(self.wrong("wants the name of a task"));
        }
        let mut asked = Asked::Plain;
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            asked = match self.word() {
                "Succeeded" => Asked::Succeeded,
                "Failed" => Asked::Failed,
                "Errored" => Asked::Errored,
                "Skipped" => Asked::Skipped,
                "Omitted" => Asked::Omitted,
                "Daemoned" => Asked::Daemoned,
                "AnySucceeded" => Asked::AnySucceeded,
                "AllFailed" => Asked::AllFailed,
                _ => return Err(self.wrong("names an unknown result")),
            };
        }
        Ok(Depends::Task(name, asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, succeeded: &[&str], failed: &[&str]) -> bool {
        Depends::parse(text).unwrap().holds(&|name, asked| match asked {
            Asked::Plain | Asked::Succeeded => succeeded.contains(&name),
            Asked::Failed => failed.contains(&name),
            _ => false,
        })
    }

    #[test]
    fn precedence_and_negation() {
        assert!(holds("a || b && c", &["a"], &[]));
        assert!(!holds("(a || b) && c", &["a"], &[]));
        assert!(holds("!a.Succeeded && b.Failed", &[], &["b"]));
        assert!(holds("task-1&&task_2", &["task-1", "task_2"], &[]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["", "a &&", "(a", "a b", "a.Done", "&& a", "a | b"] {
            assert!(Depends::parse(text).is_err(), "{text}");
        }
        assert!(Depends::parse(&"(".repeat(10_000)).is_err());
    }
}
