//! `lint`: checks manifests, alone and against each other. Never exits 0 on what cannot be read.

use std::sync::Arc;

use tiphys_manifest::{Diagnostic, Object, Severity, diagnostic};

use super::manifests::expand;
use super::submit::read;
use crate::cli::{Connection, Format, LintArgs};
use crate::exit::{Code, Failure};
use crate::output::color::Paint;

/// Checks.
pub(super) fn run(args: &LintArgs, connection: &Connection) -> Result<(), Failure> {
    let namespace = connection.namespace.clone().unwrap_or_else(|| "default".into());
    let options = tiphys_manifest::load::LoadOptions { namespace };
    let (mut findings, mut objects) = (Vec::new(), Vec::new());
    let files = expand(args.paths.iter())?;
    for file in &files {
        let loaded = tiphys_manifest::load::load(&file.display().to_string(), &read(file)?, &options);
        findings.extend(loaded.diagnostics);
        objects.extend(loaded.objects.into_iter().map(Arc::new));
    }
    findings.extend(across(&objects));
    if args.strict {
        diagnostic::strict(&mut findings);
    }
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    if connection.output == Some(Format::Json) {
        crate::output::json(&serde_json::to_value(&findings).unwrap_or_default())?;
    } else {
        let color = Paint::new(connection.color).0;
        for finding in &findings {
            if args.short {
                println!("{}", diagnostic::short(finding));
            } else {
                println!("{}", diagnostic::render(finding, color));
            }
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    eprintln!("{} files, {} objects, {errors} errors, {warnings} warnings", files.len(), objects.len());
    if errors > 0 {
        return Err(Failure::silent(Code::Validation));
    }
    if objects.is_empty() {
        return Err(Failure::new(Code::Validation, "nothing to check: no object was found"));
    }
    Ok(())
}

/// What can be said of objects that are given together.
pub(super) fn across(objects: &[Arc<Object>]) -> Vec<Diagnostic> {
    let mut findings = tiphys_manifest::lint::check(objects);
    findings.extend(tiphys_executor::lint::check(objects));
    findings
}

/// Refuses where there are errors, with all of them in the message.
pub(super) fn refuse_errors(findings: &[Diagnostic]) -> Result<(), Failure> {
    let errors: Vec<String> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| diagnostic::render(f, false))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::new(Code::Validation, errors.join("\n"))) }
}
