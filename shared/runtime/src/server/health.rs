use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tonic_health::{ServingStatus, server::HealthReporter};

use super::reflection::services_of;

/// Whether a role is ready for calls, as health checks and readiness probes see it. Starts as not ready.
#[derive(Clone, Debug)]
pub struct Health {
    service: &'static str,
    reporter: HealthReporter,
    ready: Arc<AtomicBool>,
}

impl Health {
    /// The health of a role that is not ready yet.
    pub async fn new(service: &'static str) -> Self {
        let health = Self { service, reporter: HealthReporter::new(), ready: Arc::default() };
        health.set_ready(false).await;
        health
    }

    /// Says whether the role is ready: for all of it (the empty name) and for each of its gRPC services.
    pub async fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
        metrics::gauge!("otdel_ready", "service" => self.service).set(f64::from(u8::from(ready)));
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status("", status).await;
        for name in services_of(self.service) {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Whether the role is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// The role.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The service that health checks ask.
    pub(super) fn server(
        &self,
    ) -> tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health> {
        tonic_health::pb::health_server::HealthServer::new(tonic_health::server::HealthService::from_health_reporter(
            self.reporter.clone(),
        ))
    }
}
