//! A small collector of traces, as OTLP over gRPC brings them.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A collector on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    kept: Kept,
    _serving: AbortOnDropHandle<()>,
}

/// A span, and the process that it was in.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The process's name.
    pub process: String,
    /// The span.
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Collected>>>);

impl Collector {
    /// Listens on a free port. To be called inside the async runtime.
    pub fn start() -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let endpoint = format!("http://{}", incoming.local_addr().expect("an address"));
        let kept = Kept::default();
        let server = Server::builder().add_service(TraceServiceServer::new(kept.clone()));
        let serving = tokio::spawn(async move {
            server.serve_with_incoming(incoming).await.expect("the collector serves");
        });
        Self { endpoint, kept, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Where processes are to send their traces.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All spans that came.
    pub fn spans(&self) -> Vec<Collected> {
        self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_process in request.into_inner().resource_spans {
            let process = of_process.resource.map(name).unwrap_or_default();
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Collected { process: process.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What a process calls itself.
fn name(resource: Resource) -> String {
    let named = resource.attributes.into_iter().find(|attribute| attribute.key == "service.name");
    match named.and_then(|named| named.value?.value) {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    }
}
