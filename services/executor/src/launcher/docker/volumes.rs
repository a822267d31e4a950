//! Volumes: which the engine makes, where they are mounted, and which files are put where.

use std::collections::HashMap;

use bollard::models::{Mount, MountTmpfsOptions, MountType, VolumeCreateRequest};
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::files::{File, Upload};
use super::part::Scene;
use super::security::needs;
use super::{LaunchError, environment, labels, limits, refused};

/// Where a volume's content is.
enum Source {
    /// A volume of the engine.
    Named(String),
    /// Memory, of so many bytes at most.
    Memory(Option<i64>),
    /// A folder of the host.
    Host(String),
    /// Files that are put there.
    Files(Vec<File>),
}

/// The volumes of a pod.
#[derive(Default)]
pub(super) struct Volumes {
    sources: HashMap<String, Source>,
    /// What the engine has to make before.
    pub(super) made: Vec<VolumeCreateRequest>,
}

/// What a container gets of them.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<Mount>,
    pub(super) uploads: Vec<Upload>,
}

impl Volumes {
    /// Reads the volumes of a pod. `mounts` are those of all its containers.
    pub(super) fn of(
        scene: &Scene<'_>,
        written: &[Value],
        mounts: &[&VolumeMount],
    ) -> Result<Self, LaunchError> {
        let mut all = Self::default();
        for volume in written {
            let name = volume["name"].as_str().unwrap_or_default();
            let users = mounts.iter().filter(|mount| mount.name == name).count();
            if users > 0 {
                let source = all.source(scene, name, volume, users)?;
                all.sources.insert(name.to_owned(), source);
            }
        }
        Ok(all)
    }

    fn source(
        &mut self,
        scene: &Scene<'_>,
        name: &str,
        volume: &Value,
        users: usize,
    ) -> Result<Source, LaunchError> {
        let members = volume.as_object().into_iter().flatten();
        let kind = members.map(|(kind, _)| kind.as_str()).find(|kind| *kind != "name").unwrap_or("emptyDir");
        let said = &volume[kind];
        match kind {
            "emptyDir" => {
                let size = said["sizeLimit"].as_str().and_then(limits::amount).map(limits::whole);
                // The engine's memory is one container's: what several share is on the disk.
                if said["medium"] == "Memory" && users == 1 {
                    return Ok(Source::Memory(size));
                }
                let named = format!("{}{}-{name}", scene.config.prefix, scene.pod.key);
                self.make(&named, labels::of_pod(scene.config, scene.pod, labels::VOLUME));
                Ok(Source::Named(named))
            }
            "hostPath" if scene.config.trust_manifests && !scene.config.restricted => {
                Ok(Source::Host(said["path"].as_str().unwrap_or_default().to_owned()))
            }
            "hostPath" => Err(LaunchError::NotAllowed(needs("a volume of hostPath"))),
            "secret" | "configMap" | "downwardAPI" | "projected" => {
                files(scene, name, volume).map(Source::Files)
            }
            "persistentVolumeClaim" => self.claim(scene, said["claimName"].as_str().unwrap_or_default()),
            other => Err(LaunchError::NotAllowed(refused(&format!("a volume of {other}")))),
        }
    }

    /// A claim of the workflow is a volume that its pods share.
    fn claim(&mut self, scene: &Scene<'_>, claim: &str) -> Result<Source, LaunchError> {
        let pod = scene.pod;
        let own = |template: &Value| {
            let name = template["metadata"]["name"].as_str().unwrap_or_default();
            format!("{}-{name}", pod.workflow) == claim
        };
        if !pod.pod.claims.iter().any(own) {
            return Err(LaunchError::NotAllowed(format!(
                "persistentVolumeClaim {claim} is none of the workflow's volumeClaimTemplates, and containers of Docker \
                 have no others; declare it there"
            )));
        }
        let named = format!("{}{}-{claim}", scene.config.prefix, pod.namespace);
        self.make(&named, labels::of_workflow(scene.config, pod, labels::CLAIM));
        Ok(Source::Named(named))
    }

    fn make(&mut self, name: &str, labels: HashMap<String, String>) {
        let request =
            VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
        self.made.push(request);
    }

    /// What a container gets.
    pub(super) fn mounted(
        &self,
        container: &Container,
        read_only_root: bool,
    ) -> Result<Mounted, LaunchError> {
        let mut all = Mounted::default();
        if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
            return Err(LaunchError::NotAllowed(refused("volumeDevices")));
        }
        for mount in container.volume_mounts.iter().flatten() {
            self.mount(mount, read_only_root, &mut all)?;
        }
        Ok(all)
    }

    fn mount(
        &self,
        wanted: &VolumeMount,
        read_only_root: bool,
        all: &mut Mounted,
    ) -> Result<(), LaunchError> {
        let not = |what: &str| LaunchError::NotAllowed(refused(what));
        let Some(source) = self.sources.get(&wanted.name) else {
            return Err(LaunchError::Missing(format!("there is no volume '{}'", wanted.name)));
        };
        if wanted.sub_path_expr.is_some() {
            return Err(not("subPathExpr"));
        }
        if wanted.mount_propagation.as_deref().is_some_and(|how| how != "None") {
            return Err(not("mountPropagation"));
        }
        let sub_path = wanted.sub_path.as_deref().filter(|path| !path.is_empty());
        let mut mount = Mount {
            target: Some(wanted.mount_path.clone()),
            read_only: wanted.read_only,
            ..Mount::default()
        };
        match source {
            Source::Files(files) => {
                return place(files, wanted, sub_path, read_only_root, all);
            }
            Source::Host(path) => {
                mount.typ = Some(MountType::BIND);
                mount.source = Some(match sub_path {
                    Some(part) if part.split('/').all(|name| name != "..") => format!("{path}/{part}"),
                    Some(_) => return Err(not("a subPath with `..`")),
                    None => path.clone(),
                });
            }
            _ if sub_path.is_some() => return Err(not("subPath of a volume that is no file of the host")),
            Source::Named(name) => {
                mount.typ = Some(MountType::VOLUME);
                mount.source = Some(name.clone());
            }
            Source::Memory(size) => {
                mount.typ = Some(MountType::TMPFS);
                let options = MountTmpfsOptions { size_bytes: *size, mode: Some(0o1777), options: None };
                mount.tmpfs_options = Some(options);
            }
        }
        all.mounts.push(mount);
        Ok(())
    }
}

/// Files go into the container's own layer; where that cannot be written, into a volume that goes with it.
fn place(
    files: &[File],
    wanted: &VolumeMount,
    sub_path: Option<&str>,
    read_only_root: bool,
    all: &mut Mounted,
) -> Result<(), LaunchError> {
    let target = wanted.mount_path.trim_end_matches('/').to_owned();
    if let Some(part) = sub_path {
        let file = files.iter().find(|file| file.path == part).cloned();
        let Some(file) = file.filter(|_| !read_only_root) else {
            return Err(LaunchError::NotAllowed(refused(&format!(
                "subPath {part} of volume {} here (a single file that is there, below a root that can be written)",
                wanted.name
            ))));
        };
        all.uploads.push(Upload { path: "/".into(), files: vec![File { path: target, ..file }] });
        return Ok(());
    }
    if read_only_root {
        let volume = Mount { target: Some(target.clone()), typ: Some(MountType::VOLUME), ..Mount::default() };
        all.mounts.push(volume);
        all.uploads.push(Upload { path: target, files: files.to_vec() });
    } else {
        let below = |file: &File| File { path: format!("{target}/{}", file.path), ..file.clone() };
        all.uploads.push(Upload { path: "/".into(), files: files.iter().map(below).collect() });
    }
    Ok(())
}

/// The files of a volume that holds Secrets, ConfigMaps or fields of the pod.
fn files(scene: &Scene<'_>, name: &str, volume: &Value) -> Result<Vec<File>, LaunchError> {
    let secret = scene.secrets.files.get(name).into_iter().flatten();
    let mut all: Vec<File> = secret
        .map(|file| File::plain(&file.path, file.mode, file.content.expose_secret().as_bytes().to_vec()))
        .collect();
    let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
    let fields =
        [&volume["downwardAPI"]].into_iter().chain(sources.clone().map(|source| &source["downwardAPI"]));
    for item in fields.flat_map(|source| source["items"].as_array().into_iter().flatten()) {
        let field = item["fieldRef"]["fieldPath"].as_str().unwrap_or_default();
        let Some(value) = environment::field(scene, field) else {
            return Err(LaunchError::NotAllowed(refused(&format!("downwardAPI field {field:?}"))));
        };
        all.push(File::plain(item["path"].as_str().unwrap_or_default(), 0o644, value.into_bytes()));
    }
    for (kind, _) in sources.filter_map(Value::as_object).flatten() {
        if !["secret", "configMap", "downwardAPI"].contains(&kind.as_str()) {
            return Err(LaunchError::NotAllowed(refused(&format!("a projected volume of {kind}"))));
        }
    }
    Ok(all)
}
