//! The `args` of an argoWorkflow trigger: flags of `argo submit`. Those that shape the workflow are read; the
//! others are reported, never dropped in silence.

use serde_json::Value as Json;

use super::submission::Wish;
use crate::error::Error;

/// Reads the flags.
pub(super) fn read(args: Option<&Json>) -> Result<Wish, Error> {
    let mut wish = Wish::default();
    let words: Vec<String> = match args {
        None | Some(Json::Null) => return Ok(wish),
        Some(Json::Array(list)) => {
            list.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect()
        }
        Some(_) => return Err(Error::Template("`args` is no list".into())),
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag.to_owned(), Some(value.to_owned())),
            _ => (word, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| Error::Template(format!("`args`: `{flag}` needs a value")))
        };
        match flag.as_str() {
            "-p" | "--parameter" => wish.parameters.push(pair(&flag, &value()?)?),
            "-l" | "--labels" => {
                for label in value()?.split(',') {
                    wish.labels.push(pair(&flag, label)?);
                }
            }
            "--name" => wish.name = Some(value()?),
            "--generate-name" => wish.generate_name = Some(value()?),
            "--entrypoint" => wish.entrypoint = Some(value()?),
            "--serviceaccount" => wish.service_account = Some(value()?),
            "-n" | "--namespace" => wish.namespace = Some(value()?),
            other => {
                return Err(Error::Template(format!(
                    "`args`: `{other}` is not understood; understood are -p, -l, -n, --name, --generate-name, \
                     --entrypoint and --serviceaccount"
                )));
            }
        }
    }
    Ok(wish)
}

fn pair(flag: &str, text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Error::Template(format!("`args`: `{flag} {text}` is not of the form name=value"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_in_both_forms() {
        let args = json!(["-p", "a=b=c", "--parameter=x=", "--serviceaccount", "sa", "-l", "k=v,m=n"]);
        let wish = read(Some(&args)).unwrap();
        assert_eq!(wish.parameters, [("a".into(), "b=c".into()), ("x".into(), String::new())]);
        assert_eq!(wish.service_account.as_deref(), Some("sa"));
        assert_eq!(wish.labels.len(), 2);
        for bad in [json!(["--watch"]), json!(["-p"]), json!(["-p", "novalue"]), json!("x")] {
            assert!(read(Some(&bad)).is_err(), "{bad}");
        }
    }
}
