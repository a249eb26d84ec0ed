//! The socket under a connection, with the clocks that hyper does not have.
//!
//! * A client has a time for a request's headers: from the connection's start for the first request, from its first
//!   byte for a later one. hyper's own header clock also runs between requests, so it serves as the keep-alive clock.
//! * A client that leaves an answer unread for too long is cut off, which drops the answer's body and its work.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What the socket must know of the requests that it carries.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Requests whose headers were complete.
    begun: AtomicUsize,
    /// Those whose answers are not sent yet.
    open: AtomicUsize,
    /// Whether they come as HTTP/2, where bytes between requests are usual and pings show that a peer is there.
    is_h2: AtomicBool,
}

impl Traffic {
    /// Notes that a request's headers were complete, until its answer is sent.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> OpenRequest {
        self.is_h2.store(version == Version::HTTP_2, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest { traffic: Arc::clone(self) }
    }
}

/// A request whose answer is not sent yet.
#[derive(Debug)]
pub(super) struct OpenRequest {
    traffic: Arc<Traffic>,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.traffic.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that keeps its request open until it is sent or dropped.
#[derive(Debug)]
pub(super) struct TrackedBody<B> {
    /// The body itself.
    pub(super) inner: B,
    /// Its request.
    pub(super) _request: OpenRequest,
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A socket with clocks.
#[derive(Debug)]
pub(super) struct ClockedSocket<S> {
    socket: S,
    traffic: Arc<Traffic>,
    header_timeout: Duration,
    write_stall_timeout: Duration,
    /// Runs while a request's headers are awaited: with the number of requests when it was started.
    header_clock: Option<(usize, Pin<Box<Sleep>>)>,
    /// Runs while the peer takes nothing.
    write_clock: Option<Pin<Box<Sleep>>>,
}

impl<S> ClockedSocket<S> {
    /// A socket whose header clock starts now.
    pub(super) fn new(
        socket: S,
        traffic: Arc<Traffic>,
        header_timeout: Duration,
        write_stall_timeout: Duration,
    ) -> Self {
        let header_clock = Some((0, Box::pin(tokio::time::sleep(header_timeout))));
        Self { socket, traffic, header_timeout, write_stall_timeout, header_clock, write_clock: None }
    }

    /// Whether the headers that are awaited have taken too long.
    fn poll_header_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.traffic.begun.load(Ordering::Relaxed);
        match &mut self.header_clock {
            Some((seen, clock)) if *seen == begun => clock.as_mut().poll(cx).is_ready(),
            _ => {
                self.header_clock = None;
                false
            }
        }
    }

    /// Starts the header clock at the first bytes of a later request.
    fn note_bytes(&mut self) {
        let Traffic { begun, open, is_h2 } = &*self.traffic;
        let begun = begun.load(Ordering::Relaxed);
        let is_between_requests = begun > 0 && open.load(Ordering::Relaxed) == 0;
        if is_between_requests && self.header_clock.is_none() && !is_h2.load(Ordering::Relaxed) {
            self.header_clock = Some((begun, Box::pin(tokio::time::sleep(self.header_timeout))));
        }
    }

    /// Starts, polls or clears the write clock after an attempt to write.
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_clock = None;
            return written;
        }
        let timeout = self.write_stall_timeout;
        let clock = self.write_clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match clock.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the client does not read its answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

impl<S: AsyncRead + Unpin> AsyncRead for ClockedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            self.note_bytes();
        }
        if self.poll_header_clock(cx) {
            return Poll::Ready(Err(timed_out("the request's headers did not arrive")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClockedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch_write(cx, shut)
    }
}
