//! `tool findings`: what scanners print becomes one shape, and no secret in clear goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use super::mask::{hash, mask};
use super::{failed, read};
use crate::exit::Failure;

/// What can be done with findings.
#[derive(Debug, Subcommand)]
pub(crate) enum Findings {
    /// Read what a scanner printed on standard input
    From(FromArgs),
    /// Merge lists of findings; the same secret at the same place is one
    Merge {
        /// Files
        files: Vec<String>,
    },
}

/// How a scanner's output is read.
#[derive(Debug, ClapArgs)]
pub(crate) struct FromArgs {
    /// Its format
    #[arg(value_enum)]
    format: Format,
    /// Its name, for the findings
    #[arg(long)]
    scanner: String,
    /// Folder that it scanned; file names are told relative to it
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

/// Formats.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// rule, file, line and secret, separated by tabs
    Plain,
    /// detect-secrets scan
    DetectSecrets,
    /// ripsecrets
    Ripsecrets,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    scanners: Vec<String>,
    rules: Vec<String>,
    file: String,
    line: u64,
    masked: String,
    sha256: String,
}

/// Runs one of them.
pub(super) fn run(command: &Findings) -> Result<(), Failure> {
    let findings = match command {
        Findings::From(args) => {
            let text = String::from_utf8_lossy(&read("-")?).into_owned();
            merge(match args.format {
                Format::Plain => plain(&text, args),
                Format::DetectSecrets => detect_secrets(&text, args)?,
                Format::Ripsecrets => ripsecrets(&text, args),
            })
        }
        Findings::Merge { files } => {
            let mut all = Vec::new();
            for file in files {
                let list: Vec<Finding> = serde_json::from_slice(&read(file)?)
                    .map_err(|error| failed(format!("{file} is no list of findings: {error}")))?;
                all.extend(list);
            }
            merge(all)
        }
    };
    let text = serde_json::to_string_pretty(&findings).map_err(|error| failed(error.to_string()))?;
    println!("{text}");
    Ok(())
}

fn finding(args: &FromArgs, rule: &str, file: &str, line: u64, secret: &str) -> Finding {
    let file = Path::new(file);
    let shown = file.strip_prefix(&args.root).unwrap_or(file).display().to_string();
    Finding {
        scanners: vec![args.scanner.clone()],
        rules: vec![rule.to_owned()],
        file: shown.trim_start_matches("./").to_owned(),
        line,
        masked: mask(secret),
        sha256: hash(secret),
    }
}

fn plain(text: &str, args: &FromArgs) -> Vec<Finding> {
    let row = |line: &str| {
        let mut cells = line.splitn(4, '\t');
        let (rule, file, line, secret) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        Some(finding(args, rule, file, line.trim().parse().ok()?, secret))
    };
    text.lines().filter_map(row).collect()
}

/// `FILE:LINE:SECRET` per line.
fn ripsecrets(text: &str, args: &FromArgs) -> Vec<Finding> {
    let row = |line: &str| {
        let mut cells = line.splitn(3, ':');
        let (file, line, secret) = (cells.next()?, cells.next()?, cells.next()?);
        Some(finding(args, "ripsecrets", file, line.trim().parse().ok()?, secret.trim()))
    };
    text.lines().filter_map(row).collect()
}

#[derive(Deserialize)]
struct Report {
    results: BTreeMap<String, Vec<Detected>>,
}

#[derive(Deserialize)]
struct Detected {
    #[serde(rename = "type")]
    kind: String,
    hashed_secret: String,
    line_number: u64,
}

/// The report names a secret by its SHA-1; the word that has it stands in the line that it names.
fn detect_secrets(text: &str, args: &FromArgs) -> Result<Vec<Finding>, Failure> {
    let report: Report = serde_json::from_str(text)
        .map_err(|error| failed(format!("this is no report of detect-secrets: {error}")))?;
    let mut findings = Vec::new();
    for (file, list) in report.results {
        let path = if Path::new(&file).is_absolute() { PathBuf::from(&file) } else { args.root.join(&file) };
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        for found in list {
            let line = content.lines().nth(usize::try_from(found.line_number).unwrap_or(1).saturating_sub(1));
            let secret = line.and_then(|line| word_with(line, &found.hashed_secret));
            let mut one = finding(args, &found.kind, &file, found.line_number, secret.unwrap_or_default());
            if secret.is_none() {
                one.masked = mask("");
                one.sha256 = format!("sha1:{}", found.hashed_secret);
            }
            findings.push(one);
        }
    }
    Ok(findings)
}

fn word_with<'a>(line: &'a str, sha1: &str) -> Option<&'a str> {
    let same = |word: &&str| hex::encode(Sha1::digest(word.as_bytes())) == sha1;
    let apart: [&[char]; 3] = [&[' ', '\t', '"', '\'', '`', '=', ',', ';'], &['"', '\''], &['=', ':', ' ']];
    apart
        .iter()
        .find_map(|characters| line.split(|c| characters.contains(&c)).map(str::trim).find(same))
        .or_else(|| Some(line.trim()).filter(same))
}

/// One finding for each place and secret, with everybody who found it.
fn merge(all: Vec<Finding>) -> Vec<Finding> {
    let mut merged: BTreeMap<(String, u64, String), Finding> = BTreeMap::new();
    for finding in all {
        let key = (finding.file.clone(), finding.line, finding.sha256.clone());
        match merged.get_mut(&key) {
            None => {
                merged.insert(key, finding);
            }
            Some(there) => {
                add(&mut there.scanners, finding.scanners);
                add(&mut there.rules, finding.rules);
            }
        }
    }
    merged.into_values().collect()
}

fn add(to: &mut Vec<String>, more: Vec<String>) {
    to.extend(more);
    to.sort();
    to.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(format: Format) -> FromArgs {
        FromArgs { format, scanner: "one".into(), root: "/scan".into() }
    }

    #[test]
    fn the_same_secret_at_the_same_place_is_one_finding() {
        let mut all = plain("aws\t/scan/a.txt\t3\tAKIAEXAMPLEEXAMPLE12\nbad line\n", &args(Format::Plain));
        let mut other = args(Format::Ripsecrets);
        other.scanner = "two".into();
        all.extend(ripsecrets("/scan/a.txt:3:AKIAEXAMPLEEXAMPLE12\n", &other));
        let merged = merge(all);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].scanners, ["one", "two"]);
        assert_eq!((merged[0].file.as_str(), merged[0].masked.as_str()), ("a.txt", "AKIA********"));
    }

    #[test]
    fn a_hashed_secret_is_found_in_its_line() {
        let sha1 = hex::encode(Sha1::digest(b"hunter2hunter2"));
        assert_eq!(word_with("password = \"hunter2hunter2\"", &sha1), Some("hunter2hunter2"));
        assert_eq!(word_with("nothing here", &sha1), None);
    }
}
