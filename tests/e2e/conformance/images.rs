//! The images that the workflows name, without a registry: each holds a shell and its tools, and in the place of the program
//! that it is known for a few lines of shell.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tiphys_servers::kubernetes::{self, Kubernetes};
use tiphys_servers::{Docker, docker};

use super::{corpus, machine};
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

/// Those for which this machine's own programs stand; see [`machine`].
const MACHINE: Image = Image {
    names: &["python:alpine3.23", "influxdb:1.2", "node:9.1-alpine", "stedolan/jq:latest"],
    entrypoint: &[],
    command: &["influxd"],
};

/// Where images have their programs.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const ARGOSAY: &str = "argoproj/argosay:v2";

const PROGRAMS: [(&str, &str); 6] = [
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
    ("apk", "#!/bin/sh\necho 'Everything is here already.'\n"),
    (
        "curl",
        "#!/bin/sh
given=
query=
while [ $# -gt 0 ]; do
  case $1 in
    -d | --data-urlencode) given=\"$given$2\"; shift ;;
    -X) shift ;;
    -G) query=yes ;;
    -*) ;;
    *) address=$1 ;;
  esac
  shift
done
if [ \"$given\" ] && [ ! \"$query\" ]; then set -- --post-data \"$given\"; fi
exec wget -q -O - \"$@\" \"$address\"
",
    ),
    (
        "nginx",
        "#!/bin/sh\nmkdir -p /www\necho 'Welcome to nginx!' > /www/index.html\nexec httpd -f -p 80 -h /www\n",
    ),
];

/// Writes the programs that a host lacks.
pub(super) fn programs(folder: &Path, names: &[&str]) {
    for (name, text) in PROGRAMS.iter().filter(|(name, _)| names.contains(name)) {
        executable(&folder.join(name), text);
    }
}

/// Writes a program.
pub(super) fn executable(place: &Path, text: &str) {
    std::fs::write(place, text).unwrap();
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// All images, each with the folder of its kind. Those of the machine are large, and only the corpus names them.
fn all() -> Vec<(&'static Image, Rc<TempDir>)> {
    let small = Rc::new(system());
    let mut all: Vec<_> = IMAGES.iter().map(|image| (image, Rc::clone(&small))).collect();
    if corpus::wanted().is_some() {
        let large = system();
        machine::fill(large.path());
        all.push((&MACHINE, Rc::new(large)));
    }
    all
}

/// What all of [`IMAGES`] hold.
fn system() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    kubernetes::busybox_folder(folder.path());
    programs(&folder.path().join("bin"), &PROGRAMS.map(|(name, _)| name));
    std::fs::create_dir(folder.path().join("mnt")).unwrap();
    // Argo's own is known by its place.
    std::os::unix::fs::symlink("bin/argosay", folder.path().join("argosay")).unwrap();
    std::fs::write(folder.path().join("etc/os-release"), "NAME=\"a test\"\n").unwrap();
    folder
}

/// Gives all images to a node.
pub(super) fn to_node(cluster: &Kubernetes) {
    for (image, system) in all() {
        let config = json!({"Entrypoint": image.entrypoint, "Cmd": image.command, "Env": [PATH]});
        let place = tempfile::tempdir().unwrap();
        cluster.import(&kubernetes::image(place.path(), image.names, system.path(), &config));
    }
}

/// Gives all images to an engine, those of our own examples among them.
pub(super) fn to_engine(engine: &Docker) {
    for (image, system) in all() {
        let changes = [
            format!("ENTRYPOINT {}", json!(image.entrypoint)),
            format!("CMD {}", json!(image.command)),
            format!("ENV {PATH}"),
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
