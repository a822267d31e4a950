//! How a pod begins: image, network, volumes, `initContainers`, sidecars, and at last its main container.

use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, UploadToContainerOptions};
use bollard::{body_full, body_try_stream};
use futures::StreamExt;
use tiphys_core::PodKey;
use tiphys_kit::{Backoff, CancellationToken};
use tokio_util::io::ReaderStream;

use super::claim::TAKEN;
use super::end::State;
use super::engine::Trouble;
use super::files::{self, Content, File, Packed, Upload};
use super::image::Policy;
use super::part::{self, Part, Scene};
use super::plan::{FOLDER, PROGRAM, Plan, Runner, STEP};
use super::pull::never;
use super::{LaunchError, Pod, PodResult, PodSpec, PodVerdict, Secrets, Shared, blocking, error};

/// A pod on its way.
pub(super) struct Work {
    plan: Plan,
    contents: Vec<Option<Content>>,
}

/// Why a pod did not begin.
pub(super) enum Failure {
    NoImage(String),
    /// Its name is taken.
    Taken,
    /// Nothing that was made is kept.
    Launch(LaunchError),
    /// It is not known what the engine did: what is there is left alone.
    Unsure(String),
    Ended(Box<PodResult>),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(why) => Self::Unsure(why),
            other => Self::Launch(other.into()),
        }
    }
}

impl Shared {
    /// Starts a pod whose key nobody else here is working on.
    pub(super) async fn start(self: &Arc<Self>, pod: &PodSpec, secrets: &Secrets) -> Result<(), LaunchError> {
        if self.pod(&pod.key).is_some() {
            return Ok(());
        }
        let scene = Scene { config: &self.config, pod, secrets, node: &self.node };
        let plan = Plan::of(&scene, self.clock.now())?;
        let contents = files::fetch(&*self.store, &self.scratch, pod).await?;
        let work = Arc::new(Work { plan, contents });
        if work.plan.has_parts() || work.plan.main.policy == Policy::Always {
            self.begin_later(work);
            return Ok(());
        }
        match self.begin(&work).await {
            Ok(()) => Ok(()),
            Err(Failure::NoImage(image)) if work.plan.main.policy == Policy::Never => Err(never(&image)),
            Err(Failure::NoImage(_)) => {
                self.begin_later(work);
                Ok(())
            }
            Err(Failure::Launch(error)) => Err(error),
            Err(Failure::Taken) => Err(LaunchError::Unavailable(TAKEN.to_owned())),
            Err(Failure::Unsure(why)) => Err(LaunchError::Unavailable(why)),
            Err(Failure::Ended(result)) => {
                self.ended(&pod.key, *result, work.plan.has_parts());
                self.announce(&pod.key).await;
                Ok(())
            }
        }
    }

    /// What takes longer is a task of its own; until its main container runs, the pod is pending.
    fn begin_later(self: &Arc<Self>, work: Arc<Work>) {
        let (shared, cancel) = (Arc::clone(self), CancellationToken::new());
        let pending = Pod::Pending { message: String::new(), cancel: cancel.clone() };
        self.pods().insert(work.plan.key.clone(), pending);
        self.tasks.spawn("start pod", async move {
            let key = &work.plan.key;
            let result = tokio::select! {
                () = shared.tasks.stop().cancelled() => return,
                () = cancel.cancelled() => {
                    shared.remove_all(key).await;
                    let stopped = "stopped before it began".to_owned();
                    let result = error(None, shared.clock.now(), stopped);
                    Some(PodResult { verdict: PodVerdict::Failed, ..result })
                }
                result = shared.bring_up(&work) => result,
            };
            if let Some(result) = result {
                shared.ended(key, result, true);
            }
            shared.announce(key).await;
        });
    }

    /// Tries until it runs. Returns how it ended where it never will.
    async fn bring_up(self: &Arc<Self>, work: &Work) -> Option<PodResult> {
        let key = &work.plan.key;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut have_images = false;
        loop {
            let outcome = async {
                if !have_images && !self.is_made(key).await? {
                    self.pull_all(&work.plan).await?;
                    have_images = true;
                }
                self.begin(work).await
            };
            let why = match outcome.await {
                Ok(()) => return None,
                Err(Failure::Ended(result)) => return Some(*result),
                Err(Failure::Launch(LaunchError::Unavailable(why)) | Failure::Unsure(why)) => why,
                Err(Failure::Taken) => TAKEN.to_owned(),
                Err(Failure::Launch(final_error)) => {
                    return Some(error(None, self.clock.now(), final_error.to_string()));
                }
                // Somebody removed it in between.
                Err(Failure::NoImage(image)) => {
                    have_images = false;
                    format!("image {image} is gone again")
                }
            };
            self.wait_because(key, why).await;
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn is_made(&self, key: &PodKey) -> Result<bool, Failure> {
        match self.inspect(&part::main_name(&self.config, key)).await {
            Ok(_) => Ok(true),
            Err(Trouble::Absent(_)) => Ok(false),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Makes and starts all. Images that are missing are not pulled here.
    async fn begin(self: &Arc<Self>, work: &Work) -> Result<(), Failure> {
        let plan = &work.plan;
        let mut main = plan.main.clone();
        if let Some(runner) = &plan.runner {
            main.uploads.push(self.runner_files(&plan.main, runner, &work.contents).await?);
        }
        for part in plan.parts().filter(|part| part.not_root) {
            let user = self.image_of(part).await?.user.unwrap_or_default();
            if user.is_empty() || ["0", "root"].contains(&user.split(':').next().unwrap_or_default()) {
                return Err(Failure::Launch(LaunchError::NotAllowed(part::root(&part.called))));
            }
        }
        let address = match plan.network.pause() {
            Some(pause) => self.joined(pause).await?,
            None => None,
        };
        for volume in &plan.volumes {
            self.docker.create_volume(volume.clone()).await.map_err(Trouble::from)?;
        }
        let fresh = self.pod(&plan.key).is_none();
        let id = match self.create(&main).await {
            Err(Failure::Taken) => return self.taken(&plan.key).await,
            Err(failure) => {
                // The network and the volumes were made for nothing.
                if matches!(failure, Failure::Launch(_)) && (plan.has_parts() || !plan.volumes.is_empty()) {
                    self.remove_all(&plan.key).await;
                }
                return Err(failure);
            }
            Ok(id) => id,
        };
        let outcome = self.run(plan, &main, &id, address).await;
        if outcome.is_err() && fresh {
            self.pods().remove(&plan.key);
        }
        if matches!(outcome, Err(Failure::Launch(_) | Failure::NoImage(_) | Failure::Taken)) {
            let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
            let _ = self.docker.remove_container(&id, Some(options)).await;
            if plan.has_parts() || !plan.volumes.is_empty() {
                self.remove_all(&plan.key).await;
            }
        }
        outcome
    }

    async fn image_of(&self, part: &Part) -> Result<bollard::models::ImageConfig, Failure> {
        self.image(&part.image).await.map_err(|trouble| match trouble {
            Trouble::Absent(_) => Failure::NoImage(part.image.clone()),
            other => other.into(),
        })
    }

    /// What the runner finds in its folder.
    async fn runner_files(
        &self,
        main: &Part,
        runner: &Runner,
        contents: &[Option<Content>],
    ) -> Result<Upload, Failure> {
        let mut spec = runner.spec.clone();
        if spec.command.is_empty() {
            let image = self.image_of(main).await?;
            spec.command = image.entrypoint.unwrap_or_default();
            if runner.arguments.is_none() {
                spec.command.extend(image.cmd.unwrap_or_default());
            }
        }
        spec.command.extend(runner.arguments.clone().unwrap_or_default());
        let Some(program) = spec.command.first() else {
            let text = format!("image {} brings no command: name one as `command:`", main.image);
            return Err(Failure::Launch(LaunchError::Missing(text)));
        };
        spec.program = program.into();
        let text = serde_json::to_vec(&spec)
            .map_err(|error| Failure::Launch(LaunchError::Missing(error.to_string())))?;
        let mut files = vec![
            File::plain(PROGRAM, 0o755, self.config.runner.clone()),
            // The step may be anybody.
            File::folder(STEP, 0o777),
            File::plain(&format!("{STEP}/{}", tiphys_runner::spec::FILE), 0o644, text),
        ];
        if let Some(script) = &runner.script {
            files.push(File::plain(&format!("{STEP}/script"), 0o755, script.clone().into_bytes()));
        }
        if !runner.inputs.is_empty() {
            let folder = format!("{STEP}/{}", tiphys_runner::input::FOLDER);
            files.push(File::folder(&folder, 0o777));
            files.extend(contents.iter().enumerate().filter_map(|(number, content)| {
                Some(File { path: format!("{folder}/{number}"), mode: 0o644, content: content.clone()? })
            }));
        }
        if !runner.in_volume {
            return Ok(Upload { path: "/".to_owned(), files });
        }
        for file in &mut files {
            file.path = file.path.trim_start_matches(FOLDER).to_owned();
        }
        Ok(Upload { path: FOLDER.to_owned(), files })
    }

    /// Makes a container.
    async fn create(&self, part: &Part) -> Result<String, Failure> {
        let _permit = self.starts.acquire().await.ok();
        let options = CreateContainerOptions { name: Some(part.name.clone()), ..Default::default() };
        let made = self.docker.create_container(Some(options), part.body.clone()).await;
        match made.map_err(Trouble::from) {
            Ok(made) => Ok(made.id),
            Err(trouble) if trouble.lacks_image() => Err(Failure::NoImage(part.image.clone())),
            Err(trouble) if trouble.lacks_network() => Err(self.no_network(part, &trouble)),
            Err(Trouble::Conflict(_)) => Err(Failure::Taken),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Somebody ended the pause container, or the engine did when it was started again.
    fn no_network(&self, part: &Part, trouble: &Trouble) -> Failure {
        let host = part.body.host_config.as_ref();
        let mode = host.and_then(|host| host.network_mode.as_deref()).unwrap_or_default();
        self.doubt(mode.trim_start_matches("container:"));
        Failure::Launch(LaunchError::Unavailable(trouble.text().to_owned()))
    }

    async fn upload(&self, id: &str, uploads: &[Upload]) -> Result<(), Failure> {
        for upload in uploads.iter().filter(|upload| !upload.files.is_empty()) {
            let (packing, scratch) = (upload.clone(), self.scratch.clone());
            let packed = blocking(move || packing.pack(&scratch)).await.map_err(Failure::Launch)?;
            let archive = match &packed {
                Packed::InMemory(bytes) => body_full(bytes.clone()),
                Packed::OnDisk(place) => {
                    let file = tokio::fs::File::open(&place.0).await;
                    let unreadable = |error: std::io::Error| {
                        Failure::Launch(LaunchError::Unavailable(format!("the launcher's folder: {error}")))
                    };
                    body_try_stream(ReaderStream::new(file.map_err(unreadable)?))
                }
            };
            let options =
                UploadToContainerOptions { path: upload.path.clone(), ..UploadToContainerOptions::default() };
            let sent = self.docker.upload_to_container(id, Some(options), archive).await;
            sent.map_err(Trouble::from)?;
        }
        Ok(())
    }

    /// Fills and starts a main container that was just made.
    async fn run(
        self: &Arc<Self>,
        plan: &Plan,
        main: &Part,
        id: &str,
        address: Option<String>,
    ) -> Result<(), Failure> {
        self.upload(id, &main.uploads).await?;
        for part in &plan.init {
            self.run_init(part).await?;
        }
        for part in &plan.sidecars {
            let id = self.create(part).await?;
            self.upload(&id, &part.uploads).await?;
            self.docker.start_container(&id, None).await.map_err(Trouble::from)?;
        }
        // Known before it starts: it may have ended when the answer arrives.
        let pending = Pod::Pending { message: String::new(), cancel: CancellationToken::new() };
        self.pods().entry(plan.key.clone()).or_insert(pending);
        let started = {
            let _permit = self.starts.acquire().await.ok();
            self.docker.start_container(id, None).await.map_err(Trouble::from)
        };
        if let Err(trouble) = started {
            return Err(self.not_started(plan, id, trouble).await);
        }
        let (started, ready) = (self.clock.now(), plan.probe.is_none());
        let address = match (plan.daemon, address) {
            (true, None) => {
                let inspected = self.inspect(id).await?;
                self.address_of(&inspected).await.map_err(Failure::Launch)?
            }
            (_, address) => address,
        };
        if let Some(pod @ Pod::Pending { .. }) = self.pods().get_mut(&plan.key) {
            *pod = Pod::Running { started, ready, address };
        }
        if let Some(deadline) = plan.deadline {
            self.stop_at(&plan.key, deadline);
        }
        if let Some(probe) = plan.probe.clone() {
            self.probe(&plan.key, probe);
        }
        Ok(())
    }

    /// Why a main container was not started.
    async fn not_started(&self, plan: &Plan, id: &str, trouble: Trouble) -> Failure {
        let told = match self.inspect(id).await {
            Ok(inspected) => State::of(&inspected).error,
            Err(_) => String::new(),
        };
        match trouble {
            _ if trouble.lacks_network() => self.no_network(&plan.main, &trouble),
            Trouble::Away(why) => {
                self.unsure().insert(id.to_owned());
                Failure::Unsure(why)
            }
            // Another process has taken it for a leftover.
            Trouble::Absent(why) if told.is_empty() => Failure::Launch(LaunchError::Unavailable(why)),
            _ if !told.is_empty() => {
                let message = format!("main: StartError: {told}");
                Failure::Ended(Box::new(error(None, self.clock.now(), message)))
            }
            other => other.into(),
        }
    }

    /// Runs an init container to its end.
    async fn run_init(&self, part: &Part) -> Result<(), Failure> {
        let id = self.create(part).await?;
        self.upload(&id, &part.uploads).await?;
        self.docker.start_container(&id, None).await.map_err(Trouble::from)?;
        loop {
            let mut ends = Box::pin(self.docker.wait_container(&id, None));
            let code = match ends.next().await {
                Some(Ok(end)) => end.status_code,
                Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
                // The engine went away; it tells again when it is back.
                _ => {
                    let state = State::of(&self.inspect(&id).await?);
                    if state.is_running {
                        continue;
                    }
                    state.code
                }
            };
            if code == 0 {
                return Ok(());
            }
            let message = format!("{}: Error (exit code {code})", part.called);
            return Err(Failure::Ended(Box::new(error(None, self.clock.now(), message))));
        }
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, Trouble> {
        Ok(self.docker.inspect_container(name, None).await?)
    }
}
