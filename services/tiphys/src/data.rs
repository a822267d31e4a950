//! The data folder: what stands where, and who may read it.
//!
//! ```text
//! .tiphys/            0700
//!   bus/              the streams
//!   steps/            a folder per step
//!   artifacts/        the artifact store
//!   bin/tiphys        a link to the running binary, in front of PATH for steps
//!   token             0600, the API's bearer token
//!   server.json       address and pid, once ready
//!   spool/            events that the bus does not have yet (separate services)
//!   run/ROLE.json     address and pid of each service, once it runs (separate services)
//! ```

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::client::ServerFile;

/// A data folder that exists.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    /// Opens the folder, making it if there is none.
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| {
            format!("the data folder `{}` cannot be made; choose another with --data DIR", path.display())
        })?;
        let path = path.canonicalize()?;
        for part in ["bus", "steps", "artifacts", "bin"] {
            DirBuilder::new().recursive(true).mode(0o700).create(path.join(part))?;
        }
        Ok(Self(path))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the embedded bus keeps its streams.
    pub(crate) fn bus(&self) -> PathBuf {
        self.0.join("bus")
    }

    /// Where steps have their folders.
    pub(crate) fn steps(&self) -> PathBuf {
        self.0.join("steps")
    }

    /// Where artifacts are stored.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    /// The folder in front of PATH for steps, with a link to the running binary in it.
    pub(crate) fn bin(&self) -> anyhow::Result<PathBuf> {
        let (bin, exe) = (self.0.join("bin"), std::env::current_exe()?);
        let link = bin.join("tiphys");
        if fs::read_link(&link).ok().as_deref() != Some(exe.as_path()) {
            // By rename, so that a step that looks meanwhile finds the old link or the new one.
            let fresh = bin.join(format!("tiphys.{}", std::process::id()));
            symlink(&exe, &fresh)?;
            fs::rename(&fresh, &link)?;
        }
        Ok(bin)
    }

    /// The API's token; made at the first start.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let path = self.0.join("token");
        match fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("`{}`", path.display())),
        }
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness for a token: {error}"))?;
        let token = hex::encode(bytes);
        self.write("token", 0o600, format!("{token}\n").as_bytes())?;
        Ok(token)
    }

    /// By which this folder is told from others, where a name is needed that anybody may see.
    pub(crate) fn mark(&self) -> anyhow::Result<String> {
        use sha2::Digest as _;
        let sum = sha2::Sha256::digest(format!("{}/mark", self.token()?));
        Ok(hex::encode(sum).chars().take(8).collect())
    }

    /// Says that the server is ready.
    pub(crate) fn announce(&self, server: &ServerFile) -> anyhow::Result<()> {
        self.write("server.json", 0o600, serde_json::to_string(server)?.as_bytes())
    }

    /// Where events are kept until the bus has them.
    pub(crate) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Says that a service runs.
    pub(crate) fn announce_role(&self, role: &str, content: &serde_json::Value) -> anyhow::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.0.join("run"))?;
        self.write(&format!("run/{role}.json"), 0o600, content.to_string().as_bytes())
    }

    /// What a service said of itself.
    pub(crate) fn role(&self, role: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(&fs::read(self.0.join(format!("run/{role}.json"))).ok()?).ok()
    }

    /// Says that a service runs no longer.
    pub(crate) fn withdraw_role(&self, role: &str) {
        let _ = fs::remove_file(self.0.join(format!("run/{role}.json")));
    }

    /// Says that it is no longer.
    pub(crate) fn withdraw(&self) {
        let _ = fs::remove_file(self.0.join("server.json"));
    }

    /// Writes a file so that a reader sees all of it or none.
    fn write(&self, name: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, &path).with_context(|| format!("`{}`", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_reads_and_a_token_stays() {
        let place = std::env::temp_dir().join(format!("tiphys-data-{}", std::process::id()));
        let folder = DataFolder::open(place.clone()).unwrap();
        let token = folder.token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(folder.token().unwrap(), token);
        let mode = |name: &str| fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("."), mode("token"), mode("bus")), (0o700, 0o600, 0o700));
        folder.bin().unwrap();
        assert!(place.join("bin/tiphys").exists());
        fs::remove_dir_all(place).unwrap();
    }
}
