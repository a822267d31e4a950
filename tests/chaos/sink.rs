//! A receiver of HTTP triggers that counts for itself.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What came, by the number in the body: the firings' ids.
type Came = Arc<Mutex<Vec<(usize, String)>>>;

/// Answers each request with 200 and remembers it.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) url: String,
    came: Came,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let came = Came::default();
        let keeps = Arc::clone(&came);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let came = Arc::clone(&keeps);
                thread::spawn(move || while serve(&stream, &came).is_some() {});
            }
        });
        Self { url, came }
    }

    /// Each number with the firing that brought it, once for each time that it came.
    pub(crate) fn found(&self) -> Vec<(usize, String)> {
        self.came.lock().unwrap().clone()
    }
}

/// One request; nothing at the end of the connection.
fn serve(stream: &TcpStream, came: &Came) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let number = body["number"].as_u64().or_else(|| body["number"].as_str()?.parse().ok())?;
    let firing = headers.get("idempotency-key").cloned().unwrap_or_default();
    came.lock().unwrap().push((usize::try_from(number).ok()?, firing));
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}
