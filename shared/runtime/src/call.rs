//! One call: what a handler gets, and the task it runs in.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use otdel_api::Mutation;
use tonic::{Code, Request, Response, Status, metadata::MetadataValue};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    auth::{Admitted, Identity, Principal, TOKEN_HEADER},
    core::{Core, Units},
    fault::{Explain, Fault},
    scope::Scope,
    trace,
};

/// One call to an RPC, after it was let in.
#[derive(Clone, Debug)]
pub struct Call<T> {
    /// What is asked.
    pub msg: T,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The RPC, such as `/otdel.leads.v1.LeadService/AssignLead`.
    pub method: &'static str,
    /// The time of the business, the same for the whole unit of work.
    pub now: DateTime<Utc>,
    scope: Scope,
    token: String,
    deadline: Option<Deadline>,
    traceparent: String,
}

/// When the caller stops waiting. Put into the request's extensions by the deadline layer.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// What is left for the way back when a deadline is passed on to a peer.
const WAY_BACK: Duration = Duration::from_millis(50);

impl<T> Call<T> {
    /// The rows that the caller reaches with the permission of this RPC.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether the caller has a further permission that this use of the RPC needs.
    pub fn require(&self, permission: &str) -> Result<(), Fault> {
        if self.principal.may(permission) {
            return Ok(());
        }
        Err(Fault::new(Code::PermissionDenied, "PERMISSION_DENIED", "the caller may not do this")
            .with("permission", permission))
    }

    /// A request to a peer for the same caller, within what is left of the same deadline.
    pub fn forward<M>(&self, msg: M) -> Request<M> {
        peer_request(msg, &self.token, self.deadline, &self.traceparent)
    }

    /// How long the caller still waits. None: for ever.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|Deadline(at)| at.saturating_duration_since(Instant::now()))
    }

    /// Who did what, for the events that the call writes.
    pub fn act(&self) -> Act
    where
        T: Mutation,
    {
        Act {
            now: self.now,
            due_time: None,
            actor: self.principal.name.clone(),
            method: self.method.to_owned(),
            request_id: self.msg.request_id().to_owned(),
            causation: String::new(),
            policy_version: String::new(),
            traceparent: self.traceparent.clone(),
        }
    }

    /// The id of the request, which parsing has found to be a UUID.
    pub(crate) fn request_uuid(&self) -> Result<Uuid, Fault>
    where
        T: Mutation,
    {
        Uuid::try_parse(self.msg.request_id()).map_err(|_| {
            let mut wrong = crate::violations::Violations::default();
            let _ = wrong.request_id(self.msg.request_id());
            Fault::fields(&wrong)
        })
    }
}

/// A request to a peer by a service acting as itself, for its workers.
pub fn own_request<M>(identity: &Identity, msg: M) -> Request<M> {
    peer_request(msg, &identity.own_token(), None, &trace::current_traceparent())
}

fn peer_request<M>(msg: M, token: &str, deadline: Option<Deadline>, traceparent: &str) -> Request<M> {
    let mut request = Request::new(msg);
    let mut put = |key: &'static str, value: &str| {
        if let Ok(value) = MetadataValue::try_from(value) {
            request.metadata_mut().insert(key, value);
        }
    };
    put(TOKEN_HEADER, token);
    if !traceparent.is_empty() {
        put("traceparent", traceparent);
    }
    if let Some(Deadline(at)) = deadline {
        request.set_timeout(at.saturating_duration_since(Instant::now()).saturating_sub(WAY_BACK));
    }
    request
}

/// Who did what and why: what an event says beside its fact.
#[derive(Clone, Debug)]
pub struct Act {
    /// When.
    pub now: DateTime<Utc>,
    /// For a deadline's effect: when the deadline was.
    pub due_time: Option<DateTime<Utc>>,
    /// The principal, or `service:{name}` for a worker.
    pub actor: String,
    /// The RPC or the worker.
    pub method: String,
    /// The request's id. Empty for a worker.
    pub request_id: String,
    /// The event that this answers, as `{service}/{event id}`. Empty where a caller began it.
    pub causation: String,
    /// The policy version that an automatic decision used.
    pub policy_version: String,
    /// The W3C trace context.
    pub traceparent: String,
}

impl Act {
    /// A worker of a service doing its work.
    pub fn of_worker(core: &Core, worker: &'static str, now: DateTime<Utc>) -> Self {
        Self {
            now,
            due_time: None,
            actor: format!("service:{}", core.service),
            method: worker.to_owned(),
            request_id: String::new(),
            causation: String::new(),
            policy_version: String::new(),
            traceparent: trace::current_traceparent(),
        }
    }

    /// The same, answering an event.
    #[must_use]
    pub fn because_of(mut self, service: &str, event_id: &str) -> Self {
        self.causation = format!("{service}/{event_id}");
        self
    }

    /// The same, under a policy version such as `sla/1`.
    #[must_use]
    pub fn under(mut self, policy_version: impl Into<String>) -> Self {
        self.policy_version = policy_version.into();
        self
    }

    /// The same, at a deadline.
    #[must_use]
    pub fn due(mut self, deadline: DateTime<Utc>) -> Self {
        self.due_time = Some(deadline);
        self
    }
}

/// Runs one call as its own task: a deadline or a vanished client abandons the answer, never the transaction.
pub async fn run<A, T, R, E, W>(
    core: &Core,
    app: A,
    request: Request<T>,
    work: impl FnOnce(A, Call<T>) -> W + Send + 'static,
) -> Result<Response<R>, Status>
where
    A: Send + 'static,
    T: Send + 'static,
    R: Send + 'static,
    E: Explain,
    W: Future<Output = Result<R, E>> + Send + 'static,
{
    run_unit(core.service, &core.units, core.clock.now(), app, request, work).await
}

/// The same for a service that has no database and therefore no `Core`.
pub async fn run_unit<A, T, R, E, W>(
    service: &'static str,
    units: &Units,
    now: DateTime<Utc>,
    app: A,
    request: Request<T>,
    work: impl FnOnce(A, Call<T>) -> W + Send + 'static,
) -> Result<Response<R>, Status>
where
    A: Send + 'static,
    T: Send + 'static,
    R: Send + 'static,
    E: Explain,
    W: Future<Output = Result<R, E>> + Send + 'static,
{
    let permit = units.admit().map_err(|fault| fault.into_status(service))?;
    let call = admitted_at(now, request).map_err(|fault| fault.into_status(service))?;
    // The work is large, and each step on its way into the task would copy it.
    let work = Box::pin(work(app, call));
    let unit = async move {
        let _permit = permit;
        work.await.map_err(|error| tell(service, &error))
    };
    match tokio::spawn(unit.in_current_span()).await {
        Ok(outcome) => outcome.map(Response::new),
        Err(panic) => {
            tracing::error!(%panic, "unit of work panicked");
            Err(Fault::new(Code::Internal, "INTERNAL", "internal error").into_status(service))
        }
    }
}

/// The call as the handler sees it.
pub fn admitted<T>(core: &Core, request: Request<T>) -> Result<Call<T>, Fault> {
    admitted_at(core.clock.now(), request)
}

fn admitted_at<T>(now: DateTime<Utc>, request: Request<T>) -> Result<Call<T>, Fault> {
    let (_, extensions, msg) = request.into_parts();
    let admitted = extensions
        .get::<Admitted>()
        .cloned()
        .ok_or_else(|| Fault::new(Code::Unauthenticated, "UNAUTHENTICATED", "the call was not let in"))?;
    Ok(Call {
        msg,
        scope: admitted.principal.scope(&admitted.policy.permission),
        principal: admitted.principal,
        method: admitted.policy.method,
        now,
        token: admitted.token,
        deadline: extensions.get::<Deadline>().copied(),
        traceparent: trace::current_traceparent(),
    })
}

/// Logs a refusal once, here where it is handled, and makes the status.
pub fn tell(service: &'static str, error: &dyn Explain) -> Status {
    let fault = error.explain();
    metrics::counter!("otdel_refusals_total", "service" => service, "reason" => fault.reason).increment(1);
    match (&fault.cause, fault.code) {
        (Some(cause), Code::Internal | Code::Unknown | Code::DataLoss) => {
            tracing::error!(reason = fault.reason, cause = cause.as_ref(), "call failed");
        }
        (Some(cause), _) => tracing::warn!(reason = fault.reason, cause = cause.as_ref(), "call failed"),
        (None, code) => tracing::info!(reason = fault.reason, ?code, "call refused"),
    }
    fault.into_status(service)
}
