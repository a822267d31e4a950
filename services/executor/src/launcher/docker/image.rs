//! Images: pulled where they are missing, with what is known of the progress, and the reason where they are not to be had.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ImageConfig};
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::engine::Trouble;
use super::{LaunchError, Shared};

/// The registry that is meant where an image names none, and what it is called in files of credentials.
const HUB: [&str; 4] =
    ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"];

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Before each step.
    Always,
    /// Where the engine has none. Also where the manifest says nothing, whatever the tag is: as Docker does.
    IfMissing,
    Never,
}

impl Policy {
    pub(super) fn of(text: Option<&str>) -> Result<Self, LaunchError> {
        match text.unwrap_or_default() {
            "Always" => Ok(Self::Always),
            "" | "IfNotPresent" => Ok(Self::IfMissing),
            "Never" => Ok(Self::Never),
            other => Err(LaunchError::Missing(format!(
                "imagePullPolicy {other} is none of Always, IfNotPresent and Never"
            ))),
        }
    }
}

/// Who pulls, registry by registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(HashMap<String, SecretString>);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl Credentials {
    /// Reads files of `.dockerconfigjson`. One that cannot be read is as good as none: the pull tells.
    pub(super) fn of(files: &[SecretString]) -> Self {
        let mut all = HashMap::new();
        for file in files {
            let Ok(file) = serde_json::from_str::<File>(file.expose_secret()) else { continue };
            for (registry, entry) in file.auths {
                let pair = if entry.username.is_empty() {
                    let decoded = STANDARD.decode(entry.auth).ok();
                    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
                } else {
                    format!("{}:{}", entry.username, entry.password)
                };
                all.insert(registry, pair.into());
            }
        }
        Self(all)
    }

    fn for_image(&self, image: &str) -> Option<DockerCredentials> {
        let registry = registry(image);
        let known = |name: &String| {
            let bare = name.trim_start_matches("https://").trim_start_matches("http://");
            let host = bare.split('/').next().unwrap_or_default();
            host == registry || (registry == "docker.io" && HUB.contains(&name.as_str()))
        };
        let pair = self.0.iter().find(|(name, _)| known(name))?.1.expose_secret();
        let (user, password) = pair.split_once(':')?;
        Some(DockerCredentials {
            username: Some(user.to_owned()),
            password: Some(password.to_owned()),
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        })
    }
}

/// The registry of an image.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// With a tag: the engine pulls all tags of a name without one.
fn tagged(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// How much of an image is there.
#[derive(Debug, Default)]
pub(super) struct Progress(HashMap<String, (i64, i64)>);

impl Progress {
    /// Percent, where anything is known.
    pub(super) fn take(&mut self, info: &CreateImageInfo) -> Option<i64> {
        let (id, detail) = (info.id.as_ref()?, info.progress_detail.as_ref()?);
        // Unpacking counts the same bytes once more.
        if info.status.as_deref() == Some("Downloading") {
            self.0.insert(id.clone(), (detail.current?, detail.total?));
        }
        let (current, total) = self.0.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        (total > 0).then(|| current * 100 / total)
    }
}

impl Shared {
    /// What an image says of itself.
    pub(super) async fn image(&self, image: &str) -> Result<ImageConfig, Trouble> {
        let inspected = self.docker.inspect_image(image).await?;
        Ok(inspected.config.unwrap_or_default())
    }

    /// Pulls an image. `told` hears how far it is, in percent.
    pub(super) async fn pull(
        &self,
        image: &str,
        credentials: &Credentials,
        mut told: impl FnMut(i64),
    ) -> Result<(), Trouble> {
        let options = CreateImageOptions { from_image: Some(tagged(image)), ..CreateImageOptions::default() };
        let mut stream =
            Box::pin(self.docker.create_image(Some(options), None, credentials.for_image(image)));
        let mut progress = Progress::default();
        while let Some(info) = stream.next().await {
            if let Some(percent) = progress.take(&info?) {
                told(percent);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_image_s_registry() {
        let file = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"},
            "registry.example:5000": {"username": "u", "password": "p:q"}}}"#;
        let credentials = Credentials::of(&[file.to_owned().into(), "no JSON".to_owned().into()]);
        let user = |image| credentials.for_image(image).and_then(|found| found.username.zip(found.password));
        assert_eq!(user("alpine"), Some(("a".into(), "b".into())));
        assert_eq!(user("library/alpine:3"), Some(("a".into(), "b".into())));
        assert_eq!(user("registry.example:5000/x"), Some(("u".into(), "p:q".into())));
        assert_eq!(user("ghcr.io/x/y"), None);
    }

    #[test]
    fn progress_is_of_all_layers() {
        let mut progress = Progress::default();
        let mut take = |id: &str, status: &str, current, total| {
            let detail = bollard::models::ProgressDetail { current: Some(current), total: Some(total) };
            progress.take(&CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: Some(detail),
                error_detail: None,
            })
        };
        assert_eq!(take("a", "Downloading", 10, 100), Some(10));
        assert_eq!(take("b", "Downloading", 50, 100), Some(30));
        assert_eq!(take("a", "Extracting", 1, 100), Some(30));
        assert_eq!(tagged("a/b"), "a/b:latest");
        assert_eq!(tagged("h:5000/b"), "h:5000/b:latest");
        assert_eq!(tagged("b:1"), "b:1");
    }
}
