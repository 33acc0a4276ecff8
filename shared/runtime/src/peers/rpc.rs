use std::{error::Error, iter::successors, sync::Arc, task::Poll, time::Duration};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::LengthLimitError;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, ConnectError, Status, TimeoutExpired, body::Body};
use tower::Service;

use super::{
    hub::Hub,
    remote::Replicas,
    resolve::HostPort,
    retry::Budget,
    tls::{BadTls, ClientTls},
};
use crate::{
    call::Deadline,
    fault::Fault,
    server::{code, method::method_of, timeout},
};

/// The largest answer that a peer may give, in bytes. Streams are bounded by message.
pub const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// How long a call may take whose caller did not say.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// The way to another service: what a generated client is put upon. Cheap to clone.
///
/// In this process and in another one it does the same: it measures the call, ends it at the caller's deadline with
/// `DEADLINE_EXCEEDED`, and tries an UNAVAILABLE single answer again. That is safe because each of our single-answer
/// RPCs reads or carries a request id. A peer that is not reached, or breaks off, is UNAVAILABLE with reason
/// `SERVICE_UNREACHABLE`; that, and all else that the peer has not said itself, is in the domain of the one who asks.
#[derive(Clone, Debug)]
pub struct Rpc(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) peer: &'static str,
    pub(super) caller: &'static str,
    pub(super) way: Way,
    pub(super) budget: Budget,
}

#[derive(Debug)]
pub(super) enum Way {
    InProcess(Hub),
    Remote(Replicas),
}

impl Rpc {
    /// The way to a role of this process.
    pub fn local(hub: &Hub, peer: &'static str, caller: &'static str) -> Self {
        Self::by(Way::InProcess(hub.clone()), peer, caller)
    }

    /// The way to other processes, whose names are resolved again every 5 s. To be called inside the async runtime.
    pub fn remote(
        peer: &'static str,
        caller: &'static str,
        endpoints: Vec<HostPort>,
        tls: Option<ClientTls>,
    ) -> Result<Self, BadTls> {
        Ok(Self::by(Way::Remote(Replicas::new(peer, endpoints, tls)?), peer, caller))
    }

    fn by(way: Way, peer: &'static str, caller: &'static str) -> Self {
        // A retry is then seen as a step from 0.
        metrics::counter!("otdel_rpc_retries_total", "peer" => peer).increment(0);
        Self(Arc::new(Inner { peer, caller, way, budget: Budget::default() }))
    }

    /// The service that is called.
    pub fn peer(&self) -> &'static str {
        self.0.peer
    }
}

impl Service<Request<Body>> for Rpc {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.measured(request).await })
    }
}

impl Inner {
    async fn measured(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let label = method_of(request.uri().path()).map_or("other", |method| method.path);
        let began = Instant::now();
        let outcome = self.within_deadline(request).await;
        let code = match &outcome {
            Ok((_, code)) => *code,
            Err(status) => status.code(),
        };
        metrics::histogram!(
            "rpc_client_call_duration_seconds",
            "peer" => self.peer, "rpc_method" => label, "rpc_status" => code::name_of(code)
        )
        .record(began.elapsed().as_secs_f64());
        outcome.map(|(response, _)| response)
    }

    async fn within_deadline(&self, request: Request<Body>) -> Result<(Response<Body>, Code), Status> {
        let unary = method_of(request.uri().path()).is_some_and(|method| method.unary);
        // A request that is passed on as it came has its caller's deadline with it, exact where the header is relative.
        let known = request.extensions().get().map(|Deadline(at)| Instant::from_std(*at));
        let time = timeout::parse(request.headers()).or(unary.then_some(DEFAULT_TIME));
        let deadline = known.or_else(|| Instant::now().checked_add(time?));
        let answer =
            async { if unary { self.single(request, deadline).await } else { self.stream(request, deadline).await } };
        match deadline {
            Some(at) => timeout_at(at, answer).await.unwrap_or_else(|_| Err(self.late())),
            None => answer.await,
        }
    }

    /// The caller's time is over. Whether the peer did what it was asked is not known.
    fn late(&self) -> Status {
        let text = format!("{} did not answer in time", self.peer);
        Fault::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", text)
            .with("service", self.peer)
            .into_status(self.caller)
    }

    /// What the caller is told when the peer gave no whole answer.
    pub(super) fn not_answered(&self, failure: NotAnswered) -> Status {
        match failure {
            NotAnswered::Unreached(cause) | NotAnswered::Unconnected(cause) => {
                tracing::warn!(peer = self.peer, cause, "peer cannot be reached");
                unreachable(self.peer, self.caller)
            }
            NotAnswered::Late => self.late(),
            NotAnswered::TooLarge => {
                tracing::error!(peer = self.peer, "answer of a peer is too large");
                Fault::new(Code::Internal, "INTERNAL", "internal error").into_status(self.caller)
            }
        }
    }
}

/// UNAVAILABLE, because the peer is not there or went away: the word of whoever asked it.
pub(super) fn unreachable(peer: &'static str, caller: &'static str) -> Status {
    Fault::unavailable("SERVICE_UNREACHABLE", format!("{peer} cannot be reached"))
        .with("service", peer)
        .into_status(caller)
}

/// The peer gave no whole answer.
#[derive(Debug)]
pub(super) enum NotAnswered {
    /// It was not reached, or broke off; with what the transport says, for the log.
    Unreached(String),
    /// Not even a connection came about, so that nothing was asked.
    Unconnected(String),
    /// The caller's time is over, which the transport may notice before we do.
    Late,
    /// It answers more than an answer may be.
    TooLarge,
}

impl From<&str> for NotAnswered {
    fn from(cause: &str) -> Self {
        Self::Unreached(cause.to_owned())
    }
}

impl From<&(dyn Error + 'static)> for NotAnswered {
    fn from(error: &(dyn Error + 'static)) -> Self {
        let chain: Vec<&(dyn Error + 'static)> = successors(Some(error), |error| (*error).source()).collect();
        if chain.iter().any(|error| error.is::<TimeoutExpired>()) {
            Self::Late
        } else if chain.iter().any(|error| error.is::<LengthLimitError>()) {
            Self::TooLarge
        } else {
            // The outermost says no more than "transport error".
            let cause = chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
            let unconnected = chain.iter().any(|error| error.is::<ConnectError>());
            if unconnected { Self::Unconnected(cause) } else { Self::Unreached(cause) }
        }
    }
}
