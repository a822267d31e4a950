//! Programs of this machine in the place of images that are known for them: Python, jq and Node.js, where it has them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tiphys_servers::docker::run;
use tiphys_servers::program;

use super::images::executable;
use crate::pods;

/// What the examples throw dice with is loaded: each choice is the first, everywhere and each time.
const LOADED: &str = "import random
random.choice = lambda choices: choices[0]
random.randint = lambda low, high: low
";
/// Takes whatever is asked of it, as a database that keeps nothing.
const INFLUXD: &str = "#!/bin/sh
exec python -c '
import http.server, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get(\"Content-Length\", 0)))
        self.send_response(200)
        self.end_headers()
    do_POST = do_GET
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer((\"\", 8086), Answer).serve_forever()
'
";

/// A Python: its program, and the folder of what comes with it.
struct Python {
    program: PathBuf,
    library: PathBuf,
}

/// None where the machine has none.
fn python() -> Option<&'static Python> {
    static FOUND: OnceLock<Option<Python>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let ask = "import sys, sysconfig; print(sys.executable); print(sysconfig.get_path('stdlib'))";
        let told = Command::new(program("python3")?).args(["-c", ask]).output().ok()?;
        let told = String::from_utf8(told.stdout).ok()?;
        let mut lines = told.lines().map(PathBuf::from);
        Some(Python { program: lines.next()?.canonicalize().ok()?, library: lines.next()? })
    });
    found.as_ref()
}

/// Images that can be stood for here, in the words of the corpus's list.
pub(super) fn images() -> Vec<&'static str> {
    let known = [
        ("p", python().is_some()),
        ("i", python().is_some()),
        ("jq", program("jq").is_some()),
        ("nd", program("node").is_some()),
    ];
    known.into_iter().filter(|(_, here)| *here).map(|(name, _)| name).collect()
}

/// Puts into a folder of programs what runs this machine's Python by its short name. `folder` is where it will be.
pub(super) fn short(into: &Path, folder: &str) {
    let Some(python) = python() else { return };
    let dice = into.join("dice");
    std::fs::create_dir_all(&dice).unwrap();
    std::fs::write(dice.join("sitecustomize.py"), LOADED).unwrap();
    let program = python.program.display();
    let text =
        format!("#!/bin/sh\nPYTHONPATH={folder}/dice PYTHONDONTWRITEBYTECODE=1 exec {program} \"$@\"\n");
    executable(&into.join("python"), &text);
}

/// Puts all of them into the folder of an image, and what they need.
pub(super) fn fill(folder: &Path) {
    short(&folder.join("bin"), "/bin");
    executable(&folder.join("bin/influxd"), INFLUXD);
    if let Some(python) = python() {
        place(folder, &python.program);
        let script = "tar -C / -c --exclude=site-packages --exclude=dist-packages --exclude=test --exclude='config-*' \
            --exclude=idlelib --exclude=sitecustomize.py \"$1\" | tar -C \"$2\" -x";
        let library = python.library.strip_prefix("/").unwrap();
        run(Command::new("sh").args(["-c", script, "sh"]).arg(library).arg(folder));
        let modules = std::fs::read_dir(python.library.join("lib-dynload")).into_iter().flatten();
        modules.for_each(|module| pods::libraries(folder, &module.unwrap().path()));
    }
    for (name, program) in ["jq", "node"].into_iter().filter_map(|name| Some((name, program(name)?))) {
        let program = program.canonicalize().unwrap();
        place(folder, &program);
        let link = folder.join("bin").join(name);
        if !folder.join(program.strip_prefix("/").unwrap()).starts_with(link.parent().unwrap()) {
            std::os::unix::fs::symlink(&program, link).unwrap();
        }
    }
}

/// A program and its libraries, where they are on this machine.
fn place(folder: &Path, program: &Path) {
    let to = folder.join(program.strip_prefix("/").unwrap());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(program, to).unwrap();
    pods::libraries(folder, program);
}
