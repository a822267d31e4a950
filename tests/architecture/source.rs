//! What the source looks like: length of files and functions, no unwrap, no bare spawn, no `mod.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file is about one noun.
const FILE_LINES: usize = 400;
/// A function fits a screen.
const FUNCTION_LINES: usize = 70;

/// Every Rust file outside tests, with its lines up to the inline test module.
fn sources() -> Vec<(PathBuf, Vec<String>)> {
    let mut files = Vec::new();
    for folder in ["crates", "services"] {
        walk(&crate::root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is readable");
            let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
            (path.clone(), lines.map(str::to_owned).collect())
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "tests" | "target" | "data" | "vectors") {
                walk(&path, files);
            }
        } else if name.ends_with(".rs") && !matches!(name, "tests.rs" | "testing.rs") {
            files.push(path);
        }
    }
}

fn offenders(found: &[String], what: &str) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn files_are_short_and_named() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(path, lines)| lines.len() > FILE_LINES || path.ends_with("mod.rs"))
        .map(|(path, lines)| format!("{}: {} lines", path.display(), lines.len()))
        .collect();
    offenders(&long, "files over 400 lines, or called mod.rs");
    let silent: Vec<String> = sources()
        .iter()
        .filter(|(_, lines)| !lines.first().is_some_and(|line| line.starts_with("//!")))
        .map(|(path, _)| path.display().to_string())
        .collect();
    offenders(&silent, "files that do not begin with what they are");
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for (path, lines) in sources() {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match &open {
                None if begins_function(line) => open = Some((number, indent, line.trim().to_owned())),
                Some((start, depth, name)) if indent == *depth && line.trim_start().starts_with('}') => {
                    if number - start + 1 > FUNCTION_LINES {
                        long.push(format!(
                            "{}:{}: {} lines: {name}",
                            path.display(),
                            start + 1,
                            number - start + 1
                        ));
                    }
                    open = None;
                }
                _ => {}
            }
        }
    }
    offenders(&long, "functions over 70 lines");
}

fn begins_function(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "fn");
    at.is_some_and(|at| {
        words[..at]
            .iter()
            .all(|word| matches!(*word, "pub" | "async" | "const" | "unsafe") || word.starts_with("pub("))
    }) && !line.trim_end().ends_with(';')
}

#[test]
fn what_is_never_called() {
    let banned = [
        (".unwrap()", "a failure has an answer"),
        ("tokio::spawn(", "a task belongs to a group"),
        ("unbounded_channel", "every queue has a bound"),
        ("todo!(", "nothing is left for later in silence"),
        ("unimplemented!(", "nothing is left for later in silence"),
    ];
    let mut found = Vec::new();
    for (path, lines) in sources() {
        let spawner = path.ends_with("crates/kit/src/group.rs");
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (call, why) in banned {
                if code.contains(call) && !(spawner && call == "tokio::spawn(") {
                    found.push(format!("{}:{}: {call}: {why}", path.display(), number + 1));
                }
            }
        }
    }
    offenders(&found, "calls that are never made outside tests");
}
