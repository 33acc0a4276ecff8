use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;

use super::Health;

/// What operators' tools ask over plain HTTP, on a listener of its own ([`Kind::Admin`](super::Kind)): `/metrics` for
/// Prometheus, `/healthz` (the process answers) and `/readyz` (every role is ready for calls, else 503).
pub fn admin_router(metrics: PrometheusHandle, health: Vec<Health>) -> Router {
    Router::new()
        .route("/metrics", get(move || async move { metrics.render() }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness).with_state(health))
}

async fn readiness(State(health): State<Vec<Health>>) -> (StatusCode, String) {
    let waiting: Vec<_> = health.iter().filter(|role| !role.is_ready()).map(Health::service).collect();
    if waiting.is_empty() {
        return (StatusCode::OK, "ready".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", waiting.join(", ")))
}
