//! The stream to a command in a pod. It ends when the connection that carries it does.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions as one. The client closes neither where its connection breaks: whoever reads or writes would wait for ever,
/// and so would the step.
pub(super) struct Exec<R, W> {
    from: R,
    to: W,
    broken: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_broken: bool,
}

impl<R, W> Exec<R, W> {
    /// `broken` ends when nothing more is carried.
    pub(super) fn new(from: R, to: W, broken: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { from, to, broken: Box::pin(broken), is_broken: false }
    }

    fn is_broken(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_broken && self.broken.as_mut().poll(context).is_ready() {
            self.is_broken = true;
        }
        self.is_broken
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Exec<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Asked first, so that what came before is read before the end is told.
        let broken = self.is_broken(context);
        match Pin::new(&mut self.from).poll_read(context, buffer) {
            Poll::Pending if broken => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Exec<R, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken(context) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.to).poll_write(context, content)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, simplex};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_breaks_ends_both_directions() {
        // As the client has them.
        let ((from, mut theirs), (_kept, to)) = (simplex(16), simplex(16));
        let (carries, broken) = oneshot::channel::<()>();
        let mut exec = Exec::new(from, to, async move { drop(broken.await) });
        exec.write_all(b"asked").await.unwrap();
        theirs.write_all(b"said").await.unwrap();
        let reads = async {
            let mut text = String::new();
            exec.read_to_string(&mut text).await.unwrap();
            (text, exec)
        };
        let (text, mut exec) = tokio::join!(reads, async move { drop((theirs, carries)) }).0;
        assert_eq!(text, "said");
        assert_eq!(exec.write_all(&[0; 64]).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
