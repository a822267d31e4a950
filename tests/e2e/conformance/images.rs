//! The images that the workflows name, without a registry: each holds a shell and its tools, and in the place of the program
//! that it is known for a few lines of shell.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tiphys_servers::kubernetes::{self, Kubernetes};
use tiphys_servers::{Docker, docker};

use crate::pods;

/// Images that are run in the same way.
struct Image {
    names: &'static [&'static str],
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
}

const IMAGES: [Image; 3] = [
    Image {
        names: &[
            "busybox:1",
            "busybox:latest",
            "alpine:latest",
            "alpine:3.23",
            "alpine:3.7",
            "alpine:3.6",
            "debian:latest",
            "debian:12-slim",
            "debian:9.1",
            "debian:8.9",
            "ubuntu:17.10",
            "curlimages/curl:latest",
            "docker/whalesay:latest",
            "argoproj/argosay:v1",
        ],
        entrypoint: &[],
        command: &["sh"],
    },
    Image { names: &[ARGOSAY], entrypoint: &["argosay"], command: &[] },
    Image { names: &["nginx:1.13"], entrypoint: &[], command: &["nginx", "-g", "daemon off;"] },
];

const ARGOSAY: &str = "argoproj/argosay:v2";

const PROGRAMS: [(&str, &str); 5] = [
    (
        "argosay",
        "#!/bin/sh
case \"${1:-}\" in
  '') echo 'hello argo' ;;
  echo) if [ $# -gt 2 ]; then mkdir -p \"$(dirname \"$3\")\"; printf '%s' \"$2\" > \"$3\"; else printf '%s\\n' \"${2:-}\"; fi ;;
  cat) shift; exec cat \"$@\" ;;
  sleep) exec sleep \"$2\" ;;
  exit) exit \"${2:-0}\" ;;
  *) echo \"argosay: $1\" >&2; exit 64 ;;
esac
",
    ),
    ("bash", "#!/bin/sh\nexec sh \"$@\"\n"),
    ("cowsay", "#!/bin/sh\necho \"< $* >\"\n"),
    ("curl", "#!/bin/sh\nfor address; do :; done\nexec wget -q -O - \"$address\"\n"),
    (
        "nginx",
        "#!/bin/sh\nmkdir -p /www\necho 'Welcome to nginx!' > /www/index.html\nexec httpd -f -p 80 -h /www\n",
    ),
];

/// Writes the programs that a host lacks.
pub(super) fn programs(folder: &Path, names: &[&str]) {
    for (name, text) in PROGRAMS.iter().filter(|(name, _)| names.contains(name)) {
        let place = folder.join(name);
        std::fs::write(&place, text).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What all of [`IMAGES`] hold.
fn system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    kubernetes::busybox_folder(folder.path());
    programs(&folder.path().join("bin"), &PROGRAMS.map(|(name, _)| name));
    std::fs::write(folder.path().join("etc/os-release"), "NAME=\"a test\"\n").unwrap();
    folder
}

/// Gives all images to a node.
pub(super) fn to_node(cluster: &Kubernetes) {
    let system = system();
    for image in &IMAGES {
        let config = json!({"Entrypoint": image.entrypoint, "Cmd": image.command, "Env": ["PATH=/bin"]});
        let place = tempfile::tempdir().unwrap();
        cluster.import(&kubernetes::image(place.path(), image.names, system.path(), &config));
    }
}

/// Gives all images to an engine, those of our own examples among them.
pub(super) fn to_engine(engine: &Docker) {
    let system = system();
    for image in &IMAGES {
        let changes = [
            format!("ENTRYPOINT {}", json!(image.entrypoint)),
            format!("CMD {}", json!(image.command)),
            "ENV PATH=/bin".to_owned(),
        ];
        import(engine, system.path(), image.names, &changes);
    }
    let tools = tempfile::tempdir().unwrap();
    pods::system(tools.path());
    for name in pods::IMAGES {
        let settings = pods::settings(name);
        let text = |key: &str| settings[key].as_str().unwrap().to_owned();
        let mut changes = vec![format!("ENTRYPOINT {}", settings["Entrypoint"])];
        changes.extend([format!("USER {}", text("User")), format!("WORKDIR {}", text("WorkingDir"))]);
        let environment = settings["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
        changes.extend(environment.map(|variable| format!("ENV {variable}")));
        import(engine, tools.path(), &[name], &changes);
    }
}

fn import(engine: &Docker, folder: &Path, names: &[&str], changes: &[String]) {
    let [first, others @ ..] = names else { return };
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    engine.import_folder(folder, first, &changes);
    for other in others {
        docker::run(&mut engine.docker(&["tag", first, other]));
    }
}

/// What images run by themselves, as `--images` is told.
pub(super) fn commands() -> String {
    json!({ARGOSAY: {"entrypoint": ["argosay"]}}).to_string()
}
