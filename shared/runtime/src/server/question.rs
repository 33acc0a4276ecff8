use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Code;

use crate::fault::Fault;

/// A request of one message that is refused if it does not come whole in time, however long its caller would wait for the
/// answer: whoever reads it holds a place for it.
pub(super) fn awaited(service: &'static str, time: Duration, request: Request) -> Request {
    let end = Box::pin(sleep_until(Instant::now() + time));
    request.map(|body| Body::new(Awaited { body, service, end }))
}

/// A body that is waited for so long.
struct Awaited {
    body: Body,
    service: &'static str,
    end: Pin<Box<Sleep>>,
}

impl http_body::Body for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() && self.end.as_mut().poll(cx).is_ready() {
            let late = Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", "the request did not come whole in time");
            return Poll::Ready(Some(Err(axum::Error::new(late.into_status(self.service)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
