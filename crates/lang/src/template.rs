//! Go templates with the sprig functions.

mod functions;
mod nesting;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use gotmpl::TemplateError;
use gotmpl::parse::Parser;
use jiff::Timestamp;
use serde_json::Value;

use crate::LangError;
use crate::sprig::convert;
use crate::sprig::run::{MAX_TEXT, Run};

const LANGUAGE: &str = "template";

/// The name of the text itself among the templates that it defines.
const MAIN: &str = "main";

/// How often all `range` loops of one run may go round.
const MAX_ROUNDS: u64 = 100_000;

/// What a program may know besides its input; makes `now` and random functions repeatable.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What `now` gives.
    pub now: Timestamp,
    /// Seed of the random functions (an event id).
    pub seed: &'a str,
}

/// A compiled template.
#[derive(Clone)]
pub struct Template {
    inner: Arc<gotmpl::Template>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

impl Template {
    /// Compiles a template text.
    ///
    /// # Errors
    /// Fails when the text is no template, or names an unknown function.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        nesting::check(text)?;
        let wrong = |error: TemplateError| syntax(text, error);
        let (main, _) = Parser::new(text, "{{", "}}").map_err(wrong)?.parse().map_err(wrong)?;
        let mut inner = gotmpl::Template::new(MAIN)
            .funcs(functions::all())
            .max_range_iters(MAX_ROUNDS)
            .parse(text)
            .map_err(wrong)?;
        let mut trees = vec![(MAIN.to_owned(), main)];
        let names: BTreeSet<String> = inner.templates().into_iter().map(str::to_owned).collect();
        for name in names {
            if name != MAIN
                && let Some(tree) = inner.lookup(&name)
            {
                trees.push((name, tree.clone()));
            }
        }
        for (name, tree) in trees {
            let tree = rewrite::tree(text, tree)?;
            inner = inner.add_parse_tree(&name, tree);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Renders with `data` as the dot. Argo's callers pass `{"Input": …}`.
    ///
    /// # Errors
    /// Fails when a function fails or a limit is reached.
    pub fn render(&self, data: &Value, context: Context<'_>) -> Result<String, LangError> {
        let data = convert::from_json(data);
        let mut output = Output::default();
        let (result, failure) = functions::during(Run::new(LANGUAGE, context), || {
            self.inner.execute_template_fmt(&mut output, MAIN, &data)
        });
        let limit = |limit| LangError::Limit { language: LANGUAGE, limit };
        match (result, failure) {
            (Ok(()), _) => Ok(output.text),
            (Err(_), Some(failure)) => Err(failure),
            (Err(TemplateError::Write), None) => Err(limit("output")),
            (Err(TemplateError::RangeIterLimit), None) => Err(limit("steps")),
            (Err(TemplateError::RecursionLimit), None) => Err(limit("depth")),
            (Err(error), None) => Err(LangError::Eval { language: LANGUAGE, message: error.to_string() }),
        }
    }
}

/// Text that is not let grow beyond the limit.
#[derive(Default)]
struct Output {
    text: String,
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > MAX_TEXT {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

fn syntax(text: &str, error: TemplateError) -> LangError {
    let (message, offset) = match error {
        TemplateError::Parse { line, col, message, .. } | TemplateError::Lex { line, col, message, .. } => {
            let before = text.split_inclusive('\n').take(line.saturating_sub(1));
            let before: usize = before.map(|line| line.chars().count()).sum();
            (message, before + col.saturating_sub(1))
        }
        other => (other.to_string(), 0),
    };
    LangError::Syntax { language: LANGUAGE, message, offset }
}
