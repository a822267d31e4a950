//! A step in a pod: nobody shares its disk, so what it needs is fetched and what it made is handed over, with requests of
//! HTTP. The runner either asks an address, or is connected to by [`relay`] and asks through that connection.
//!
//! | command | does |
//! |---|---|
//! | `tiphys-runner install FOLDER` | copies itself there, from an image of its own into a volume |
//! | `tiphys-runner pod FOLDER` | the step, as the variable [`VARIABLE`] tells |
//! | `tiphys-runner relay FOLDER` | joins its standard streams to the runner of that folder |

mod channel;
mod http;
mod secure;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Verdict};
use crate::{AROUND, Spec, durable, input, log, spec};
use channel::Channel;
pub use channel::relay;

/// The variable that holds the [`Order`] as JSON. Names that begin with it are kept from the step.
pub const VARIABLE: &str = "TIPHYS_RUNNER";
/// The file whose content Kubernetes shows with the end of a container.
const TERMINATION: &str = "/dev/termination-log";
/// As many bytes of it are kept.
const TERMINATION_MOST: usize = 4096;
/// The log is handed over within this time, or not at all: the end of the step is not to wait for it.
const LOG_PATIENCE: Duration = Duration::from_secs(10);
/// Name of the script of a script template.
pub const SCRIPT: &str = "script";
/// Name of the program in the folder where it was installed.
pub const PROGRAM: &str = "tiphys-runner";

/// What the runner is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Whom to ask: `HOST:PORT` in plain HTTP, `https://HOST:PORT` encrypted; none: somebody connects through [`relay`].
    pub address: Option<String>,
    /// Certificates in PEM, of which one must have signed what an encrypted address shows. No others are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// How many milliseconds a delivery is tried for.
    pub patience: u64,
    /// The step.
    pub parcel: Placed,
}

/// Where the parcel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Placed {
    /// Here.
    Here(Box<Parcel>),
    /// To be fetched from this target.
    At(String),
}

/// A step with all that belongs to it. A target is path and query of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The step.
    pub spec: Spec,
    /// The source of a script.
    pub script: Option<String>,
    /// Contents of `spec.inputs`.
    pub inputs: Vec<Content>,
    /// Where to put `spec.artifacts`, and behind them the log if it is to be kept.
    pub uploads: Vec<String>,
    /// Where to put a report that is too long for Kubernetes.
    pub report: String,
    /// Where to put the log, both streams told apart. Whoever takes none reads what the container wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The content of an input artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Text.
    Raw(String),
    /// To be fetched from this target.
    At(String),
}

/// What is left in the status of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Left {
    /// The report.
    Report(Box<Report>),
    /// The report was put to [`Parcel::report`].
    Put,
}

/// The report of a runner that handed over its artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How the step ended, with the artifacts that were handed over.
    pub exit: Exit,
    /// What was answered to each of them.
    pub receipts: Vec<Receipt>,
}

/// The answer to an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Bytes in the store.
    pub size: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
}

/// Copies this program to a folder, where the container of the step finds it.
///
/// # Errors
/// When the disk refuses.
pub fn install(folder: &Path) -> io::Result<()> {
    let place = folder.join(PROGRAM);
    let aside = folder.join(format!(".{PROGRAM}"));
    let mut to = File::options().write(true).create(true).truncate(true).mode(0o755).open(&aside)?;
    io::copy(&mut File::open("/proc/self/exe")?, &mut to)?;
    to.set_permissions(fs::Permissions::from_mode(0o755))?;
    drop(to);
    fs::rename(aside, place)
}

/// Carries out the step of this pod in the folder `dir`. The number is the exit code for the process.
#[must_use]
pub fn main(dir: &Path) -> i32 {
    let outcome = order().and_then(|order| Pod::open(dir, order)).map(|mut pod| {
        let exit = pod.run();
        (pod, exit)
    });
    let (left, exit) = match outcome {
        Ok((mut pod, exit)) => {
            let handed_over = pod.hand_over(exit);
            pod.hand_over_log();
            handed_over
        }
        Err(why) => {
            let exit = Exit::error(None, Timestamp::now(), why);
            (Left::Report(Box::new(Report { exit: exit.clone(), receipts: Vec::new() })), exit)
        }
    };
    if exit.verdict == Verdict::Error {
        eprintln!("tiphys runner: {}", exit.message);
    }
    let written = serde_json::to_vec(&left).map_err(io::Error::from);
    if let Err(error) = written.and_then(|text| fs::write(TERMINATION, text)) {
        eprintln!("tiphys runner: {TERMINATION}: {error}");
        return AROUND;
    }
    crate::own_code(&exit)
}

fn order() -> Result<Order, String> {
    let text = std::env::var(VARIABLE).map_err(|_| format!("the variable {VARIABLE} is missing"))?;
    serde_json::from_str(&text).map_err(|error| format!("{VARIABLE}: {error}"))
}

struct Pod<'d> {
    dir: &'d Path,
    channel: Channel,
    patience: Duration,
    parcel: Parcel,
}

impl<'d> Pod<'d> {
    /// Fetches what the step needs.
    fn open(dir: &'d Path, order: Order) -> Result<Self, String> {
        let disk = |error: io::Error| format!("{}: {error}", dir.display());
        fs::create_dir_all(dir.join(input::FOLDER)).map_err(disk)?;
        let mut channel = Channel::open(dir, order.address, order.certificate.as_deref())?;
        let patience = Duration::from_millis(order.patience);
        let parcel = match order.parcel {
            Placed::Here(parcel) => *parcel,
            Placed::At(target) => {
                let (file, until) = (dir.join("parcel.json"), Instant::now() + patience);
                if !channel.get(&target, until, &file).map_err(|why| format!("the step: {why}"))? {
                    return Err("the step: what is to be done is not in the artifact store any more".into());
                }
                let text = fs::read(&file).map_err(disk)?;
                serde_json::from_slice(&text).map_err(|error| format!("the step: {error}"))?
            }
        };
        let mut pod = Self { dir, channel, patience, parcel };
        pod.fill()?;
        Ok(pod)
    }

    fn fill(&mut self) -> Result<(), String> {
        let until = Instant::now() + self.patience;
        for (number, content) in self.parcel.inputs.iter().enumerate() {
            let place = self.dir.join(input::FOLDER).join(number.to_string());
            let named = |why: String| {
                let name = self.parcel.spec.inputs.get(number).map_or("", |input| input.name.as_str());
                format!("input artifact {name}: {why}")
            };
            let optional = self.parcel.spec.inputs.get(number).is_some_and(|input| input.optional);
            match content {
                Content::Raw(text) => fs::write(&place, text).map_err(|error| error.to_string()),
                Content::At(target) => self.channel.get(target, until, &place).and_then(|there| {
                    if there || optional { Ok(()) } else { Err("it is not in its store".to_owned()) }
                }),
            }
            .map_err(named)?;
        }
        let disk = |error: io::Error| format!("{}: {error}", self.dir.display());
        if let Some(source) = &self.parcel.script {
            let place = self.dir.join(SCRIPT);
            fs::write(&place, source).map_err(disk)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).map_err(disk)?;
        }
        let text = serde_json::to_vec(&self.parcel.spec).map_err(|error| error.to_string())?;
        durable::replace(self.dir, spec::FILE, &text).map_err(disk)
    }

    fn run(&mut self) -> Exit {
        let failed = |why: String| Exit::error(None, Timestamp::now(), why);
        match crate::attempt(self.dir, Timestamp::now) {
            Ok(Some(_)) => {
                Exit::read(self.dir).unwrap_or_else(|error| failed(format!("the report is gone: {error}")))
            }
            Ok(None) => failed("another runner has the folder".to_owned()),
            Err(error) => failed(format!("{}: {error}", self.dir.display())),
        }
    }

    /// Hands over the log, if it is wanted and there is one. That fails no step: as long as the pod is there, its log can be
    /// read without us.
    fn hand_over_log(&mut self) {
        let Some(target) = self.parcel.log.clone() else { return };
        let file = self.dir.join(log::FILE);
        if file.metadata().map_or(0, |meta| meta.len()) == 0 {
            return;
        }
        let until = Instant::now() + self.patience.min(LOG_PATIENCE);
        if let Err(why) = self.channel.put(&target, until, &file) {
            eprintln!("tiphys runner: the log was not handed over: {why}");
        }
    }

    /// Hands over artifacts, and a report that is too long to be left.
    fn hand_over(&mut self, mut exit: Exit) -> (Left, Exit) {
        let until = Instant::now() + self.patience;
        let mut receipts = Vec::new();
        for packed in std::mem::take(&mut exit.artifacts) {
            let index = self.parcel.spec.artifacts.iter().position(|wanted| wanted.name == packed.name);
            let index = index.unwrap_or(self.parcel.spec.artifacts.len());
            let target = self.parcel.uploads.get(index).cloned().unwrap_or_default();
            let file = self.dir.join(spec::ARTIFACTS).join(&packed.file);
            match self.channel.put(&target, until, &file).and_then(|answer| receipt(&answer)) {
                Ok(receipt) => {
                    receipts.push(receipt);
                    exit.artifacts.push(packed);
                }
                Err(why) if exit.verdict == Verdict::Succeeded => {
                    exit.verdict = Verdict::Error;
                    exit.message = format!(
                        "wait: Error (exit code 64): output artifact {} was not stored: {why}",
                        packed.name
                    );
                }
                Err(why) => eprintln!("tiphys runner: artifact {}: {why}", packed.name),
            }
        }
        let left = Left::Report(Box::new(Report { exit: exit.clone(), receipts }));
        let Ok(text) = serde_json::to_vec(&left) else { return (left, exit) };
        if text.len() <= TERMINATION_MOST {
            return (left, exit);
        }
        let file = self.dir.join("report.json");
        let stored = match &left {
            Left::Report(report) => serde_json::to_vec(&report).map_err(io::Error::from),
            Left::Put => Ok(Vec::new()),
        };
        let stored = stored.and_then(|text| fs::write(&file, text)).map_err(|error| error.to_string());
        match stored.and_then(|()| self.channel.put(&self.parcel.report, until, &file)) {
            Ok(_) => (Left::Put, exit),
            Err(why) => {
                let message = format!("wait: Error (exit code 64): the outputs were not handed over: {why}");
                let exit =
                    Exit { exit_code: exit.exit_code, ..Exit::error(exit.started, exit.finished, message) };
                (Left::Report(Box::new(Report { exit: exit.clone(), receipts: Vec::new() })), exit)
            }
        }
    }
}

fn receipt(answer: &[u8]) -> Result<Receipt, String> {
    serde_json::from_slice(answer).map_err(|error| format!("an answer that is none: {error}"))
}
