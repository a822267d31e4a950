//! A Docker engine that nobody else has: its folder, its socket, and a network of its own, so that its bridges and rules
//! never touch the machine's. It asks no registry for anything: images are imported and built.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::{forbidden, missing, program, tools, until};

/// Where the engine's usual network has its address: there containers reach what is started within.
pub const BRIDGE: &str = "172.30.99.1";

/// A running engine.
#[derive(Debug)]
pub struct Docker {
    child: Child,
    folder: TempDir,
    /// It outlives the engine, as on a machine: containers that go on without it are there.
    network: File,
    arguments: Vec<String>,
}

/// Starts an engine; only root can.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn docker() -> Option<Docker> {
    docker_with(&[])
}

/// The same, with further arguments.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn docker_with(arguments: &[&str]) -> Option<Docker> {
    let needed = ["dockerd", "docker", "docker-compose", "busybox", "nats-server", "unshare", "ip"];
    let absent = needed.into_iter().find(|name| program(name).is_none());
    let absent = absent.or_else(|| debian().is_none().then_some("an archive of Debian"));
    let absent = absent.or_else(|| (!rustix::process::geteuid().is_root()).then_some("root"));
    if let Some(name) = absent {
        missing(&format!("{name}, for containers,"));
        return None;
    }
    if !may_have_networks() {
        forbidden(
            "no Docker engine can run here: not even root may make a network namespace. Run the tests on a machine, or in a \
             container with CAP_SYS_ADMIN",
        );
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let mut child = launch(Command::new("unshare").args(["--net", "sh"]), folder.path(), &arguments);
    wait(&mut child, folder.path());
    let network = File::open(format!("/proc/{}/ns/net", child.id())).expect("the engine's network");
    Some(Docker { child, folder, network, arguments })
}

/// Whether the kernel allows what an engine needs: nothing that could be installed helps where it does not.
fn may_have_networks() -> bool {
    let tried = Command::new("unshare").args(["--net", "--mount", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// A Debian as an archive, for images to be built upon.
fn debian() -> Option<PathBuf> {
    tools().map(|tools| tools.join("debian.tar")).filter(|file| file.is_file())
}

impl Docker {
    /// Makes the images that are taken from a registry elsewhere: Debian, and NATS as its image is built on Alpine.
    ///
    /// # Panics
    /// When it cannot.
    pub fn import_public(&self) {
        self.import(&debian().expect("Debian"), "debian:bookworm-slim", &[]);
        let nats = self.folder.path().join("nats");
        std::fs::create_dir_all(nats.join("bin")).expect("a folder");
        for (name, path) in [("busybox", "bin/busybox"), ("nats-server", "bin/nats-server")] {
            std::fs::copy(program(name).expect(name), nats.join(path)).expect("a copy");
        }
        for name in ["sh", "wget"] {
            std::os::unix::fs::symlink("busybox", nats.join("bin").join(name)).expect("a link");
        }
        self.import_folder(&nats, "nats:2.12-alpine", &["ENTRYPOINT [\"nats-server\"]"]);
    }

    /// Makes an image of busybox: a shell and the usual programs, `/tmp`, and the users root and nobody.
    ///
    /// # Panics
    /// When it cannot.
    pub fn import_busybox(&self, image: &str) {
        let (root, busybox) = (self.folder.path().join("busybox"), program("busybox").expect("busybox"));
        for folder in ["bin", "etc", "tmp", "root"] {
            std::fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        std::fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).expect("permissions");
        std::fs::copy(&busybox, root.join("bin/busybox")).expect("a copy");
        for name in run(Command::new(&busybox).arg("--list")).lines().filter(|name| *name != "busybox") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
        }
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
        std::fs::write(root.join("etc/passwd"), users).expect("users");
        std::fs::write(root.join("etc/group"), "root:x:0:\nnobody:x:65534:\n").expect("groups");
        self.import_folder(&root, image, &["CMD [\"sh\"]", "ENV PATH=/bin"]);
    }

    /// Ends the engine as a machine does, and starts it again on what it has kept. Containers end with it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        self.start();
    }

    /// Ends the engine at once, as `kill -9` does, and with it its containerd. Containers go on without them.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn kill(&mut self) {
        let note = self.folder.path().join("exec/containerd/containerd.pid");
        let containerd = std::fs::read_to_string(&note).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        until("the end of containerd", || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", containerd.trim()));
            state.map_or(true, |state| state.contains(") Z ")).then_some(())
        });
        // Where nobody buries orphans, the next engine would take it for alive.
        let _ = std::fs::remove_file(note);
    }

    /// Starts an engine that was killed on what it has kept. What containers still run it takes up where it was given
    /// `--live-restore`, and ends otherwise.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self) {
        self.child = self.within(|| launch(&mut Command::new("sh"), self.folder.path(), &self.arguments));
        wait(&mut self.child, self.folder.path());
    }

    /// Where it listens, as `DOCKER_HOST` says it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", socket(self.folder.path()).display())
    }

    /// Makes an image of a folder.
    ///
    /// # Panics
    /// When it cannot.
    pub fn import_folder(&self, folder: &Path, image: &str, changes: &[&str]) {
        let archive = self.folder.path().join("image.tar");
        let mut tar = Command::new("tar");
        run(tar.arg("-C").arg(folder).args(["--owner=0", "--group=0", "-cf"]).arg(&archive).arg("."));
        self.import(&archive, image, changes);
    }

    fn import(&self, archive: &Path, image: &str, changes: &[&str]) {
        let mut import = self.docker(&["import"]);
        for change in changes {
            import.args(["--change", change]);
        }
        run(import.arg(archive).arg(image));
    }

    /// A command of the client.
    #[must_use]
    pub fn docker(&self, arguments: &[&str]) -> Command {
        // Debian's own can build with BuildKit; others need a plugin for that.
        let own = PathBuf::from("/usr/bin/docker");
        let client = if own.is_file() { own } else { program("docker").expect("docker") };
        self.command(&client, arguments)
    }

    /// A command of compose.
    #[must_use]
    pub fn compose(&self, arguments: &[&str]) -> Command {
        self.command(&program("docker-compose").expect("docker-compose"), arguments)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_BUILDKIT", "1")
            .stdin(Stdio::null());
        command
    }

    /// Does something where the published ports are.
    ///
    /// # Panics
    /// When `act` panics.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let acted = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.network.as_fd(), kind).expect("the engine's network");
                act()
            });
            inside.join()
        });
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Docker {
    /// The engine ends its own child, and takes back its mounts, only when it is asked.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            // Killed, and its containers may go on.
            self.child = self.within(|| launch(&mut Command::new("sh"), self.folder.path(), &self.arguments));
            let socket = socket(self.folder.path());
            let tries = std::iter::repeat_with(|| answers(&socket)).take(100);
            let _ = tries.inspect(|_| std::thread::sleep(Duration::from_millis(100))).find(Option::is_some);
        }
        let listed = self.docker(&["ps", "--all", "--quiet"]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let containers: Vec<String> = listed.unwrap_or_default().lines().map(str::to_owned).collect();
        if !containers.is_empty() {
            let _ = self.docker(&["rm", "--force"]).args(containers).stdout(Stdio::null()).status();
        }
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let folder = self.folder.path().display().to_string();
        // What an engine that was killed knows no more of.
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes.filter(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            command.starts_with(b"/usr/bin/containerd-shim")
                && String::from_utf8_lossy(&command).contains(&folder)
        }) {
            let _ = Command::new("kill").arg("-9").arg(process.file_name()).status();
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in ours.filter(|mount| mount.starts_with(&folder)).collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").arg(mount).status();
        }
    }
}

/// Runs a command to its end; gives standard output.
///
/// # Panics
/// When it fails, with what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    let [out, err] = [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

/// Starts an engine by a shell that is in its network.
fn launch(shell: &mut Command, folder: &Path, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    // `ip netns exec` would mount another /sys over the control groups.
    let script = "ip link set lo up && sysctl -qw net.ipv4.ip_forward=1 && exec dockerd \"$@\"";
    let at = |name: &str| folder.join(name).display().to_string();
    shell
        .args(["-c", script, "dockerd"])
        .args(["--host", &format!("unix://{}", socket(folder).display())])
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
        .args(["--bip", &format!("{BRIDGE}/24"), "--dns", "127.0.0.1", "--log-level", "warn"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("dockerd starts")
}

fn wait(child: &mut Child, folder: &Path) {
    let socket = socket(folder);
    until("the Docker engine", || {
        if let Some(status) = child.try_wait().expect("a status") {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("dockerd ended: {status}: {log}");
        }
        answers(&socket)
    });
}

/// Whether it says that it is well.
fn answers(socket: &Path) -> Option<()> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").ok()?;
    let mut start = [0_u8; 12];
    stream.read_exact(&mut start).ok()?;
    start.ends_with(b" 200").then_some(())
}
