//! Images without a registry: folders as archives that containerd imports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::docker::run;
use crate::program;

/// What holds a pod's namespaces.
pub(super) const PAUSE: &str = "docker.io/library/pause:1";

/// Makes an archive of a folder, as `docker save` would: one layer, owned by root. `config` is what a Dockerfile says, in
/// the words of the image's configuration: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`. Gives the archive.
///
/// # Panics
/// When it cannot.
#[must_use]
pub fn image(into: &Path, names: &[&str], folder: &Path, config: &Value) -> PathBuf {
    let parts = tempfile::tempdir_in(into).expect("a folder");
    let write = |name: &str, content: &Value| {
        std::fs::write(parts.path().join(name), content.to_string()).expect("a part of an image");
    };
    let layer = parts.path().join("layer.tar");
    let tar = |archive: &Path, folder: &Path| {
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "-cf"]).arg(archive).arg("-C").arg(folder);
        tar
    };
    run(tar(&layer, folder).arg("."));
    let described = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        "history": [{"created_by": "a test"}],
    });
    write("config.json", &described);
    let list = json!([{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]);
    write("manifest.json", &list);
    let name = names.first().expect("a name").replace(['/', ':'], "-");
    let archive = into.join(format!("{name}.tar"));
    run(tar(&archive, parts.path()).args(["manifest.json", "config.json", "layer.tar"]));
    archive
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(file: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(file).expect("a layer")))
}

/// A small system with every command that busybox has: a folder to build images upon.
///
/// # Panics
/// When there is no busybox.
pub fn busybox_folder(folder: &Path) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    for name in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "var", "run", "home"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let everybody = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(folder.join("tmp"), everybody).expect("a mode");
    let busybox = program("busybox").expect("busybox");
    std::fs::copy(&busybox, folder.join("bin/busybox")).expect("a copy");
    for name in run(Command::new(&busybox).arg("--list")).lines().filter(|name| *name != "busybox") {
        symlink("busybox", folder.join("bin").join(name)).expect("a link");
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n";
    std::fs::write(folder.join("etc/passwd"), users).expect("users");
    std::fs::write(folder.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").expect("groups");
}

/// The images that every node has: what holds a pod, and busybox.
pub(super) fn own(into: &Path) -> [PathBuf; 2] {
    let system = tempfile::tempdir_in(into).expect("a folder");
    busybox_folder(system.path());
    let environment = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let busybox = json!({"Cmd": ["/bin/sh"], "Env": [environment]});
    // It is never asked to end: containerd kills it.
    let pause = json!({"Entrypoint": ["/bin/sleep", "2000000000"], "User": "65535:65535"});
    [
        image(into, &[PAUSE], system.path(), &pause),
        image(into, &["busybox:1", "busybox:latest"], system.path(), &busybox),
    ]
}
