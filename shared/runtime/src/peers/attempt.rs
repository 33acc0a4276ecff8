//! One call from its first try to its last.

use std::{error::Error as StdError, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Collected, Full, LengthLimitError, Limited};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::{
    retry::{NO_RETRY_HEADER, asked_pause, code_of},
    rpc::{Inner, MAX_RESPONSE, NotAnswered, Way, unreachable},
};
use crate::{
    clock,
    fault::Fault,
    server::{MAX_REQUEST, method::method_of, timeout},
    trace,
};

/// What gRPC puts before a message.
const FRAME_HEADER: usize = 5;

/// A whole answer.
struct Answer {
    response: Response<Body>,
    code: Code,
    /// How long an UNAVAILABLE peer asks to be left alone.
    asked_pause: Option<Duration>,
}

impl Inner {
    /// A call with one message each way. Both are held whole: the question, so that it can be asked again; the answer,
    /// so that the deadline covers all of it and a peer that dies half-way through it is asked again.
    pub(super) async fn single(
        &self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<(Response<Body>, Code), Status> {
        let (mut parts, body) = request.into_parts();
        let may_retry = parts.headers.remove(NO_RETRY_HEADER).is_none();
        let body = self.whole(body).await?;
        let (mut tries, mut tried) = (0, Vec::new());
        self.budget.note_call();
        let outcome = loop {
            let outcome = self.try_single(&parts, &body, deadline, &mut tried).await;
            tries += 1;
            let asked = match &outcome {
                Ok(answer) if answer.code != Code::Unavailable => break outcome,
                Ok(answer) => answer.asked_pause,
                Err(NotAnswered::TooLarge) => break outcome,
                Err(_) => None,
            };
            let pause = if may_retry { self.budget.pause(tries, asked, deadline.map(left)) } else { None };
            let Some(pause) = pause else { break outcome };
            metrics::counter!("otdel_rpc_retries_total", "peer" => self.peer).increment(1);
            clock::pause(pause).await;
        };
        outcome.map(|answer| (answer.response, answer.code)).map_err(|failure| self.not_answered(failure))
    }

    async fn try_single(
        &self,
        parts: &Parts,
        body: &Bytes,
        deadline: Option<Instant>,
        tried: &mut Vec<SocketAddr>,
    ) -> Result<Answer, NotAnswered> {
        let (head, body) = self.ask(parts, body, deadline, tried).await?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE + FRAME_HEADER)
            .collect()
            .await
            .map_err(|error| NotAnswered::from(error.as_ref() as &(dyn StdError + 'static)))?;
        // An error of ours comes in the headers, an answer that could not be finished in the trailers.
        let code = code_of(&head.headers).or_else(|| body.trailers().and_then(code_of)).unwrap_or(Code::Unknown);
        let asked_pause = if code == Code::Unavailable { asked_pause(&head.headers) } else { None };
        Ok(Answer { response: Response::from_parts(head, Body::new(body)), code, asked_pause })
    }

    /// A call with a stream either way: asked once, and after its first answer as long as it likes.
    pub(super) async fn stream(
        &self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<(Response<Body>, Code), Status> {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(NO_RETRY_HEADER);
        // A question that is one message is held whole too: what is wrong with it is told by whoever sends it, and over a
        // socket that would be a connection that breaks.
        let answer = if method_of(parts.uri.path()).is_some_and(|method| method.one_question) {
            let body = self.whole(body).await?;
            self.ask(&parts, &body, deadline, &mut Vec::new()).await
        } else {
            self.send(outgoing(parts, body, deadline), &mut Vec::new()).await
        };
        let response = answer.map_err(|failure| self.not_answered(failure))?;
        let code = code_of(response.headers()).unwrap_or(Code::Ok);
        let (peer, caller) = (self.peer, self.caller);
        // To whoever reads the stream a connection that breaks is a peer that went away, whatever HTTP/2 calls it.
        let broken = move |error: Status| {
            tracing::info!(peer, cause = error.message(), "stream broke");
            unreachable(peer, caller)
        };
        Ok((response.map(|body| Body::new(body.map_err(broken))), code))
    }

    /// Asks once. Where not even a connection comes about, nothing was asked yet: another replica is, at once and at
    /// nobody's expense, whoever else tries again.
    async fn ask(
        &self,
        parts: &Parts,
        body: &Bytes,
        deadline: Option<Instant>,
        tried: &mut Vec<SocketAddr>,
    ) -> Result<Response<Body>, NotAnswered> {
        loop {
            let question = outgoing(parts.clone(), Body::new(Full::new(body.clone())), deadline);
            let outcome = self.send(question, tried).await;
            if !matches!(outcome, Err(NotAnswered::Unconnected(_))) || !self.has_other(tried) {
                return outcome;
            }
        }
    }

    async fn send(&self, request: Request<Body>, tried: &mut Vec<SocketAddr>) -> Result<Response<Body>, NotAnswered> {
        match &self.way {
            Way::InProcess(hub) => hub.call(self.peer, self.caller, request).await,
            Way::Remote(replicas) => replicas.call(request, tried).await,
        }
    }

    /// The whole question.
    async fn whole(&self, body: Body) -> Result<Bytes, Status> {
        let whole = Limited::new(body, MAX_REQUEST + FRAME_HEADER).collect().await;
        whole.map(Collected::to_bytes).map_err(|error| self.unsent(error))
    }

    /// Whether there is a replica that was not tried.
    fn has_other(&self, tried: &[SocketAddr]) -> bool {
        matches!(&self.way, Way::Remote(replicas) if replicas.has_other(tried))
    }

    /// The question did not arrive whole from the one who asks.
    fn unsent(&self, error: Box<dyn StdError + Send + Sync>) -> Status {
        if error.is::<LengthLimitError>() {
            let text = format!("a request has at most {MAX_REQUEST} bytes");
            return Fault::new(Code::InvalidArgument, "REQUEST_TOO_LARGE", text).into_status(self.caller);
        }
        Status::from_error(error)
    }
}

/// The request as it leaves. What this process knows of the call (who made it, how it was let in, when it must end) is
/// not for the peer to see: it would not cross a socket either.
fn outgoing(mut parts: Parts, body: Body, deadline: Option<Instant>) -> Request<Body> {
    parts.extensions = Extensions::new();
    if let Some(at) = deadline {
        parts.headers.insert(timeout::TIMEOUT_HEADER, timeout::format(left(at)));
    }
    if let Ok(traceparent) = HeaderValue::try_from(trace::current_traceparent())
        && !traceparent.is_empty()
    {
        parts.headers.insert(trace::TRACEPARENT_HEADER, traceparent);
    }
    Request::from_parts(parts, body)
}

/// What is left until an instant.
fn left(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}
