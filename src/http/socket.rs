//! What is written to a connection: its socket and its answers, which tell what the client takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::task::AtomicWaker;
use hyper::body::{Buf, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::unread::Connection;

/// An answer gives no further piece while so many of its bytes are not taken.
pub const PIECE: usize = 64 << 10;

/// A socket that tells when it takes nothing.
#[derive(Debug)]
pub struct Socket {
    pub stream: TcpStream,
    pub connection: Arc<Connection>,
}

impl Socket {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.block(result.is_pending());
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.closing() {
            // What the kernel still holds for a client that does not read is dropped too. If that fails, it is only later.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// A request whose answer has not ended, counted by its connection.
#[derive(Debug)]
pub struct Request(Arc<Connection>);

impl Request {
    /// It has come on this connection.
    pub fn begin(connection: &Arc<Connection>) -> Self {
        connection.begin();
        Self(Arc::clone(connection))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    sent: Arc<Sent>,
    _request: Request,
}

/// What of an answer is given to be sent, and not taken.
#[derive(Debug)]
struct Sent {
    connection: Arc<Connection>,
    waiting: AtomicUsize,
    waker: AtomicWaker,
}

/// A piece of an answer, which is taken from the front.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    sent: Arc<Sent>,
}

impl Answer {
    /// The answer to `request`.
    pub fn new(body: Body, request: Request) -> Self {
        let sent = Arc::new(Sent {
            connection: Arc::clone(&request.0),
            waiting: AtomicUsize::default(),
            waker: AtomicWaker::new(),
        });
        Self {
            body,
            sent,
            _request: request,
        }
    }
}

impl HttpBody for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        if self.sent.waiting.load(Ordering::Acquire) >= PIECE {
            self.sent.waker.register(context.waker());
            // What was taken before the waker was known woke nobody.
            if self.sent.waiting.load(Ordering::Acquire) >= PIECE {
                return Poll::Pending;
            }
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let piece = |bytes| Piece::new(bytes, &self.sent);
        Poll::Ready(Some(frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Sent {
    fn take(&self, bytes: usize) {
        self.connection.take(bytes);
        let before = self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        if before >= PIECE && before - bytes < PIECE {
            self.waker.wake();
        }
    }
}

impl Piece {
    fn new(bytes: Bytes, sent: &Arc<Sent>) -> Self {
        sent.waiting.fetch_add(bytes.len(), Ordering::AcqRel);
        sent.connection.give(bytes.len());
        Self {
            bytes,
            sent: Arc::clone(sent),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.sent.take(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Nothing is left unless the answer is given up.
        self.sent.take(self.bytes.len());
    }
}
