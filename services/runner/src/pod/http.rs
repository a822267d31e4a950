//! One request of HTTP/1.1 over a stream, and its answer: as little as a client needs that knows its server.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

/// An answer's head may be no longer.
const HEAD: u64 = 64 << 10;
/// The text of a refusal may be no longer.
const REFUSAL: u64 = 4 << 10;

/// What is asked.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) target: &'r str,
    pub(super) host: &'r str,
    pub(super) length: u64,
}

/// An answer. The content of a good one went where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Good,
    /// Status and text.
    Refused(u16, String),
}

/// Sends a request and takes its answer; a good one's content is written to what `sink` opens.
pub(super) fn exchange<W: Write>(
    stream: &mut (impl Read + Write),
    request: &Request<'_>,
    body: &mut impl Read,
    sink: impl FnOnce() -> io::Result<W>,
) -> io::Result<Answer> {
    let Request { method, target, host, length } = request;
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if io::copy(&mut body.take(*length), stream)? != *length {
        return Err(io::Error::new(ErrorKind::InvalidData, "the file became shorter while it was sent"));
    }
    stream.flush()?;
    let mut answer = BufReader::new(stream);
    let (status, length) = head_of(&mut answer)?;
    if (200..300).contains(&status) {
        if io::copy(&mut (&mut answer).take(length), &mut sink()?)? != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        return Ok(Answer::Good);
    }
    let mut text = Vec::new();
    answer.take(length.min(REFUSAL)).read_to_end(&mut text)?;
    Ok(Answer::Refused(status, String::from_utf8_lossy(&text).into_owned()))
}

/// Status and length of the content.
fn head_of(answer: &mut impl BufRead) -> io::Result<(u16, u64)> {
    let wrong = || io::Error::new(ErrorKind::InvalidData, "an answer that is not HTTP");
    let mut head = answer.take(HEAD);
    let mut line = String::new();
    let mut next = |line: &mut String| {
        line.clear();
        match head.read_line(line)? {
            0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    };
    next(&mut line)?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(wrong)?;
    let mut length = 0;
    loop {
        next(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            return if line.trim().is_empty() { Ok((status, length)) } else { Err(wrong()) };
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| wrong())?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(wrong());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A stream whose answer is known before.
    struct Known(Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Known {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Known {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answer: &str) -> (io::Result<Answer>, Vec<u8>, String) {
        let mut stream = Known(Cursor::new(answer.into()), Vec::new());
        let request = Request { method: "PUT", target: "/a?b=c", host: "here:1", length: 3 };
        let mut content = Vec::new();
        let outcome = exchange(&mut stream, &request, &mut &b"abcdef"[..], || Ok(&mut content));
        (outcome, content, String::from_utf8(stream.1).unwrap())
    }

    #[test]
    fn a_request_is_sent_and_its_answer_read() {
        let (outcome, content, sent) = ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\nokmore");
        assert_eq!((outcome.unwrap(), &content[..]), (Answer::Good, &b"ok"[..]));
        assert_eq!(sent, "PUT /a?b=c HTTP/1.1\r\nhost: here:1\r\ncontent-length: 3\r\n\r\nabc");
        let (outcome, content, _) = ask("HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\nover");
        assert_eq!((outcome.unwrap(), &content[..]), (Answer::Refused(410, "over".into()), &b""[..]));
    }

    #[test]
    fn what_is_cut_off_or_no_answer_is_an_error() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        ] {
            assert!(ask(answer).0.is_err(), "{answer}");
        }
    }
}
