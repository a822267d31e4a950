//! Azurite speaks as Azure Blob Storage does, and knows right keys from wrong ones. It keeps everything in memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Process, free_port, missing, program, until};

/// A running Azurite.
#[derive(Debug)]
pub struct Azurite {
    _process: Process,
    port: u16,
}

impl Azurite {
    /// The account that it knows.
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// The account's key, which is public and the same everywhere.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// URL of the account.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)
    }
}

/// Starts an Azurite.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn azurite() -> Option<Azurite> {
    let Some(path) = program("azurite-blob") else {
        missing("azurite-blob");
        return None;
    };
    let port = free_port();
    let mut command = Command::new(path);
    command.args(["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    let process = started(command, "Azurite", port);
    Some(Azurite { _process: process, port })
}

fn started(mut command: Command, name: &str, port: u16) -> Process {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut process = Process(child.unwrap_or_else(|error| panic!("{name} starts: {error}")));
    until(name, || {
        assert!(process.0.try_wait().expect("a status").is_none(), "{name} ended");
        speaks(port)
    });
    process
}

/// Whether it speaks HTTP, whatever it says.
fn speaks(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut start = [0_u8; 5];
    stream.read_exact(&mut start).ok()?;
    (&start == b"HTTP/").then_some(())
}
