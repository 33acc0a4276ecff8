use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection::InUse;

/// An answer that is counted until it is sent, so that a drain waits for it and its connection is not taken for idle.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) _call: TaskTrackerToken,
    pub(super) _in_use: Option<InUse>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Passed on, which mapping the frames would not do: HTTP/1.1 makes the header `content-length` of it.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
