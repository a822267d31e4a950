//! `flags`: what kubectl is given besides the manifest.
//!
//! Known: a type and names, `--namespace`, `--selector`, `--all`, `--ignore-not-found`, `--grace-period`, `--force`,
//! `--now`, `--cascade`, `--wait`, `--subresource`. Those that change only how kubectl works (`--validate`, `--record`,
//! `--timeout` …) are accepted and mean nothing. Everything else is refused by name.

/// What flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `TYPE NAME…`, or `TYPE/NAME…`: the type as written, and a name.
    pub targets: Vec<(String, String)>,
    /// A type without a name, for a selector or for all.
    pub of_type: Option<String>,
    /// Another namespace than the workflow's.
    pub namespace: Option<String>,
    /// A label selector.
    pub selector: Option<String>,
    /// All of the type.
    pub all: bool,
    /// What is not there is no failure.
    pub ignore_not_found: bool,
    /// Seconds that an object gets to end.
    pub grace: Option<u32>,
    /// `background`, `foreground` or `orphan`.
    pub cascade: Option<String>,
    /// Whether a delete ends before what it deletes is gone.
    pub no_wait: bool,
    /// Such as `status`.
    pub subresource: String,
}

/// Flags with a value that only kubectl itself heeds.
const IDLE: [&str; 8] =
    ["--field-manager", "--request-timeout", "--timeout", "--output", "-o", "--v", "-v", "--applyset"];
/// Flags without a value of which the same is true.
const IDLE_SWITCHES: [&str; 8] = [
    "--validate",
    "--record",
    "--save-config",
    "--overwrite",
    "--server-side",
    "--force-conflicts",
    "--allow-missing-template-keys",
    "--show-managed-fields",
];

impl Flags {
    /// Reads flags.
    ///
    /// # Errors
    /// Names the flag that is not known or has no value.
    pub fn parse(flags: &[String]) -> Result<Self, String> {
        let mut read = Self::default();
        let mut words = Vec::new();
        let mut rest = flags.iter().map(|flag| flag.trim()).filter(|flag| !flag.is_empty());
        while let Some(flag) = rest.next() {
            if !flag.starts_with('-') {
                words.push(flag.to_owned());
                continue;
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            let mut needed = || {
                let value = value.or_else(|| rest.next());
                value.map(str::to_owned).ok_or_else(|| format!("the flag {name} needs a value"))
            };
            let on = value != Some("false");
            match name {
                "--namespace" | "-n" => read.namespace = Some(needed()?),
                "--selector" | "-l" => read.selector = Some(needed()?),
                "--subresource" => read.subresource = needed()?,
                "--all" => read.all = on,
                "--ignore-not-found" => read.ignore_not_found = on,
                "--wait" => read.no_wait = !on,
                "--now" if on => read.grace = Some(1),
                "--force" if on => read.grace = Some(0),
                "--now" | "--force" => {}
                "--grace-period" => {
                    let seconds = needed()?;
                    // Below zero is kubectl's way to say that none is asked for.
                    read.grace = match seconds.parse::<i64>() {
                        Ok(seconds) if seconds < 0 => None,
                        Ok(seconds) => u32::try_from(seconds).ok(),
                        Err(_) => return Err(format!("--grace-period '{seconds}' is no whole number")),
                    };
                }
                "--cascade" => match value.unwrap_or("background") {
                    "true" | "background" => read.cascade = Some("Background".into()),
                    "foreground" => read.cascade = Some("Foreground".into()),
                    "false" | "orphan" => read.cascade = Some("Orphan".into()),
                    other => {
                        return Err(format!("--cascade '{other}' is none of background, foreground, orphan"));
                    }
                },
                idle if IDLE_SWITCHES.contains(&idle) => {}
                idle if IDLE.contains(&idle) => {
                    needed()?;
                }
                other => {
                    return Err(format!(
                        "the flag {other} is not known to resource templates: write what it says into the manifest, or remove it"
                    ));
                }
            }
        }
        read.place(words)?;
        Ok(read)
    }

    /// Types and names.
    fn place(&mut self, words: Vec<String>) -> Result<(), String> {
        if words.iter().any(|word| word.contains('/')) {
            for word in words {
                let Some((kind, name)) =
                    word.split_once('/').filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
                else {
                    return Err(format!("'{word}' among the flags is no TYPE/NAME as the others are"));
                };
                self.targets.push((kind.to_owned(), name.to_owned()));
            }
            return Ok(());
        }
        let mut words = words.into_iter();
        let Some(kind) = words.next() else { return Ok(()) };
        self.targets = words.map(|name| (kind.clone(), name)).collect();
        if self.targets.is_empty() {
            self.of_type = Some(kind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<Flags, String> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Flags::parse(&flags)
    }

    #[test]
    fn flags_as_kubectl_takes_them() {
        let read = parsed(&["configmap", "--selector", "cleanup=true"]).unwrap();
        assert_eq!(read.of_type.as_deref(), Some("configmap"));
        assert_eq!(read.selector.as_deref(), Some("cleanup=true"));
        let read = parsed(&["pod", "a", "b", "-n", "x", "--grace-period=-1"]).unwrap();
        assert_eq!(read.targets, [("pod".into(), "a".into()), ("pod".into(), "b".into())]);
        assert_eq!((read.namespace.as_deref(), read.grace), (Some("x"), None));
        let read = parsed(&["deploy/web", "svc/web", "--cascade=orphan", "--wait=false", "--force"]).unwrap();
        assert_eq!(read.targets, [("deploy".into(), "web".into()), ("svc".into(), "web".into())]);
        assert_eq!((read.cascade.as_deref(), read.no_wait, read.grace), (Some("Orphan"), true, Some(0)));
        assert_eq!(parsed(&["--validate=false", "--timeout", "5s"]).unwrap(), Flags::default());
        assert!(parsed(&["--ignore-not-found"]).unwrap().ignore_not_found);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (flags, named) in [
            (&["--as=admin"][..], "--as"),
            (&["-f", "x.yaml"], "-f"),
            (&["--dry-run=server"], "--dry-run"),
            (&["--selector"], "--selector"),
            (&["a/b", "c"], "'c'"),
            (&["--cascade=maybe"], "maybe"),
        ] {
            let told = parsed(flags).unwrap_err();
            assert!(told.contains(named), "{told}");
        }
    }
}
