//! Containers and pods: opened when their server answers, tried again until it does.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tiphys_core::Clock;
use tiphys_executor::launcher::docker::{self, DockerLauncher};
use tiphys_executor::launcher::kubernetes::{self, KubernetesLauncher, RUNNER_ROUTES};
use tiphys_executor::launcher::several::Opener;
use tiphys_executor::launcher::{ArtifactStore, LaunchError, Launcher};
use tiphys_kit::kubernetes::Cluster;
use tiphys_kit::{CancellationToken, Health};
use tower::ServiceExt as _;

use crate::cli::LaunchArgs;

/// What every launcher is given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) store: Arc<dyn ArtifactStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: CancellationToken,
}

/// The launcher of pods.
pub(super) struct Pods {
    pub(super) config: kubernetes::Config,
    pub(super) cluster: Cluster,
    pub(super) given: Given,
    pub(super) routes: RunnerRoutes,
    /// The namespace whose pods do, where those of all may not be seen.
    pub(super) preferred: Option<String>,
}

#[async_trait]
impl Opener for Pods {
    async fn open(&self) -> Result<Option<Arc<dyn Launcher>>, LaunchError> {
        let Given { store, clock, stop } = self.given.clone();
        let client = self.cluster.client_without_retries();
        let client = client.map_err(|failure| LaunchError::NotAllowed(failure.to_string()))?;
        let open = |config| {
            let (client, store, clock) = (client.clone(), store.clone(), clock.clone());
            KubernetesLauncher::open(config, client, store, clock, stop.clone())
        };
        let mut opened = open(self.config.clone()).await;
        if let (Err(LaunchError::NotAllowed(_)), Some(namespace)) = (&opened, &self.preferred) {
            opened =
                open(kubernetes::Config { namespaces: vec![namespace.clone()], ..self.config.clone() }).await;
        }
        let opened = Arc::new(told(&self.config.health, self.config.part(), opened)?);
        // A launcher that was opened is the only one.
        let _ = self.routes.0.set(opened.clone());
        Ok(Some(opened))
    }
}

/// The launcher of containers.
pub(super) struct Containers {
    pub(super) config: docker::Config,
    pub(super) given: Given,
    /// Somebody asked for it; else it is used where it is.
    pub(super) wanted: bool,
}

#[async_trait]
impl Opener for Containers {
    async fn open(&self) -> Result<Option<Arc<dyn Launcher>>, LaunchError> {
        if !self.wanted && !is_there(&self.config.host) {
            return Ok(None);
        }
        let Given { store, clock, stop } = self.given.clone();
        let opened = DockerLauncher::open(self.config.clone(), store, clock, stop).await;
        Ok(Some(Arc::new(told(&self.config.health, docker::PART, opened)?)))
    }
}

/// Tells why a launcher cannot be opened; it is tried again.
fn told<T>(health: &Health, part: &str, opened: Result<T, LaunchError>) -> Result<T, LaunchError> {
    if let Err(error) = &opened {
        health.only_tell(part);
        health.failing(part, error.to_string());
    }
    opened
}

/// Whether this machine has an engine that we may use. One that listens and does not answer counts: it may have
/// containers of ours.
pub(super) fn is_there(host: &str) -> bool {
    match host.strip_prefix("unix://") {
        Some(socket) => match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied),
        },
        None => true,
    }
}

/// Where the runners of pods ask; nobody answers them until the launcher is open.
#[derive(Clone, Default)]
pub(crate) struct RunnerRoutes(Arc<OnceLock<Arc<KubernetesLauncher>>>);

impl RunnerRoutes {
    /// The routes.
    pub(crate) fn router(&self) -> Router {
        Router::new().route(RUNNER_ROUTES, any(Self::pass)).with_state(self.clone())
    }

    async fn pass(State(routes): State<Self>, mut request: Request) -> Response {
        // The launcher's routes match once more; what was matched here would be counted to it.
        request.extensions_mut().clear();
        match routes.0.get() {
            Some(launcher) => match launcher.runner_routes().oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            },
            None => (StatusCode::SERVICE_UNAVAILABLE, "the cluster does not answer yet").into_response(),
        }
    }
}

/// Where pods get the runner from, as the command line says it: Tiphys' own image has it; without an image it is laid down in
/// the cluster.
pub(super) fn runner_source(args: &LaunchArgs) -> anyhow::Result<Option<kubernetes::RunnerSource>> {
    if let Some(image) = &args.runner_image {
        return Ok(Some(kubernetes::RunnerSource::Image(kubernetes::RunnerImage {
            image: image.clone(),
            program: "/tiphys-runner".into(),
            // A node that has it asks no registry, whatever its tag is: not for each pod, and not for one that was brought
            // there by hand.
            pull_policy: Some("IfNotPresent".into()),
            volume: args.runner_volume.into(),
        })));
    }
    let Some(program) = tiphys_payload::runner() else { return Ok(None) };
    let packed = kubernetes::PackedRunner::new(program, args.unpack_image.clone());
    Ok(Some(kubernetes::RunnerSource::Packed(packed.context("the runner")?)))
}

/// What images run by themselves, from a file with what Argo has under `images`.
pub(super) fn images(file: &Path) -> anyhow::Result<BTreeMap<String, kubernetes::ImageCommand>> {
    let shown = || format!("--images {}", file.display());
    let text = std::fs::read_to_string(file).with_context(shown)?;
    serde_saphyr::from_str(&text).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_as_to_argo() {
        let file = std::env::temp_dir().join(format!("tiphys-images-{}.yaml", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            images(&file)
        };
        let known =
            read("argosay:v2:\n  cmd: [/argosay]\nscan:1: {command: [scan], args: [--all]}\n").unwrap();
        let (say, scan) = (&known["argosay:v2"], &known["scan:1"]);
        assert!(say.entrypoint.is_empty() && say.arguments == ["/argosay"]);
        assert!(scan.entrypoint == ["scan"] && scan.arguments == ["--all"]);
        let told = format!("{:#}", read("argosay:v2: {comand: [x]}").unwrap_err());
        assert!(told.contains("tiphys-images") && told.contains("comand"), "{told}");
        std::fs::remove_file(&file).unwrap();
        assert!(format!("{:#}", images(&file).unwrap_err()).contains("--images"));
    }
}
