//! `successCondition` and `failureCondition`: label selectors over gjson paths.
//!
//! Each requirement of a failure condition fails the step by itself; those of a success condition must hold together.

use std::fmt;

#[cfg(any(test, feature = "kubernetes"))]
use tiphys_lang::gjson;

/// A condition: requirements separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(Vec<Requirement>);

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    path: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    Equal,
    DoubleEqual,
    NotEqual,
    In,
    NotIn,
    Greater,
    Less,
}

impl Operator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Absent => "!",
            Self::Equal => "=",
            Self::DoubleEqual => "==",
            Self::NotEqual => "!=",
            Self::In => "in",
            Self::NotIn => "notin",
            Self::Greater => "gt",
            Self::Less => "lt",
        }
    }
}

/// As Argo prints it.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} {} [{}]}}", self.path, self.operator.as_str(), self.values.join(" "))
    }
}

/// What an object says to both conditions.
#[cfg(any(test, feature = "kubernetes"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The success condition holds.
    Succeeded,
    /// A requirement of the failure condition holds; Argo's message.
    Failed(String),
    /// Neither.
    Open,
}

/// Judges the JSON text of an object.
#[cfg(any(test, feature = "kubernetes"))]
pub(super) fn judge(object: &str, success: &Condition, failure: &Condition) -> Verdict {
    if let Some(bad) = failure.0.iter().find(|requirement| requirement.holds(object)) {
        return Verdict::Failed(format!("failure condition '{bad}' evaluated true"));
    }
    if success.0.iter().all(|requirement| requirement.holds(object)) {
        return Verdict::Succeeded;
    }
    Verdict::Open
}

#[cfg(any(test, feature = "kubernetes"))]
impl Requirement {
    fn holds(&self, object: &str) -> bool {
        let found = gjson::get(object, &self.path).map(|found| found.text());
        let number = |text: &str| text.parse::<i64>().ok();
        let compared = |holds: fn(i64, i64) -> bool| {
            let limit = self.values.first().and_then(|value| number(value));
            let value = found.as_deref().and_then(number);
            matches!((value, limit), (Some(value), Some(limit)) if holds(value, limit))
        };
        match self.operator {
            Operator::Exists => found.is_some(),
            Operator::Absent => found.is_none(),
            Operator::Equal | Operator::DoubleEqual | Operator::In => {
                found.is_some_and(|value| self.values.contains(&value))
            }
            Operator::NotEqual | Operator::NotIn => !found.is_some_and(|value| self.values.contains(&value)),
            Operator::Greater => compared(|value, limit| value > limit),
            Operator::Less => compared(|value, limit| value < limit),
        }
    }
}

impl Condition {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a condition.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text);
        let mut tokens = tokens.iter().map(String::as_str).peekable();
        let mut all = Vec::new();
        while tokens.peek().is_some() {
            all.push(requirement(&mut tokens)?);
            match tokens.next() {
                None => break,
                Some(",") if tokens.peek().is_some() => {}
                Some(other) => return Err(format!("found '{other}', expected: ',' and another requirement")),
            }
        }
        Ok(Self(all))
    }
}

fn requirement<'t>(
    tokens: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
) -> Result<Requirement, String> {
    let absent = tokens.next_if_eq(&"!").is_some();
    let path = word(tokens.next())?;
    let of = |operator, values| Requirement { path: path.clone(), operator, values };
    if absent {
        return Ok(of(Operator::Absent, Vec::new()));
    }
    let operator = match tokens.peek() {
        None | Some(&",") => return Ok(of(Operator::Exists, Vec::new())),
        Some(&"=") => Operator::Equal,
        Some(&"==") => Operator::DoubleEqual,
        Some(&"!=") => Operator::NotEqual,
        Some(&"in") => Operator::In,
        Some(&"notin") => Operator::NotIn,
        Some(&">") => Operator::Greater,
        Some(&"<") => Operator::Less,
        Some(other) => {
            return Err(format!("found '{other}', expected: one of in, notin, =, ==, !=, >, <"));
        }
    };
    tokens.next();
    let values = match operator {
        Operator::In | Operator::NotIn => list(tokens)?,
        // Nothing after it is the empty text.
        _ if matches!(tokens.peek(), None | Some(&",")) => vec![String::new()],
        _ => vec![word(tokens.next())?],
    };
    if matches!(operator, Operator::Greater | Operator::Less)
        && values.iter().any(|value| value.parse::<i64>().is_err())
    {
        return Err(format!("'{}' is no whole number: > and < compare those", values.join(" ")));
    }
    Ok(of(operator, values))
}

fn list<'t>(tokens: &mut impl Iterator<Item = &'t str>) -> Result<Vec<String>, String> {
    if tokens.next() != Some("(") {
        return Err("expected: '(' after in or notin".into());
    }
    let (mut values, mut last) = (Vec::new(), ",");
    loop {
        match tokens.next() {
            None => return Err("expected: ')' after the values of in or notin".into()),
            Some(")") => {
                if last == "," {
                    values.push(String::new());
                }
                // A set, as the message shows it.
                values.sort();
                values.dedup();
                return Ok(values);
            }
            Some(",") => {
                if last == "," {
                    values.push(String::new());
                }
                last = ",";
            }
            Some(value) => {
                values.push(word(Some(value))?);
                last = "value";
            }
        }
    }
}

fn word(token: Option<&str>) -> Result<String, String> {
    match token {
        None => Err("found '', expected: a path or a value".into()),
        Some(token) if token.contains(['=', '!', '<', '>', '(', ')', ',']) => {
            Err(format!("found '{token}', expected: a path or a value"))
        }
        Some(token) => Ok(token.to_owned()),
    }
}

/// Words and signs.
fn tokens(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let sign = matches!(c, '=' | '!' | '<' | '>' | '(' | ')' | ',');
        if (sign || c.is_whitespace()) && !word.is_empty() {
            all.push(std::mem::take(&mut word));
        }
        if sign {
            let mut sign = String::from(c);
            if matches!(c, '=' | '!') && chars.next_if_eq(&'=').is_some() {
                sign.push('=');
            }
            all.push(sign);
        } else if !c.is_whitespace() {
            word.push(c);
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"metadata":{"name":"j"},"status":{"succeeded":3,"phase":"Failed","ready":true,"conditions":[{"type":"Ready","status":"True"}],"none":null}}"#;

    fn holds(text: &str) -> bool {
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        judge(JOB, &condition, &Condition::default()) == Verdict::Succeeded
    }

    #[test]
    fn requirements_of_all_kinds() {
        for (text, expected) in [
            ("status.succeeded > 2", true),
            ("status.succeeded > 3", false),
            ("status.succeeded<4", true),
            ("status.failed > 1", false),
            ("status.failed < 1", false),
            ("status.phase > 1", false),
            ("status.phase == Failed", true),
            ("status.phase = Failed", true),
            ("status.phase=Succeeded", false),
            ("status.phase != Succeeded", true),
            ("status.nothing != x", true),
            ("status.phase in (Failed, Error)", true),
            ("status.phase notin (Failed, Error)", false),
            ("status.nothing notin (a)", true),
            ("status.conditions.0.type == Ready", true),
            ("status.conditions", true),
            ("!status.conditions", false),
            ("!status.nothing", true),
            ("status.ready == true, status.succeeded == 3", true),
            ("status.ready == true, status.succeeded == 4", false),
            ("status.nothing", false),
            ("", true),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    #[test]
    fn failure_needs_one_and_comes_first() {
        let failure = Condition::parse("status.failed > 1, status.phase in (Error,Failed)").unwrap();
        let success = Condition::parse("status.succeeded == 3").unwrap();
        let told = "failure condition '{status.phase in [Error Failed]}' evaluated true".to_owned();
        assert_eq!(judge(JOB, &success, &failure), Verdict::Failed(told));
        assert_eq!(judge(JOB, &success, &Condition::default()), Verdict::Succeeded);
        let open = Condition::parse("status.succeeded == 4").unwrap();
        assert_eq!(judge(JOB, &open, &Condition::default()), Verdict::Open);
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for wrong in [
            "a b",
            "a ==  b c",
            "a in b",
            "a in (b",
            "a > x",
            "== b",
            "a,",
            "a,,b",
            "a => b",
            "(a)",
            "a !! b",
        ] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
    }
}
