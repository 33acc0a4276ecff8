use axum::{body::Body, response::Response};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::code::name_of;

/// Measures a call from its arrival to its answer's last byte: counts it as under way until it is dropped, at the last
/// frame or where the caller went away.
pub(super) struct Meter {
    service: &'static str,
    in_flight: metrics::Gauge,
    method: &'static str,
    began: Instant,
    code: Code,
}

impl Meter {
    pub(super) fn start(service: &'static str, method: &'static str) -> Self {
        let in_flight = metrics::gauge!("rpc_server_calls_in_flight", "service" => service);
        in_flight.increment(1);
        // Unless a status comes, nobody waited for one.
        Self { service, in_flight, method, began: Instant::now(), code: Code::Cancelled }
    }

    /// Watches the answer leave.
    pub(super) fn watch(mut self, answer: Response) -> Response {
        self.see(answer.headers());
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.see(trailers);
                }
                frame
            }))
        })
    }

    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code = Code::from_bytes(status.as_bytes());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
        let (took, code) = (self.began.elapsed(), name_of(self.code));
        metrics::histogram!(
            "rpc_server_call_duration_seconds",
            "service" => self.service, "rpc_method" => self.method, "rpc_status" => code
        )
        .record(took.as_secs_f64());
        tracing::debug!(
            service = self.service,
            rpc.method = self.method,
            rpc.status = code,
            took_ms = took.as_millis(),
            "call ended"
        );
    }
}
