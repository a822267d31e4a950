//! A stream of the command, read without waiting.

use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};

/// A stream, and what was last read of it.
pub(crate) struct Pipe {
    source: Option<Box<dyn Source>>,
    buffer: Vec<u8>,
}

pub(crate) trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

impl Pipe {
    pub(crate) fn new(source: Option<impl Source + 'static>) -> io::Result<Self> {
        if let Some(source) = &source {
            rustix::io::ioctl_fionbio(source, true)?;
        }
        Ok(Self {
            source: source.map(|source| Box::new(source) as Box<dyn Source>),
            buffer: vec![0; 64 * 1024],
        })
    }

    pub(crate) fn poll(&self) -> Option<PollFd<'_>> {
        let source = self.source.as_ref()?;
        Some(PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN))
    }

    /// What is there, if anything.
    pub(crate) fn read(&mut self) -> Option<&[u8]> {
        match self.source.as_mut()?.read(&mut self.buffer) {
            Ok(0) => self.source = None,
            Ok(count) => return self.buffer.get(..count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.source = None,
        }
        None
    }
}
