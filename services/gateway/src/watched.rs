//! Streams whose caller is looked up again and again: a subscription lives for days, a right need not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use otdel_runtime::{auth::Policy, clock::pause, fault::Fault};
use tonic::{Code, Status};

use crate::{SERVICE, authenticator::Callers};

/// How often where no right has changed: keys and login tokens end by themselves. A change of the directory is looked at as
/// soon as it is known. Either works when the reader takes its next message.
const AGAIN_EVERY: Duration = Duration::from_secs(5);

/// An answer that ends with a refusal once its caller would no longer be let in.
pub(crate) struct Watched<B> {
    body: B,
    out: BoxFuture<'static, Fault>,
    over: bool,
}

impl<B> Watched<B> {
    /// Watches over an answer to whoever has sent these headers.
    pub(crate) fn new(body: B, callers: Arc<Callers>, headers: HeaderMap, policy: &'static Policy) -> Self {
        Self { body, out: Box::pin(until_out(callers, headers, policy)), over: false }
    }
}

/// Ends when the caller would no longer be let in. That nobody can be told apart for a while is no reason.
async fn until_out(callers: Arc<Callers>, headers: HeaderMap, policy: &'static Policy) -> Fault {
    let mut changes = callers.directory.changes();
    loop {
        tokio::select! {
            () = pause(AGAIN_EVERY) => {}
            _ = changes.changed() => {}
        }
        match callers.find(&headers).await {
            Ok((pass, _)) if policy.admits(&pass.principal) => {}
            Ok(_) => return policy.denied(),
            Err(fault) if fault.code == Code::Unauthenticated => return fault,
            Err(_) => {}
        }
    }
}

impl<B> http_body::Body for Watched<B>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(fault) = self.out.as_mut().poll(cx) {
            self.over = true;
            tracing::info!(reason = fault.reason, "stream ended, its caller is no longer let in");
            let mut trailers = HeaderMap::new();
            let told = fault.into_status(SERVICE).add_header(&mut trailers);
            return Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
