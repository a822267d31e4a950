//! Files of git repositories, by the machine's `git`.
//!
//! A manifest names the repository, so nothing else may steer git: no configuration of the machine or its user, no
//! hooks, no helpers, no protocol but those that [`Rules`] allow, no questions. Passwords reach it as variables, keys
//! through memory; neither is written to a disk, nor seen among the arguments of processes.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use secrecy::{ExposeSecret, SecretString};
use tiphys_runner::archive;
use tokio::process::Command;

use super::location::Git;
use super::secrets::{Secrets, basic};
use crate::launcher::LaunchError;

/// What git may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'r> {
    /// PATH: where `git` and `ssh` are looked for.
    pub(super) path: &'r str,
    /// Repositories of this machine may be read; for tests.
    pub(super) local: bool,
}

/// A repository takes no longer to fetch.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// So much of what git says is told.
const SAID: usize = 600;

/// One use of git, with all that it may know.
struct Session<'g> {
    place: &'g Git,
    rules: Rules<'g>,
    /// Configuration as variables.
    settings: Vec<(String, SecretString)>,
    /// The command for SSH.
    ssh: String,
    /// Holds the private key, as long as git runs.
    _key: Option<File>,
}

/// Clones the repository into the folder `to`, where nothing is yet.
///
/// # Errors
/// Says what git says, or what is refused.
pub(super) async fn fetch(
    place: &Git,
    secrets: Secrets<'_>,
    rules: Rules<'_>,
    to: &Path,
) -> Result<(), LaunchError> {
    let session = Session::new(place, secrets, rules)?;
    let cloned = tokio::time::timeout(PATIENCE, session.clone_to(to)).await;
    cloned
        .map_err(|_| told(place, &format!("it took longer than {} minutes", PATIENCE.as_secs() / 60)))??;
    let folder = to.to_owned();
    let checked = tokio::task::spawn_blocking(move || archive::check_links(&folder)).await;
    let checked = checked.map_err(|panic| told(place, &panic.to_string()))?;
    checked.map_err(|refused| told(place, &refused.to_string()))
}

fn told(place: &Git, why: &str) -> LaunchError {
    LaunchError::Missing(format!("git repository {}: {why}", place.repo))
}

impl<'g> Session<'g> {
    fn new(place: &'g Git, secrets: Secrets<'_>, rules: Rules<'g>) -> Result<Self, LaunchError> {
        check(place, rules)?;
        let mut session = Self { place, rules, settings: Vec::new(), ssh: String::new(), _key: None };
        for (name, value) in [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("credential.helper", ""),
            ("protocol.allow", "never"),
            ("protocol.https.allow", "always"),
            ("protocol.http.allow", "always"),
            ("protocol.ssh.allow", "always"),
            ("protocol.file.allow", if rules.local { "always" } else { "never" }),
            ("http.lowSpeedLimit", "1000"),
            ("http.lowSpeedTime", "60"),
            ("transfer.credentialsInUrl", "die"),
            ("advice.detachedHead", "false"),
            ("init.defaultBranch", "main"),
            ("gc.auto", "0"),
        ] {
            session.set(name, SecretString::from(value));
        }
        if place.insecure_skip_tls == Some(true) {
            session.set("http.sslVerify", SecretString::from("false"));
        }
        let name = secrets.optional(place.username_secret.as_ref())?;
        let password = secrets.optional(place.password_secret.as_ref())?;
        if name.is_some() || password.is_some() {
            let origin = origin(&place.repo).ok_or_else(|| {
                told(place, "usernameSecret and passwordSecret are for https; use sshPrivateKeySecret")
            })?;
            // For this server only, wherever submodules and redirects lead.
            let header =
                format!("Authorization: {}", basic(name.as_ref(), password.as_ref()).expose_secret());
            session.set(&format!("http.{origin}/.extraHeader"), SecretString::from(header));
        }
        let key = secrets.optional(place.ssh_private_key_secret.as_ref())?;
        session._key =
            key.map(|key| held(&key)).transpose().map_err(|error| told(place, &error.to_string()))?;
        session.ssh = ssh(session._key.as_ref(), place.insecure_ignore_host_key == Some(true));
        Ok(session)
    }

    fn set(&mut self, name: &str, value: SecretString) {
        self.settings.push((name.to_owned(), value));
    }

    async fn clone_to(&self, to: &Path) -> Result<(), LaunchError> {
        let place = self.place;
        let depth = place.depth.filter(|depth| *depth > 0).map(|depth| format!("--depth={depth}"));
        let mut clone: Vec<OsString> = vec!["clone".into(), "--quiet".into(), "--no-checkout".into()];
        clone.extend(depth.iter().map(OsString::from));
        // Who names a depth may still name any branch or tag as revision.
        let single = place.single_branch == Some(true);
        clone.push(if single { "--single-branch".into() } else { "--no-single-branch".into() });
        if let Some(branch) = named(place.branch.as_ref()) {
            clone.push(format!("--branch={branch}").into());
        }
        clone.extend(["--".into(), OsString::from(&place.repo), to.into()]);
        self.git(None, &clone).await?;
        for spec in place.fetch.iter().filter(|spec| !spec.is_empty()) {
            let mut fetch: Vec<OsString> = vec!["fetch".into(), "--quiet".into()];
            fetch.extend(depth.iter().map(OsString::from));
            fetch.extend(["--".into(), "origin".into(), spec.into()]);
            self.git(Some(to), &fetch).await?;
        }
        let commit = match named(place.revision.as_ref()) {
            Some(revision) => self.commit(to, revision, depth.as_deref()).await?,
            None => "HEAD".to_owned(),
        };
        let checkout = ["checkout", "--quiet", "--force", "--detach", commit.as_str()].map(OsString::from);
        self.git(Some(to), &checkout).await?;
        if place.disable_submodules != Some(true) && to.join(".gitmodules").is_file() {
            let mut update: Vec<OsString> =
                ["submodule", "--quiet", "update", "--init", "--recursive"].map(OsString::from).into();
            update.extend(depth.iter().map(OsString::from));
            self.git(Some(to), &update).await?;
        }
        Ok(())
    }

    /// The commit that a revision means: of what was cloned, else asked for by itself.
    async fn commit(&self, to: &Path, revision: &str, depth: Option<&str>) -> Result<String, LaunchError> {
        for name in [format!("refs/remotes/origin/{revision}"), revision.to_owned()] {
            let parse: [OsString; 5] = [
                "rev-parse".into(),
                "--verify".into(),
                "--quiet".into(),
                "--end-of-options".into(),
                format!("{name}^{{commit}}").into(),
            ];
            if let Ok(commit) = self.git(Some(to), &parse).await {
                return Ok(commit.trim().to_owned());
            }
        }
        let mut fetch: Vec<OsString> = vec!["fetch".into(), "--quiet".into()];
        fetch.extend(depth.map(OsString::from));
        fetch.extend(["--".into(), "origin".into(), revision.into()]);
        self.git(Some(to), &fetch).await?;
        Ok("FETCH_HEAD".to_owned())
    }

    async fn git(&self, folder: Option<&Path>, arguments: &[OsString]) -> Result<String, LaunchError> {
        let place = self.place;
        let mut command = Command::new("git");
        command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.current_dir(folder.unwrap_or(Path::new("/")));
        let protocols = if self.rules.local { "https:http:ssh:file" } else { "https:http:ssh" };
        command
            .env("PATH", self.rules.path)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", &self.ssh)
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (name, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value.expose_secret());
        }
        let ended = command.output().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                told(place, "there is no program `git` where the executor runs; install it")
            }
            _ => told(place, &format!("git could not be started: {error}")),
        })?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let said: String = said.trim().chars().take(SAID).collect();
        Err(told(place, if said.is_empty() { "git failed" } else { &said }))
    }
}

/// A text that is there.
fn named(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Refuses what git would take for something else than a repository, a branch or a revision.
fn check(place: &Git, rules: Rules<'_>) -> Result<(), LaunchError> {
    let texts = [Some(&place.repo), place.revision.as_ref(), place.branch.as_ref()];
    for text in texts.into_iter().flatten().chain(&place.fetch) {
        if text.starts_with('-') || text.contains(['\n', '\0']) {
            return Err(told(place, &format!("{text:?} is no name")));
        }
    }
    let repo = place.repo.as_str();
    let is_scp = || {
        let host = repo.split_once(':').map(|(host, _)| host).unwrap_or_default();
        !host.is_empty() && !host.contains('/') && !repo.contains("::") && !repo.contains("://")
    };
    let is_remote =
        ["https://", "http://", "ssh://"].iter().any(|scheme| repo.starts_with(scheme)) || is_scp();
    let is_local = rules.local && (repo.starts_with('/') || repo.starts_with("file://"));
    if !is_remote && !is_local {
        return Err(told(place, "only https, http and ssh are used"));
    }
    let authority = repo.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority
        .is_some_and(|authority| authority.split_once('@').is_some_and(|(user, _)| user.contains(':')))
    {
        return Err(LaunchError::Missing(
            "git: the repository's URL holds a password: put it in a Secret, and name that as passwordSecret"
                .into(),
        ));
    }
    Ok(())
}

/// Scheme and host of a repository over HTTP.
fn origin(repo: &str) -> Option<String> {
    let (scheme, rest) = repo.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    Some(format!("{scheme}://{host}"))
}

/// A key in memory that only its owner may read, as ssh demands.
fn held(key: &SecretString) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("key", MemfdFlags::CLOEXEC)?);
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(key.expose_secret().trim_end().as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file)
}

fn ssh(key: Option<&File>, trusting: bool) -> String {
    let mut command = "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
                       -o ConnectTimeout=10 -o ServerAliveInterval=15"
        .to_owned();
    if trusting {
        command.push_str(" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR");
    } else {
        command.push_str(" -o StrictHostKeyChecking=yes");
    }
    if let Some(key) = key {
        // By its path at this process: ssh closes what it inherits.
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), key.as_raw_fd()));
        command.push_str(&format!(" -i {}", path.display()));
    }
    command
}

#[cfg(test)]
mod tests;
