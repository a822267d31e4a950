//! The way to whoever started the pod: an address, or connections that arrive at a socket.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{archive, durable};

use super::http::{self, Answer, Request};
use super::secure::Trust;

/// The socket in the runner's folder.
const SOCKET: &str = "relay";
/// An answer may take so long: a large artifact goes on to a store. Less, down to the other, as less time is left.
const ANSWER: Duration = Duration::from_secs(300);
/// See [`ANSWER`].
const SHORTEST_ANSWER: Duration = Duration::from_secs(5);
/// Pauses between tries, from and to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// One address is tried for so long, from and to, as time is left.
const CONNECTS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// What an address begins with where the way to it is encrypted.
const ENCRYPTED: &str = "https://";
/// How long a runner is given to open its socket.
const OPENS: Duration = Duration::from_secs(10);

pub(super) enum Channel {
    Dial { authority: String, trust: Option<Trust> },
    Relay { listener: UnixListener, open: Option<UnixStream> },
}

/// Something to talk through.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Channel {
    /// The way to an address, or the socket of a relay in the folder. Errors are messages for the user.
    pub(super) fn open(
        dir: &Path,
        address: Option<String>,
        certificate: Option<&str>,
    ) -> Result<Self, String> {
        let Some(address) = address else {
            let listener = UnixListener::bind(dir.join(SOCKET)).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            let listener = listener.map_err(|error| format!("{}: {error}", dir.display()))?;
            return Ok(Self::Relay { listener, open: None });
        };
        let Some(authority) = address.strip_prefix(ENCRYPTED) else {
            return Ok(Self::Dial { authority: address, trust: None });
        };
        let trust = Trust::new(authority, certificate.unwrap_or_default())
            .map_err(|why| format!("{address} cannot be asked: {why}"))?;
        Ok(Self::Dial { authority: authority.to_owned(), trust: Some(trust) })
    }

    /// Fetches a target into a file. False: there is no such thing. Errors are messages for the user.
    pub(super) fn get(&mut self, target: &str, until: Instant, file: &Path) -> Result<bool, String> {
        let mut absent = false;
        self.insist(until, |stream, host| {
            let request = Request { method: "GET", target, host, length: 0 };
            let answer = http::exchange(stream, &request, &mut io::empty(), || durable::create(file))?;
            absent = matches!(answer, Answer::Refused(404, _));
            Ok(if absent { Answer::Good } else { answer })
        })?;
        Ok(!absent)
    }

    /// Puts a file or a folder to a target, and gives the answer.
    pub(super) fn put(&mut self, target: &str, until: Instant, file: &Path) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        let packed = file.with_extension("folder");
        let (file, target) = if file.is_dir() {
            archive::pack_folder(file, &packed).map_err(|error| error.to_string())?;
            (packed.as_path(), format!("{target}&folder=true"))
        } else {
            (file, target.to_owned())
        };
        self.insist(until, |stream, host| {
            let mut file = File::open(file)?;
            let length = file.metadata()?.len();
            content.clear();
            let request = Request { method: "PUT", target: &target, host, length };
            http::exchange(stream, &request, &mut file, || Ok(&mut content))
        })?;
        Ok(content)
    }

    /// Tries until it is done, refused for good, or too late.
    fn insist(
        &mut self,
        until: Instant,
        mut ask: impl FnMut(&mut Box<dyn Stream>, &str) -> io::Result<Answer>,
    ) -> Result<(), String> {
        let mut pause = PAUSES.0;
        loop {
            let asked = self.stream(until).and_then(|(mut stream, host)| ask(&mut stream, &host));
            let why = match asked {
                Ok(Answer::Good) => return Ok(()),
                Ok(Answer::Refused(status, text)) if !matches!(status, 408 | 429 | 500..) => {
                    return Err(format!("refused with {status}: {text}"));
                }
                Ok(Answer::Refused(status, text)) => format!("refused with {status}: {text}"),
                Err(error) => {
                    self.close();
                    error.to_string()
                }
            };
            if Instant::now() + pause > until {
                return Err(format!("nobody could be reached for it: {why}"));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// A stream that is ready for a request, and the name of the other end.
    fn stream(&mut self, until: Instant) -> io::Result<(Box<dyn Stream>, String)> {
        match self {
            Self::Dial { authority, trust } => {
                let stream = connect(authority, until)?;
                let left = until.saturating_duration_since(Instant::now()).clamp(SHORTEST_ANSWER, ANSWER);
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))?;
                let stream: Box<dyn Stream> = match trust {
                    Some(trust) => Box::new(trust.over(stream)?),
                    None => Box::new(stream),
                };
                Ok((stream, authority.clone()))
            }
            Self::Relay { listener, open } => {
                let stream = match open.take() {
                    Some(stream) => stream,
                    None => accept(listener, until)?,
                };
                *open = Some(stream.try_clone()?);
                Ok((Box::new(stream), "relay".to_owned()))
            }
        }
    }

    fn close(&mut self) {
        if let Self::Relay { open, .. } = self {
            *open = None;
        }
    }
}

/// Connects to the first address of a name that answers. One that is silent is not waited for longer than there is time.
fn connect(authority: &str, until: Instant) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(ErrorKind::NotFound, format!("{authority} has no address"));
    for address in authority.to_socket_addrs()? {
        let left = until.saturating_duration_since(Instant::now()).clamp(CONNECTS.0, CONNECTS.1);
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn accept(listener: &UnixListener, until: Instant) -> io::Result<UnixStream> {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    if poll(&mut fds, Some(&left))? == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// Joins this process's standard streams to the runner of the folder, until either side ends.
///
/// # Errors
/// When no runner listens there.
pub fn relay(dir: &Path) -> io::Result<()> {
    let begin = Instant::now();
    let socket = loop {
        match UnixStream::connect(dir.join(SOCKET)) {
            Ok(socket) => break socket,
            Err(error) if begin.elapsed() > OPENS => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut from = socket.try_clone()?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut input = io::stdin().lock();
            let mut to = &socket;
            let _ = copy(&mut input, &mut to);
            let _ = socket.shutdown(std::net::Shutdown::Both);
        });
        let copied = copy(&mut from, &mut io::stdout());
        // The other thread may wait for input that never comes.
        std::process::exit(i32::from(copied.is_err()));
    })
}

/// Copies what there is, as soon as it is there.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(buffer.get(..count).unwrap_or_default())?;
                to.flush()?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
