//! The life of the command: start, logs, deadline, stop, end.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::exit::{Exit, Verdict};
use crate::expand::expand;
use crate::log::{Log, Stream, Tail};
use crate::pipe::Pipe;
use crate::spec::{SECRET_PREFIX, STOP, Spec};
use crate::{input, leftover, output, program};

/// What Kubernetes says of a pod that ran out of time.
const DEADLINE: &str = "Pod was active on the node longer than the specified deadline";
/// Reads of a stream after the end: more than a pipe holds, and an end even if somebody goes on writing.
const LAST_READS: usize = 64;

/// Asks to be stopped arrive here; caught from before the folder is claimed.
#[derive(Debug)]
pub(crate) struct Requests(UnixStream);

impl Requests {
    pub(crate) fn catch() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, theirs)?;
        Ok(Self(ours))
    }

    fn take(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 64]), Ok(count) if count > 0)
    }
}

/// Runs the step to its end.
pub(crate) fn step(
    dir: &Path,
    spec: &Spec,
    started: Timestamp,
    requests: Requests,
    now: fn() -> Timestamp,
) -> Exit {
    if dir.join(STOP).exists() {
        return Exit {
            verdict: Verdict::Failed,
            ..Exit::error(Some(started), now(), "stopped before it began".to_owned())
        };
    }
    let mut run = match Run::begin(dir, spec, requests, now) {
        Ok(run) => run,
        Err(message) => return Exit::error(Some(started), now(), message),
    };
    let ended = run.supervise();
    if ended.is_err() {
        let _ = kill_process_group(run.group, Signal::KILL);
    }
    run.end_group();
    let status = run.child.wait();
    let grace = Duration::from_millis(spec.grace).min(leftover::MOST);
    leftover::end(grace, |pause| run.drain(pause));
    run.last_reads();
    match ended.and(status) {
        Ok(status) => run.report(dir, status, started),
        Err(error) => {
            let message = format!("the runner lost sight of the command: {error}");
            Exit::error(Some(started), now(), message)
        }
    }
}

/// A running command.
struct Run<'s> {
    spec: &'s Spec,
    now: fn() -> Timestamp,
    child: Child,
    group: Pid,
    pidfd: OwnedFd,
    requests: Requests,
    output: Pipe,
    error: Pipe,
    log: Log,
    tail: Tail,
    deadline: Option<Instant>,
    ending: Option<Ending>,
}

/// A stop under way.
struct Ending {
    out_of_time: bool,
    kill: Option<Instant>,
}

impl<'s> Run<'s> {
    fn begin(dir: &Path, spec: &'s Spec, requests: Requests, now: fn() -> Timestamp) -> Result<Self, String> {
        input::place(dir, &spec.inputs).map_err(|refused| refused.to_string())?;
        // In a container the log is what the runner writes, and is kept by whoever runs the container.
        let log = if spec.contained && spec.log_key.is_none() && !spec.keep_log {
            Ok(Log::none())
        } else {
            Log::create(dir, spec.log_limit)
        };
        let log = log.map_err(|error| format!("could not create the log: {error}"))?;
        let deadline = spec.deadline.and_then(|deadline| {
            let left = Duration::try_from(deadline.duration_since(now())).unwrap_or_default();
            Instant::now().checked_add(left)
        });
        let mut child = command(spec)?.spawn().map_err(|error| refusal(spec, &error))?;
        let group = Pid::from_child(&child);
        let watched = pidfd_open(group, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(|pidfd| Ok((pidfd, Pipe::new(child.stdout.take())?, Pipe::new(child.stderr.take())?)));
        let (pidfd, output, error) = match watched {
            Ok(watched) => watched,
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                return Err(format!("the command could not be watched: {error}"));
            }
        };
        Ok(Self {
            spec,
            now,
            child,
            group,
            pidfd,
            requests,
            output,
            error,
            log,
            tail: Tail::default(),
            deadline,
            ending: None,
        })
    }

    /// Returns when the command has ended.
    fn supervise(&mut self) -> io::Result<()> {
        loop {
            let timeout = [self.deadline, self.ending.as_ref().and_then(|ending| ending.kill)]
                .into_iter()
                .flatten()
                .min()
                .map(|at| at.saturating_duration_since(Instant::now()));
            let ended = self.wait(timeout)?;
            if ended {
                return Ok(());
            }
            if self.requests.take() && self.ending.is_none() {
                self.stop(false);
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|at| at <= now) {
                self.deadline = None;
                self.log.note("tiphys: out of time, stopping", (self.now)());
                self.stop(true);
            }
            if let Some(ending) = &mut self.ending
                && ending.kill.is_some_and(|at| at <= now)
            {
                ending.kill = None;
                let _ = kill_process_group(self.group, Signal::KILL);
            }
        }
    }

    /// TERM now, KILL when the grace is over.
    fn stop(&mut self, out_of_time: bool) {
        let kill = match self.ending.take() {
            Some(ending) => ending.kill,
            None => Instant::now().checked_add(Duration::from_millis(self.spec.grace)),
        };
        self.ending = Some(Ending { out_of_time, kill });
        self.deadline = None;
        self.end_group();
    }

    /// TERM to the process group. Its leader is not reaped yet, so that the group is still ours.
    fn end_group(&self) {
        let _ = kill_process_group(self.group, Signal::TERM);
    }

    /// Waits for anything to happen, and takes what the command wrote. Returns whether the command ended.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut fds =
            vec![PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(&self.requests.0, PollFlags::IN)];
        fds.extend(self.output.poll());
        fds.extend(self.error.poll());
        if !ready(&mut fds, timeout)? {
            return Ok(false);
        }
        let ended = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        self.read();
        Ok(ended)
    }

    /// Goes on reading for a while after the end of the command.
    fn drain(&mut self, pause: Duration) {
        let mut fds: Vec<_> = self.output.poll().into_iter().chain(self.error.poll()).collect();
        if matches!(ready(&mut fds, Some(pause)), Ok(true)) {
            drop(fds);
            self.read();
        }
    }

    /// One read of each stream. Returns whether there was anything.
    fn read(&mut self) -> bool {
        let mut any = false;
        for (pipe, stream) in [(&mut self.output, Stream::Output), (&mut self.error, Stream::Error)] {
            if let Some(bytes) = pipe.read() {
                any = true;
                if self.spec.contained {
                    hand_on(stream, bytes);
                }
                self.log.take(stream, bytes, (self.now)());
                if stream == Stream::Output && self.spec.capture {
                    self.tail.take(bytes);
                }
            }
        }
        any
    }

    fn last_reads(&mut self) {
        for _ in 0..LAST_READS {
            if !self.read() {
                break;
            }
        }
        self.log.finish((self.now)());
    }

    fn report(self, dir: &Path, status: ExitStatus, started: Timestamp) -> Exit {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let outputs = output::collect(dir, self.spec);
        let (verdict, message) = if self.ending.is_some_and(|ending| ending.out_of_time) {
            (Verdict::Failed, DEADLINE.to_owned())
        } else if code != Some(0) {
            let code = code.unwrap_or(-1);
            (Verdict::Failed, format!("main: Error (exit code {code})"))
        } else if let Some(problem) = outputs.problem {
            (Verdict::Error, format!("wait: Error (exit code 64): {problem}"))
        } else {
            (Verdict::Succeeded, String::new())
        };
        Exit {
            started: Some(started),
            finished: (self.now)(),
            exit_code: code,
            verdict,
            message,
            result: self.spec.capture.then(|| self.tail.into_text()),
            parameters: outputs.parameters,
            artifacts: outputs.artifacts,
        }
    }
}

/// The command with its environment. Errors are messages for the user.
fn command(spec: &Spec) -> Result<Command, String> {
    let own =
        || std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    let own = || own().filter(|(name, _)| !name.starts_with(crate::pod::VARIABLE));
    let own: Vec<(String, String)> = if spec.contained { own().collect() } else { Vec::new() };
    let mut environment: Vec<(&str, String)> = own.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    for variable in &spec.environment {
        let value = match &variable.value {
            Some(text) => expand(text, |name| lookup(&environment, name)),
            None => std::env::var(format!("{SECRET_PREFIX}{}", variable.name))
                .map_err(|_| format!("the secret for {} did not reach the runner", variable.name))?,
        };
        environment.push((&variable.name, value));
    }
    let mut arguments = spec.command.iter().map(|text| expand(text, |name| lookup(&environment, name)));
    // The program is a whole path, and the group comes by std: so that it is spawned, not forked.
    let program = if spec.contained {
        program::find(&spec.program, lookup(&environment, "PATH"), &spec.work)?
    } else {
        spec.program.clone()
    };
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command
        .args(arguments)
        .args(&spec.script)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !spec.work.as_os_str().is_empty() {
        command.current_dir(&spec.work);
    }
    Ok(command)
}

/// What the step writes is what the container writes. Whoever reads it no more is not worth the step.
fn hand_on(stream: Stream, bytes: &[u8]) {
    let _ = match stream {
        Stream::Output => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Error => io::stderr().write_all(bytes),
    };
}

fn lookup<'e>(environment: &'e [(&str, String)], name: &str) -> Option<&'e str> {
    let found = environment.iter().rev().find(|(known, _)| *known == name);
    found.map(|(_, value)| value.as_str())
}

fn refusal(spec: &Spec, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::ArgumentListTooLong => {
            "; hand over large values as an artifact, not as an argument or variable"
        }
        io::ErrorKind::NotFound if !spec.work.as_os_str().is_empty() && !spec.work.is_dir() => {
            "; its working directory is missing"
        }
        io::ErrorKind::NotFound => "; a script's first line may name a program that is missing",
        _ => "",
    };
    format!("could not start {}: {error}{hint}", spec.program.display())
}

/// Whether one of the descriptors is ready before the time is over.
fn ready(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
