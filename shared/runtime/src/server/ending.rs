use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::fault::Fault;

/// Cancelled when the listener by which a call came is to end. The door puts it into the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// When an answer that is under way is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Between two messages, however many there are still.
    AtOnce,
    /// Where it has nothing to send.
    WhenIdle,
}

impl Stopping {
    /// Ends a stream with UNAVAILABLE when its listener stops; its reader resumes it elsewhere. A single answer ends by
    /// itself.
    ///
    /// It is done in the stack and not by the listener, so that whatever form the stream is turned into outside of the
    /// stack, its reader is told in that form.
    pub(super) fn end(self, service: &'static str, stream: Response) -> Response {
        stream.map(|body| ending(body, service, self.0, Cut::AtOnce))
    }
}

/// A gRPC answer that is ended when the listener stops.
pub(super) fn ending(body: Body, service: &'static str, stopping: CancellationToken, cut: Cut) -> Body {
    Body::new(Ending { body, service, cut, stopping: Box::pin(stopping.cancelled_owned()), over: false })
}

struct Ending {
    body: Body,
    service: &'static str,
    cut: Cut,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
}

impl Ending {
    fn stops(&mut self, cx: &mut Context<'_>) -> bool {
        self.over = self.stopping.as_mut().poll(cx).is_ready();
        self.over
    }

    /// The end that a reader can tell from a regular one.
    fn last_frame(&self) -> Result<Frame<Bytes>, axum::Error> {
        let status = Fault::unavailable("SHUTTING_DOWN", "the service is shutting down").into_status(self.service);
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).map_err(axum::Error::new)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // First, or a feed that always has more to send would never end.
        if self.cut == Cut::AtOnce && self.stops(cx) {
            return Poll::Ready(Some(self.last_frame()));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.cut == Cut::WhenIdle && self.stops(cx) => Poll::Ready(Some(self.last_frame())),
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
