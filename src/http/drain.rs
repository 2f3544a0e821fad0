//! The rest of a body whose request is refused: it is read and discarded, because most clients read an answer only after they
//! have sent everything, and find the connection broken where nobody reads it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// The body of a request that is being answered: here once it was dropped before its end.
#[derive(Debug)]
pub struct Lent(Option<oneshot::Receiver<Body>>);

/// A body that is given back when it is dropped before its end.
#[derive(Debug)]
struct Returning {
    body: Body,
    to: Option<oneshot::Sender<Body>>,
}

/// The request with a body that is given back. Those of HTTP/2 can be refused alone, and a client that waits for `100 Continue`
/// sends nothing.
pub fn lend(request: Request) -> (Request, Lent) {
    let sends = request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
    if !sends || request.body().is_end_stream() {
        return (request, Lent(None));
    }
    let (to, back) = oneshot::channel();
    let request = request.map(|body| Body::new(Returning { body, to: Some(to) }));
    (request, Lent(Some(back)))
}

impl Lent {
    /// Reads up to `most` bytes of what the refused request still sends, until `deadline`, beside its answer.
    pub fn drain(self, most: usize, deadline: Instant) {
        let Some(body) = self.0.and_then(|mut back| back.try_recv().ok()) else {
            return;
        };
        tokio::spawn(tokio::time::timeout_at(deadline.into(), async move {
            let mut pieces = body.into_data_stream();
            let mut left = most;
            while let Some(Ok(piece)) = pieces.next().await
                && piece.len() <= left
            {
                left -= piece.len();
            }
        }));
    }
}

impl HttpBody for Returning {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.to = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(to) = self.to.take()
            && !self.body.is_end_stream()
        {
            // Nobody waits for the body of a request that is given up.
            let _ = to.send(std::mem::take(&mut self.body));
        }
    }
}
