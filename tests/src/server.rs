//! A running `tiphys dev` on a data folder of its own.
#![expect(clippy::expect_used, reason = "a test that cannot start its server has failed")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{binary, until};

/// A server, killed when it is dropped.
pub struct Server {
    child: Option<Child>,
    manifests: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: PathBuf,
    folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    /// Starts on manifests, which are copied so that a test may change them.
    #[must_use]
    pub fn start(manifests: &Path) -> Self {
        Self::with(manifests, &[], &[])
    }

    /// Starts on manifests given as text, one file.
    #[must_use]
    pub fn on(manifest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("all.yaml"), manifest).expect("a manifest");
        Self::start(folder.path())
    }

    /// Starts with further arguments and variables.
    #[must_use]
    pub fn with(manifests: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("manifests");
        copy_folder(manifests, &copy);
        let mut server = Self {
            child: None,
            manifests: copy,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            environment: environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            data: folder.path().join("data"),
            folder,
        };
        server.run();
        server
    }

    /// Speaks to a server that somebody else starts on `folder`, as its data folder.
    #[must_use]
    pub fn elsewhere(folder: tempfile::TempDir) -> Self {
        Self {
            child: None,
            manifests: folder.path().join("manifests"),
            arguments: Vec::new(),
            environment: Vec::new(),
            data: folder.path().to_owned(),
            folder,
        }
    }

    /// Starts it again on the same data.
    pub fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log file");
        let _ = std::fs::remove_file(self.data.join("server.json"));
        let child = Command::new(binary())
            .arg("dev")
            // Objects of a cluster leave no folder to be read.
            .args(self.arguments.iter().all(|a| a != "--catalog").then_some(&self.manifests))
            .arg("--data")
            .arg(&self.data)
            .args(
                self.arguments.iter().all(|a| a != "--port").then_some(["--port", "0"]).into_iter().flatten(),
            )
            .args(&self.arguments)
            // Whoever runs the tests may have an engine, which is not theirs.
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
        until("server.json", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", self.log());
            self.data.join("server.json").exists().then_some(())
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// One Ctrl-C, and the end waited for. Returns whether it ended well.
    pub fn interrupt(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
        child.wait().is_ok_and(|status| status.success())
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The manifests that it reads.
    #[must_use]
    pub fn manifests(&self) -> &Path {
        &self.manifests
    }

    /// Everything that it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("server.json")).expect("server.json");
        let server: Value = serde_json::from_str(&text).expect("server.json is JSON");
        server["address"].as_str().expect("an address").trim_start_matches("http://").to_owned()
    }

    /// The API's token.
    #[must_use]
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("token")).expect("a token").trim().to_owned()
    }

    /// Sends raw bytes, and reads the answer; the connection is closed after it.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn raw(&self, request: &[u8]) -> std::io::Result<Answer> {
        exchange(&self.authority(), request)
    }

    /// A request with a body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let authority = self.authority();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        exchange(&authority, &[request.as_bytes(), body].concat())
    }

    /// A streamed answer, as it comes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn open(&self, path: &str) -> std::io::Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.authority())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (authority, token) = (self.authority(), self.token());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n")?;
        Ok(BufReader::new(stream))
    }

    /// The first line of a streamed answer that begins so, without its beginning; the stream is left then.
    ///
    /// # Errors
    /// When the connection breaks, or ends without one.
    pub fn first_line(&self, path: &str, beginning: &str) -> std::io::Result<String> {
        for line in self.open(path)?.lines() {
            if let Some(rest) = line?.strip_prefix(beginning) {
                return Ok(rest.to_owned());
            }
        }
        Err(std::io::Error::other("the stream ended early"))
    }

    /// Posts JSON to a canonical webhook address of the namespace `default`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn post(&self, source: &str, event: &str, body: &Value) -> std::io::Result<Answer> {
        let path = format!("/events/default/{source}/{event}");
        self.send("POST", &path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Asks the API.
    #[must_use]
    pub fn api(&self, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.token());
        let answer = self.send("GET", path, &[("Authorization", &bearer)], b"").expect("the API answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("the API answers JSON")
    }

    /// Runs the command line against it.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .arg("--data")
            .arg(&self.data)
            .current_dir(crate::root())
            .stdin(Stdio::null())
            .output()
            .expect("the command line runs")
    }

    /// Runs the command line, and wants success; gives standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "tiphys {arguments:?}: {}\n{}{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the command line with `-o json`.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// All workflows of the namespace `default`.
    #[must_use]
    pub fn workflows(&self) -> Vec<Value> {
        let mut list = self.json(&["list"]);
        serde_json::from_value(list["items"].take()).unwrap_or_default()
    }

    /// Waits until there are `count` workflows and all have ended.
    #[must_use]
    pub fn ended(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} ended workflows; {}", self.data.display()), || {
            let all = self.workflows();
            let ended = all.iter().filter(|w| w["status"]["finishedAt"].is_string()).count();
            (all.len() >= count && ended == all.len()).then_some(all)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
        self.kill();
    }
}

/// Sends raw bytes to an address, and reads the answer.
///
/// # Errors
/// When the connection breaks.
pub fn exchange(authority: &str, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut chunk = [0u8; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..read]);
        if read == 0 || complete(&answer) {
            break;
        }
    }
    parse(&answer).ok_or_else(|| std::io::Error::other("the answer ended early"))
}

/// Whether headers and, by its stated length, body are there.
fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Some(Answer { status, headers, body })
}

fn unchunk(body: &str) -> String {
    let (mut rest, mut out) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        out.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    out
}

/// Copies a folder and all that is in it.
///
/// # Panics
/// When it cannot.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of manifests") {
        let entry = entry.expect("an entry").path();
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy_folder(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).expect("a copy");
        }
    }
}
