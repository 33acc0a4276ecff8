use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use tokio_util::{sync::WaitForCancellationFutureOwned, task::task_tracker::TaskTrackerToken};
use tonic::metadata::GRPC_CONTENT_TYPE;

use super::{connection::InUse, door::Door, method::method_of};
use crate::fault::Fault;

/// How an answer behaves when the listener stops.
pub(super) struct Ending {
    service: &'static str,
    cut: Cut,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    _call: TaskTrackerToken,
    _in_use: Option<InUse>,
}

/// When an answer that is under way is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// A single answer is never cut: it ends by itself.
    Never,
    /// A stream of ours ends with UNAVAILABLE between two messages, and its reader resumes it elsewhere.
    AtOnce,
    /// What is not known to us, such as health and reflection, ends where it has nothing to send.
    WhenIdle,
}

impl Ending {
    pub(super) fn of(door: &Door, path: &str, call: TaskTrackerToken, in_use: Option<InUse>) -> Self {
        let cut = match method_of(path) {
            Some(method) if method.unary => Cut::Never,
            Some(_) => Cut::AtOnce,
            None => Cut::WhenIdle,
        };
        let stopping = Box::pin(door.stopping.clone().cancelled_owned());
        Self { service: door.service, cut, stopping, _call: call, _in_use: in_use }
    }

    /// The answer under this rule, counted until it is sent.
    pub(super) fn of_answer(self, answer: Response) -> Response {
        let kind = answer.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_grpc = kind == GRPC_CONTENT_TYPE.as_bytes() || kind.starts_with(b"application/grpc+");
        answer.map(|body| Body::new(Answer { body, is_grpc, over: false, ending: self }))
    }
}

/// An answer that is counted until it is sent, and ended when the listener stops.
struct Answer {
    body: Body,
    is_grpc: bool,
    over: bool,
    ending: Ending,
}

impl Answer {
    fn stops(&mut self, cx: &mut Context<'_>) -> bool {
        self.over = self.ending.stopping.as_mut().poll(cx).is_ready();
        self.over
    }

    /// The end that a reader can tell from a regular one. Where trailers mean nothing, that is a broken stream.
    fn last_frame(&self) -> Result<Frame<Bytes>, axum::Error> {
        let status =
            Fault::unavailable("SHUTTING_DOWN", "the service is shutting down").into_status(self.ending.service);
        if !self.is_grpc {
            return Err(axum::Error::new(status));
        }
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).map_err(axum::Error::new)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // First, or a feed that always has more to send would never end.
        if self.ending.cut == Cut::AtOnce && self.stops(cx) {
            return Poll::Ready(Some(self.last_frame()));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.ending.cut == Cut::WhenIdle && self.stops(cx) => Poll::Ready(Some(self.last_frame())),
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
