//! A stream whose other end has a limited time to take what is written.
//!
//! Invariant: what waits to be sent waits no longer than the limit; then writing fails, and with it
//! goes the connection and all that it holds. What is taken byte by byte is not taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The stream.
pub struct Patient<S> {
    stream: S,
    limit: Duration,
    /// When the other end must have taken everything, while it has not.
    due: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Everything is to be taken within `limit`.
    pub fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, due: None }
    }

    /// What to say while the other end takes nothing more.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limit;
        let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(due.as_mut().poll(cx));
        let told = "the client did not take its answer in time";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, told)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            written @ Poll::Ready(_) => written,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.wait(cx),
            written @ Poll::Ready(_) => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper asks for this once it has handed over all that it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            flushed @ Poll::Ready(_) => {
                self.due = None;
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            ended @ Poll::Ready(_) => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_now_and_then_is_given_up_and_who_reads_all_is_not() {
        let limit = Duration::from_mins(1);
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Patient::new(ours, limit);
        let reader = tokio::spawn(async move {
            let mut taken = 0;
            while theirs.read_u8().await.is_ok() {
                taken += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            taken
        });
        let failed = ours.write_all(&[7; 1_000]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        assert!(reader.await.unwrap() < 100);

        // In pieces, each of them in time, the same takes as long as it likes.
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Patient::new(ours, limit);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok(byte) = theirs.read_u8().await {
                all.push(byte);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            all
        });
        for _ in 0..20 {
            ours.write_all(&[7; 50]).await.unwrap();
            ours.flush().await.unwrap();
        }
        drop(ours);
        assert_eq!(reader.await.unwrap().len(), 1_000);
    }
}
