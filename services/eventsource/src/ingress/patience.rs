//! A connection that waits long for a request, but not long for the rest of its headers.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whether a request is being answered; then nothing is demanded of the connection.
pub(super) type Answering = Arc<AtomicBool>;

/// Ends a connection whose headers come too slowly. The HTTP library's own limit would also end idle
/// connections, and a sender that never retries may lose an event on one that is just being closed.
pub(super) struct Patient<S> {
    inner: S,
    limit: Duration,
    answering: Answering,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// The first request must begin and end its headers within `limit`; each later one from its first byte.
    pub(super) fn new(inner: S, limit: Duration, answering: Answering) -> Self {
        Self { inner, limit, answering, deadline: Some(Box::pin(sleep(limit))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if self.answering.load(Ordering::Acquire) {
            self.deadline = None;
            return read;
        }
        let came = buffer.filled().len() > before;
        if came && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(self.limit)));
        }
        let deadline = self.deadline.as_mut();
        if deadline.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
