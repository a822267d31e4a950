//! What runners ask for: an artifact to fetch, an artifact to store. They ask at an address, or through a stream that we open to
//! them by way of the API server; the answers are the same.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::TryStreamExt as _;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::api::AttachParams;
use serde::Deserialize;
use tiphys_core::PodKey;
use tiphys_kit::Backoff;
use tiphys_runner::archive::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::io::{ReaderStream, StreamReader};

use super::Shared;
use super::exec::Exec;
use super::parcel;
use super::record::Place;
use super::shelf::{Shelf, Thing};
use super::token::{Keys, PATH, Verb};
use crate::launcher::{Fetched, LaunchError};

/// Name that a folder gets when it is unpacked; no archive of a runner holds it.
const TOP: &str = ".tiphys-top";

#[derive(Deserialize)]
struct Wanted {
    key: String,
    token: String,
    /// The content is a folder, as `.tgz`.
    #[serde(default)]
    folder: bool,
}

/// A refusal, and why.
type Refusal = (StatusCode, String);

pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new().route(&format!("{PATH}/{{pod}}"), get(fetch).put(store)).with_state(Arc::clone(shared))
}

impl Shared {
    /// Where a thing of a pod is kept that is known.
    fn shelf_of(&self, pod: &PodKey, thing: Thing) -> Shelf {
        let place = self.pods().get(pod).map(|record| record.place.clone());
        self.shelf(pod, place.as_ref(), thing)
    }

    /// A log may be no longer: what the runner keeps, and its last word.
    const fn most_of_log(&self) -> u64 {
        self.config.log_limit.saturating_add(1 << 10)
    }

    /// Whether a runner may do it: its token is for that, and its step goes on.
    fn check(&self, verb: Verb, pod: &PodKey, wanted: &Wanted) -> Result<(), Refusal> {
        if !Keys::new(&self.config.key).holds(verb, pod, &wanted.key, &wanted.token) {
            return Err((StatusCode::FORBIDDEN, "the token is not for this".into()));
        }
        match self.pods().get(pod) {
            Some(record) if record.is_over() => Err((StatusCode::GONE, "the step is over".into())),
            Some(_) => Ok(()),
            // Perhaps its being there has not been heard of.
            None => Err((StatusCode::SERVICE_UNAVAILABLE, "the step is not known here".into())),
        }
    }
}

fn refusal(error: LaunchError) -> Refusal {
    match error {
        LaunchError::Absent(why) => (StatusCode::NOT_FOUND, why),
        LaunchError::Missing(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
        LaunchError::NotAllowed(why) => (StatusCode::FORBIDDEN, why),
        LaunchError::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn unavailable(error: &io::Error) -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path(pod): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let pod = PodKey(pod);
    shared.check(Verb::Get, &pod, &wanted)?;
    let file = shared.scratch.next();
    let parcel = shared.shelf_of(&pod, Thing::Parcel);
    let fetched = match parcel.asked() == wanted.key {
        true => shared.fetch(&parcel, file.clone()).await,
        false => shared.store.fetch(&wanted.key, file.clone()).await,
    };
    let answer = content(fetched, file.clone()).await;
    tidy(&file).await;
    answer
}

/// What is in the store, as a stream whose length is known: it may be large. The file may go once it is open.
async fn content(fetched: Result<Fetched, LaunchError>, file: PathBuf) -> Result<Response, Refusal> {
    let fetched = fetched.map_err(refusal)?;
    let packed = match fetched {
        Fetched::File => file.clone(),
        Fetched::Folder => {
            let packed = file.with_extension("tgz");
            let to = packed.clone();
            blocking(move || tiphys_runner::archive::pack_folder(&file, &to)).await?;
            packed
        }
    };
    let opened = tokio::fs::File::open(&packed).await.map_err(|error| unavailable(&error))?;
    if fetched == Fetched::Folder {
        tidy(&packed).await;
    }
    let length = opened.metadata().await.map_err(|error| unavailable(&error))?.len();
    let mut answer = Response::new(Body::from_stream(ReaderStream::new(opened)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(answer)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|panic| unavailable(&io::Error::other(panic)))?;
    done.map_err(|error| unavailable(&error))
}

/// Takes away a file or a folder, if it is there.
async fn tidy(place: &std::path::Path) {
    if tokio::fs::remove_file(place).await.is_err() {
        let _ = tokio::fs::remove_dir_all(place).await;
    }
}

async fn store(
    State(shared): State<Arc<Shared>>,
    Path(pod): Path<String>,
    Query(wanted): Query<Wanted>,
    body: Body,
) -> Result<Response, Refusal> {
    let pod = PodKey(pod);
    shared.check(Verb::Put, &pod, &wanted)?;
    let (log, report) = (shared.shelf_of(&pod, Thing::Log), shared.shelf_of(&pod, Thing::Report));
    let is_log = wanted.key == log.asked();
    if is_log && shared.pods().get(&pod).is_some_and(|record| record.going) {
        // Its workflow may have been deleted: what is kept now would stay for ever.
        return Err((StatusCode::GONE, "its pod was taken away".into()));
    }
    let most = if is_log { shared.most_of_log() } else { Limits::default().bytes };
    let (file, folder) = (shared.scratch.next(), shared.scratch.next());
    let stored = async {
        let mut to = tokio::fs::File::create(&file).await.map_err(|error| unavailable(&error))?;
        let mut from = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
        // What is cut off is an error: its length was announced.
        let mut part = (&mut from).take(most + 1);
        if tokio::io::copy(&mut part, &mut to).await.map_err(|error| unavailable(&error))? > most {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("it is larger than {most} bytes")));
        }
        to.flush().await.map_err(|error| unavailable(&error))?;
        if wanted.folder {
            let (from, to) = (file.clone(), folder.clone());
            blocking(move || unpack(&from, &to)).await?;
        }
        let whole = if wanted.folder { folder.join(TOP) } else { file.clone() };
        let kept =
            if is_log { Some(&log) } else { Some(&report).filter(|shelf| shelf.asked() == wanted.key) };
        let stored = match kept {
            Some(shelf) => shared.put(shelf, whole).await,
            None => shared.store.put(&wanted.key, whole).await.map(|stored| (stored, false)),
        };
        stored.map_err(refusal)
    };
    let stored = stored.await;
    tidy(&file).await;
    tidy(&folder).await;
    let ((size, sha256), is_shared) = stored?;
    if is_log {
        shared.logs.changed(&pod, is_shared);
    }
    let receipt = tiphys_runner::pod::Receipt { size, sha256 };
    let text = serde_json::to_vec(&receipt).map_err(|error| unavailable(&error.into()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Unpacks a folder that a runner sent; it is the one thing in its archive.
fn unpack(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    tiphys_runner::archive::unpack(std::fs::File::open(from)?, to, Default::default())
        .map_err(|refused| io::Error::other(refused.to_string()))?;
    let top = std::fs::read_dir(to)?.next().transpose()?;
    top.map_or(Ok(()), |top| std::fs::rename(top.path(), to.join(TOP)))
}

impl Shared {
    /// Answers a runner that cannot reach us, as long as it runs.
    pub(super) fn join(self: &Arc<Self>, key: PodKey, place: Place, program: Box<str>) {
        let shared = Arc::clone(self);
        self.tasks.spawn("relay", async move {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            while shared.runs(&key, &place) {
                if let Err(error) = shared.relay(&place, &program).await {
                    tracing::debug!(%key, why = tiphys_core::chain(&error), "the stream to a runner ended");
                }
                if !shared.pause(backoff.next_wait()).await {
                    return;
                }
            }
        });
    }

    fn runs(&self, key: &PodKey, place: &Place) -> bool {
        self.pods().get(key).is_some_and(|record| record.place == *place && !record.is_over())
    }

    async fn relay(self: &Arc<Self>, place: &Place, program: &str) -> Result<(), kube::Error> {
        let options = AttachParams::default().container(parcel::CONTAINER).stdin(true).stderr(false);
        let command = parcel::relay(program);
        let mut process = self.api(&place.namespace).exec(&place.name, command, &options).await?;
        let (from, to, status) = (process.stdout(), process.stdin(), process.take_status());
        let (Some(from), Some(to), Some(status)) = (from, to, status) else { return Ok(()) };
        let service = TowerToHyperService::new(routes(self));
        // Its status comes last, or never where the connection breaks.
        let stream = TokioIo::new(Exec::new(from, to, async move { drop(status.await) }));
        let served = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
        tokio::select! {
            served = served => {
                if let Err(error) = served {
                    tracing::debug!(pod = %place.name, %error, "a runner was not answered");
                }
            }
            () = self.tasks.stop().cancelled() => {}
        }
        process.abort();
        Ok(())
    }
}
