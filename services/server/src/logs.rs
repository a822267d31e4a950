//! Logs of workflows, as Argo's stream of `{"result": {"content": …, "podName": …}}`.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event as Sse, KeepAlive, Sse as SseResponse};
use futures::{Stream, StreamExt as _};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use tiphys_catalog::Held;
use tiphys_core::PodKey;
use tiphys_executor::launcher::{LaunchError, LogLine};

use crate::body::Params;
use crate::error::ApiError;
use crate::state::Shared;
use crate::workflows::Step;

/// Lines per read of one step.
const BATCH: usize = 500;
/// While a step runs its log is looked at this often; its lines are no records, and wake nobody.
const LOOK: Duration = Duration::from_millis(200);

/// What is wanted, in Argo's words.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default, rename = "podName")]
    node: String,
    #[serde(default, rename = "logOptions.follow")]
    follow: bool,
    #[serde(default, rename = "logOptions.tailLines")]
    tail: Option<usize>,
    #[serde(default, rename = "logOptions.timestamps")]
    timestamps: bool,
    /// A pattern that the wanted lines match.
    #[serde(default)]
    grep: String,
}

/// `GET /workflows/{namespace}/{name}/log`.
///
/// # Errors
/// Fails when there is no such workflow.
pub(crate) async fn workflow(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    Params(wanted): Params<Wanted>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    open(shared, namespace, name, wanted)
}

/// `GET /workflows/{namespace}/{name}/{pod}/log`: the older form of the same.
///
/// # Errors
/// Fails when there is no such workflow.
pub(crate) async fn pod(
    State(shared): State<Shared>,
    Path((namespace, name, node)): Path<(String, String, String)>,
    Params(wanted): Params<Wanted>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    open(shared, namespace, name, Wanted { node, ..wanted })
}

fn open(
    shared: Shared,
    namespace: String,
    name: String,
    wanted: Wanted,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    let name = shared.workflows.resolve(&namespace, name);
    if shared.workflows.get(&namespace, &name).is_none() {
        return Err(ApiError::missing(format!("workflow `{namespace}/{name}`")));
    }
    let grep = Regex::new(&wanted.grep)
        .map_err(|error| ApiError::invalid(format!("`grep` is no regular expression: {error}")))?;
    let reader = Reader {
        shared,
        namespace,
        name,
        wanted,
        grep,
        seen: BTreeMap::new(),
        held: None,
        ready: VecDeque::new(),
        last: false,
    };
    let stream = futures::stream::unfold(reader, |mut reader| async move {
        let line = reader.next().await?;
        Some((Ok(Sse::default().data(json!({"result": line}).to_string())), reader))
    });
    Ok(SseResponse::new(stream.boxed()).keep_alive(KeepAlive::default()))
}

/// Says in its place that a log is gone, of a step that had one.
fn gone(step: &Step, why: &str) -> Option<LogLine> {
    let text = format!("tiphys: {why}");
    Some(LogLine { time: step.ended?, stream: "stderr".to_owned(), text })
}

/// How far the log of a step was read, and where it is.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lines: usize,
    from: Source,
    /// The store was asked, and had none.
    asked: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    /// At its launcher.
    #[default]
    Launcher,
    /// In the store that executors share: it grows no more.
    Store,
    /// There is none, and that was said.
    Nowhere,
}

struct Reader {
    shared: Shared,
    namespace: String,
    name: String,
    wanted: Wanted,
    grep: Regex,
    /// What was read so far, by step.
    seen: BTreeMap<PodKey, Seen>,
    /// What the workflow names, once it is needed: its store is opened with Secrets.
    held: Option<Held>,
    ready: VecDeque<Value>,
    last: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.last {
                return None;
            }
            // Whether it has ended is looked at first: what is read after the end is all there is.
            let workflow = self.shared.workflows.get(&self.namespace, &self.name)?;
            let ended = workflow.pointer("/status/finishedAt").is_some_and(Value::is_string);
            self.last = ended || !self.wanted.follow;
            self.read().await;
            if self.ready.is_empty() && !self.last {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn read(&mut self) {
        let mut lines: Vec<(LogLine, Step)> = Vec::new();
        for step in self.shared.workflows.steps(&self.namespace, &self.name, &self.wanted.node) {
            let first = !self.seen.contains_key(&step.log.key);
            let mut seen = self.seen.get(&step.log.key).copied().unwrap_or_default();
            let mut of_step = Vec::new();
            // A step that never started has no log.
            while let Some(batch) = self.batch(&step, &mut seen).await {
                seen.lines += batch.len();
                self.seen.insert(step.log.key.clone(), seen);
                let more = batch.len() == BATCH;
                of_step.extend(batch.into_iter().map(|line| (line, step.clone())));
                if !more {
                    break;
                }
            }
            if let (Some(tail), true) = (self.wanted.tail, first) {
                of_step.drain(..of_step.len().saturating_sub(tail));
            }
            lines.extend(of_step);
        }
        // By time, so that steps that ran at once are told as they ran.
        lines.sort_by_key(|(line, _)| line.time);
        lines.retain(|(line, _)| self.grep.is_match(&line.text));
        let timestamps = self.wanted.timestamps;
        self.ready.extend(lines.into_iter().map(|(line, step)| {
            let content = if timestamps { format!("{} {}", line.time, line.text) } else { line.text };
            json!({"content": content, "podName": step.pod, "displayName": step.display,
                   "stream": line.stream, "time": line.time})
        }));
    }

    /// More lines of a step: from its launcher, and where that has none, as they were kept.
    async fn batch(&mut self, step: &Step, seen: &mut Seen) -> Option<Vec<LogLine>> {
        let found = match seen.from {
            Source::Nowhere => return None,
            Source::Store => return self.kept(step, seen.lines).await.ok().flatten(),
            Source::Launcher => self.shared.launcher.logs(&step.log.key, seen.lines, BATCH).await,
        };
        let why = match found {
            // To some launchers a log that is gone is an empty one.
            Ok(batch)
                if batch.is_empty() && seen.lines == 0 && step.log.finished.is_some() && !seen.asked =>
            {
                seen.asked = true;
                return match self.kept(step, 0).await {
                    Ok(Some(kept)) => {
                        seen.from = Source::Store;
                        Some(kept)
                    }
                    _ => Some(batch),
                };
            }
            Ok(batch) => return Some(batch),
            Err(LaunchError::Absent(why)) if step.log.finished.is_some() => why,
            // It may yet begin, or its server answer.
            Err(_) => return None,
        };
        let (from, batch) = match self.kept(step, seen.lines).await {
            Ok(Some(batch)) => (Source::Store, batch),
            _ if seen.lines > 0 => (Source::Nowhere, Vec::new()),
            Ok(None) => (Source::Nowhere, gone(step, &why).into_iter().collect()),
            Err(trouble) => (Source::Nowhere, gone(step, &trouble.to_string()).into_iter().collect()),
        };
        seen.from = from;
        Some(batch)
    }

    /// Lines of a step that has ended, from the store that executors share.
    async fn kept(&mut self, step: &Step, from: usize) -> Result<Option<Vec<LogLine>>, LaunchError> {
        if step.log.finished.is_none() || (&step.log.kept, &step.log.archived) == (&None, &None) {
            return Ok(None);
        }
        if self.held.is_none()
            && let Some((submission, _)) = self.shared.workflows.asked(&self.namespace, &self.name)
        {
            self.held = Some(self.shared.catalog.hold(&self.namespace, &submission.workflow).await);
        }
        self.shared.logs.lines(&step.log, from, BATCH).await
    }
}
