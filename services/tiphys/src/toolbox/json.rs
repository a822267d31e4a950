//! `tool json`: reads by a gjson path, the language of `dataKey`.

use clap::Args as ClapArgs;
use tiphys_lang::gjson;

use super::{failed, read};
use crate::exit::{Code, Failure};

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The path, such as `issue.fields.comment.comments.#.body`
    path: String,
    /// File; standard input if absent
    #[arg(default_value = "-")]
    file: String,
    /// Print JSON text, strings in quotes
    #[arg(long)]
    raw: bool,
    /// Print each element of an array on a line of its own
    #[arg(long)]
    lines: bool,
    /// Printed where nothing is found, instead of failing
    #[arg(long)]
    default: Option<String>,
}

/// Prints what it finds.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let content = String::from_utf8(read(&args.file)?).map_err(|_| failed("the input is not UTF-8"))?;
    serde_json::from_str::<serde::de::IgnoredAny>(&content)
        .map_err(|error| failed(format!("{}: {error}", args.file)))?;
    let found = gjson::get(&content, &args.path);
    let Some(found) = found else {
        return match &args.default {
            Some(default) => {
                println!("{default}");
                Ok(())
            }
            None => Err(Failure::new(Code::NotFound, format!("nothing at `{}`", args.path))),
        };
    };
    if args.lines {
        let values: Vec<serde_json::Value> =
            serde_json::from_str(&found.raw).map_err(|_| failed(format!("`{}` is no array", args.path)))?;
        for value in values {
            match value {
                serde_json::Value::String(text) if !args.raw => {
                    println!("{}", text.replace(['\n', '\r'], " "))
                }
                other => println!("{other}"),
            }
        }
    } else if args.raw {
        println!("{}", found.raw);
    } else {
        println!("{}", found.text());
    }
    Ok(())
}
