//! Pause containers: made once, whoever asks first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::body_full;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{CreateContainerOptions, CreateImageOptions};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::engine::Trouble;
use super::files::{File, Upload};
use super::network::Pause;
use super::{LaunchError, Shared};

/// Pause containers that run, by name, with their addresses.
pub(super) type Pauses = Mutex<HashMap<String, Arc<OnceCell<Option<String>>>>>;

impl Shared {
    /// Sees to it that a pause container runs. Returns its address.
    pub(super) async fn joined(&self, pause: &Pause) -> Result<Option<String>, Trouble> {
        let cell = {
            let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pauses.entry(pause.name.clone()).or_default())
        };
        cell.get_or_try_init(|| self.pause(pause)).await.cloned()
    }

    /// It may run no more.
    pub(super) fn doubt(&self, pause: &str) {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).remove(pause);
    }

    async fn pause(&self, pause: &Pause) -> Result<Option<String>, Trouble> {
        let image = self.pause_image();
        let create = || async {
            let options = CreateContainerOptions { name: Some(pause.name.clone()), ..Default::default() };
            let body = pause.body(&self.config, &image);
            self.docker.create_container(Some(options), body).await.map_err(Trouble::from)
        };
        let made = match create().await {
            Err(trouble) if trouble.lacks_image() => {
                self.import_pause(&image).await?;
                create().await
            }
            other => other,
        };
        match made {
            // Another executor was first, or it is from before.
            Ok(_) | Err(Trouble::Conflict(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        self.docker.start_container(&pause.name, None).await.map_err(Trouble::from)?;
        let inspected = self.docker.inspect_container(&pause.name, None).await.map_err(Trouble::from)?;
        Ok(address(&inspected))
    }

    /// Named by its content, so that a later version brings its own.
    fn pause_image(&self) -> String {
        let sum = Sha256::digest(&self.config.runner);
        format!("{}pause:{}", self.config.prefix, hex::encode(&sum[..6]))
    }

    /// Makes the image of nothing but the runner: no registry is asked for it.
    async fn import_pause(&self, image: &str) -> Result<(), Trouble> {
        let program = File::plain("tiphys-runner", 0o755, self.config.runner.clone());
        let archive = Upload { path: "/".into(), files: vec![program] }.write(Vec::new());
        let archive = archive.map_err(|error| Trouble::Refused(error.to_string()))?;
        let (repo, tag) = image.split_once(':').unwrap_or((image, "latest"));
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let mut told =
            Box::pin(self.docker.create_image(Some(options), Some(body_full(archive.into())), None));
        while let Some(told) = told.next().await {
            told?;
        }
        Ok(())
    }

    /// The address under which a container is reached, also where it has joined another's network.
    pub(super) async fn address_of(
        &self,
        container: &ContainerInspectResponse,
    ) -> Result<Option<String>, LaunchError> {
        let mode = container.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
        let Some(joined) = mode.and_then(|mode| mode.strip_prefix("container:")) else {
            return Ok(address(container));
        };
        let pause = self.docker.inspect_container(joined, None).await.map_err(Trouble::from)?;
        Ok(address(&pause))
    }
}

fn address(container: &ContainerInspectResponse) -> Option<String> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    let mut addresses = networks.values().filter_map(|network| network.ip_address.clone());
    addresses.find(|address| !address.is_empty())
}
