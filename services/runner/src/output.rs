//! Output parameters and artifacts, gathered after the command has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use crate::archive;
use crate::durable;
use crate::exit::Packed;
use crate::log;
use crate::spec::{ARTIFACTS, Archive, Output, Parameter, Spec};

/// An output parameter may be no longer.
const LONGEST_PARAMETER: u64 = 256 * 1024;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) artifacts: Vec<Packed>,
    /// The first thing that is missing or could not be read.
    pub(crate) problem: Option<String>,
}

/// Gathers everything, also after a failure: what is there helps to understand it.
pub(crate) fn collect(dir: &Path, spec: &Spec) -> Outputs {
    let mut outputs = Outputs::default();
    for wanted in &spec.parameters {
        match parameter(wanted, spec.contained) {
            Ok(value) => {
                outputs.parameters.insert(wanted.name.clone(), value);
            }
            Err(problem) => outputs.note(problem),
        }
    }
    let folder = dir.join(ARTIFACTS);
    if (!spec.artifacts.is_empty() || spec.log_key.is_some())
        && let Err(error) = std::fs::create_dir_all(&folder)
    {
        outputs.note(format!("could not create the folder for artifacts: {error}"));
        return outputs;
    }
    for (index, wanted) in spec.artifacts.iter().enumerate() {
        let file = index.to_string();
        match artifact(wanted, &folder.join(&file), spec.contained) {
            Ok(true) => outputs.artifacts.push(Packed {
                name: wanted.name.clone(),
                key: wanted.key.clone(),
                archive: wanted.archive,
                file,
            }),
            Ok(false) => {}
            Err(problem) => outputs.note(problem),
        }
    }
    if let Some(key) = &spec.log_key {
        let file = "main.log".to_owned();
        match plain_log(dir, &folder.join(&file)) {
            Ok(()) => outputs.artifacts.push(Packed {
                name: "main-logs".to_owned(),
                key: key.clone(),
                archive: Archive::None,
                file,
            }),
            Err(error) => outputs.note(format!("could not keep the log: {error}")),
        }
    }
    outputs
}

impl Outputs {
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

fn parameter(wanted: &Parameter, contained: bool) -> Result<String, String> {
    let file = match archive::plain_file(&wanted.path) {
        Ok(file) => file,
        Err(error) => {
            return match (&wanted.default, error.kind()) {
                (Some(default), ErrorKind::NotFound) => Ok(default.clone()),
                _ => Err(format!(
                    "output parameter {}: open {}: {}",
                    wanted.name,
                    wanted.shown,
                    reason(&error, contained)
                )),
            };
        }
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_PARAMETER + 2)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("output parameter {}: read {}: {error}", wanted.name, wanted.shown))?;
    let value = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if value.len() as u64 > LONGEST_PARAMETER {
        return Err(format!(
            "output parameter {}: {} is larger than 256 KiB; make it an artifact",
            wanted.name, wanted.shown
        ));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// Packs an artifact into `file`. False: it is missing, and may be.
fn artifact(wanted: &Output, file: &Path, contained: bool) -> Result<bool, String> {
    let context = |error: &io::Error| {
        format!("output artifact {}: {}: {}", wanted.name, wanted.shown, reason(error, contained))
    };
    let meta = match std::fs::metadata(&wanted.path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound && wanted.optional => return Ok(false),
        Err(error) => return Err(context(&error)),
    };
    let packed = match wanted.archive {
        Archive::Tar => archive::pack(&wanted.path, file),
        Archive::TarLevel(level) => archive::pack_at(&wanted.path, file, level),
        Archive::Zip => archive::zip(&wanted.path, file),
        Archive::None if meta.is_file() && meta.len() > archive::Limits::default().bytes => {
            Err(archive::too_large())
        }
        Archive::None => archive::copy(&wanted.path, file),
    };
    packed.map_err(|error| context(&error))?;
    Ok(true)
}

/// On the host a manifest must ask for the path, so say how.
fn reason(error: &io::Error, contained: bool) -> String {
    if error.kind() == ErrorKind::NotFound && !contained {
        "no such file or directory (on the host a step finds its own folder by {{outputs.….path}}, not by the \
         path itself)"
            .to_owned()
    } else {
        error.to_string()
    }
}

/// The log without its times, both streams as they came.
fn plain_log(dir: &Path, file: &Path) -> io::Result<()> {
    let mut from = BufReader::new(File::open(dir.join(log::FILE))?);
    let mut to = BufWriter::new(durable::create(file)?);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Some((_, _, text)) = log::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
            to.write_all(text.as_bytes())?;
            to.write_all(b"\n")?;
        }
        line.clear();
    }
    to.flush()
}
