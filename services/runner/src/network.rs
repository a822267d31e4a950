//! What the runner does besides running steps: it holds a network for others, and asks whether a server is ready.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Whoever asks gives up sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does nothing until it is told to end.
#[must_use]
pub fn pause() -> i32 {
    // The first process of a container gets no signal that it does not wait for.
    match until_told() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("tiphys-runner pause: {error}");
            1
        }
    }
}

fn until_told() -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    ours.read_exact(&mut [0])
}

/// Exit code 0 if somebody listens at `HOST:PORT` and, where there is a path, answers a GET of it with 2xx or 3xx.
#[must_use]
pub fn probe(place: &str, path: Option<&str>) -> i32 {
    match asked(place, path) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("tiphys-runner probe: {place}: {error}");
            1
        }
    }
}

fn asked(place: &str, path: Option<&str>) -> io::Result<bool> {
    let mut stream = TcpStream::connect(place)?;
    let Some(path) = path else { return Ok(true) };
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    // In one piece, as simple servers expect it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: tiphys-probe\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    // `HTTP/1.1 204`
    Ok(start.starts_with(b"HTTP/1.") && matches!(start.get(8..10), Some(b" 2" | b" 3")))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ready_is_who_answers_well() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        assert_eq!(probe(&place, None), 0);
        for (answer, code) in [("HTTP/1.1 204 No", 0), ("HTTP/1.0 302 Found", 0), ("HTTP/1.1 503 Wait", 1)] {
            let asking = place.clone();
            let asking = std::thread::spawn(move || probe(&asking, Some("/ready")));
            // The first probe above is a connection too.
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                    request.extend(byte);
                }
                if !request.is_empty() {
                    assert!(request.starts_with(b"GET /ready HTTP/1.0\r\n"));
                    stream.write_all(answer.as_bytes()).unwrap();
                    break;
                }
            }
            assert_eq!(asking.join().unwrap(), code, "{answer}");
        }
        drop(listener);
        assert_eq!(probe(&place, None), 1);
    }
}
