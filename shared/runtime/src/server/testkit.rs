//! What the tests of this module and of `peers` call: a service that does what a test tells it.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::HeaderMap;
use otdel_api::leads::{
    ListDealEventsRequest, ListDealEventsResponse, LocateRequest, LocateResponse, SubscribeRequest, SubscribeResponse,
    lead_event_service_server::{LeadEventService, LeadEventServiceServer},
};
use tonic::{Request, Response, Status, service::Routes};
use tonic_types::StatusExt as _;

use super::{Kind, Limits, Listener, MAX_REQUEST, Serve, Serving, serve, stack};
use crate::{
    auth::{Authenticate, Caller, Entry, Principal},
    fault::Fault,
};

/// What the service does with the n-th call of `Locate`, counted from 1.
type Script = dyn Fn(usize, Request<LocateRequest>) -> BoxFuture<'static, Result<(), Status>> + Send + Sync;

/// A service that does what a test tells it.
#[derive(Clone)]
pub(crate) struct Scripted {
    script: Arc<Script>,
    calls: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn new<W>(script: impl Fn(usize, Request<LocateRequest>) -> W + Send + Sync + 'static) -> Self
    where
        W: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let script = move |nth, request| -> BoxFuture<'static, _> { Box::pin(script(nth, request)) };
        Self { script: Arc::new(script), calls: Arc::default() }
    }

    /// Answers at once.
    pub(crate) fn ready() -> Self {
        Self::new(|_, _| future::ready(Ok(())))
    }

    /// Never answers.
    pub(crate) fn stuck() -> Self {
        Self::new(|_, _| future::pending())
    }

    /// How often `Locate` was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The service within its layers, open to everybody.
    pub(crate) fn stack(&self, limits: &Limits) -> Router {
        let server = LeadEventServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
        stack("leads", Routes::new(server), Arc::new(Anybody), limits)
    }

    /// The service on a port of its own.
    pub(crate) async fn listen(&self, change: impl FnOnce(&mut Serve)) -> Serving {
        let mut what = Serve::new("leads", Kind::Internal, Router::new());
        change(&mut what);
        what.router = self.stack(&what.limits);
        serve(Listener::bind("127.0.0.1:0").await.unwrap(), what).unwrap()
    }
}

#[tonic::async_trait]
impl LeadEventService for Scripted {
    type SubscribeStream = BoxStream<'static, Result<SubscribeResponse, Status>>;

    /// One message, and then silence.
    async fn subscribe(&self, _: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let first = stream::once(future::ready(Ok(SubscribeResponse::default())));
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateResponse>, Status> {
        let nth = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.script)(nth, request).await?;
        Ok(Response::new(LocateResponse::default()))
    }

    async fn list_deal_events(
        &self,
        _: Request<ListDealEventsRequest>,
    ) -> Result<Response<ListDealEventsResponse>, Status> {
        Ok(Response::new(ListDealEventsResponse::default()))
    }
}

/// Takes everybody for the service that the transport names, and whom it does not name for billing.
struct Anybody;

#[tonic::async_trait]
impl Authenticate for Anybody {
    async fn authenticate(&self, _: &HeaderMap, caller: Option<Caller>) -> Result<Entry, Fault> {
        let service = caller.map_or("billing", |caller| caller.0);
        let principal = Arc::new(Principal::service(service));
        Ok(Entry { principal, token: String::new(), told: HeaderMap::new(), excess: None, place: None })
    }
}

/// The stable reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
