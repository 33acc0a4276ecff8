//! Logs, traces and metrics of a process.

mod described;

use std::{
    io::{IsTerminal as _, stderr},
    sync::Mutex,
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{ParseError, filter_fn},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::clock;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A JSON object a line, for collectors.
    Json,
    /// A line for people.
    #[default]
    Pretty,
}

/// What a process tells about itself and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How log lines look. They go to the standard error.
    pub format: LogFormat,
    /// What is logged, as `tracing-subscriber` filters write it: `info`, or `info,otdel_leads=debug`.
    pub filter: String,
    /// Where traces go by OTLP over gRPC, such as `http://collector:4317`. None: none are collected.
    pub otlp_endpoint: Option<String>,
    /// The process's name among others: a role's, or `otdel` for several.
    pub service: String,
}

/// Libraries that can write what passes through them, headers with tokens and messages with names included. They do so
/// below INFO, and that is cut off whatever the filter says.
const TALKATIVE: [&str; 8] = ["h2", "hyper", "hyper_util", "opentelemetry", "rustls", "sqlx", "tonic", "tower"];

/// The buckets of every duration, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The buckets of what may be late by hours after an outage.
const LONG_SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 1800.0, 7200.0];

/// What may be late by hours.
const LATE: [&str; 3] = ["otdel_feed_lag_seconds", "otdel_follow_lag_seconds", "otdel_hand_on_lateness_seconds"];

/// How often what was recorded is put into its buckets where nobody reads it, and the process's own figures are taken.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BadTelemetry {
    /// The filter is malformed.
    #[error("the log filter is malformed: {0}")]
    Filter(#[from] ParseError),
    /// The endpoint for traces cannot be used.
    #[error("traces cannot be exported: {0}")]
    Traces(#[from] ExporterBuildError),
    /// Somebody else has set up metrics.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(#[from] BuildError),
    /// Somebody else has set up logs.
    #[error("logs cannot be written: {0}")]
    Logs(#[from] TryInitError),
}

/// A process's telemetry. Dropped last, it sends what is not sent yet.
#[derive(Debug)]
pub struct Telemetry {
    metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
    _upkeep: Option<AbortOnDropHandle<()>>,
}

/// The metrics' recorder, once it is installed.
static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Sets up logs, traces and metrics, once for a process: a later call changes nothing and gives the same metrics, so
/// that tests may call it. To be called inside the async runtime.
pub fn init(settings: &Settings) -> Result<Telemetry, BadTelemetry> {
    let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(metrics) = installed.as_ref() {
        return Ok(Telemetry { metrics: metrics.clone(), traces: None, _upkeep: None });
    }
    let traces = settings.otlp_endpoint.as_deref().map(|endpoint| exporter(endpoint, &settings.service)).transpose()?;
    // The filter below is for lines: a process that logs little is traced all the same.
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer().with_tracer(traces.tracer("otdel")).with_filter(filter_fn(is_traced))
    });
    let filter = EnvFilter::builder().parse(&settings.filter)?;
    Registry::default()
        .with(spans)
        .with(lines(settings.format).with_filter(filter))
        .with(filter_fn(is_discreet))
        .try_init()?;
    let metrics = recorder()?.install_recorder()?;
    described::describe();
    metrics::gauge!("otdel_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    *installed = Some(metrics.clone());
    let upkeep = AbortOnDropHandle::new(tokio::spawn(keep_up(metrics.clone())));
    Ok(Telemetry { metrics, traces, _upkeep: Some(upkeep) })
}

impl Telemetry {
    /// What was measured, for [`admin_router`](crate::server::admin_router).
    pub fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    let all = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(all, &SECONDS)?;
    let late = |recorder: PrometheusBuilder, name: &&str| {
        recorder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &LONG_SECONDS)
    };
    LATE.iter().try_fold(recorder, late)
}

/// Whether a span is part of a trace, or a line is told in its span: our own, those of every call.
fn is_traced(of: &Metadata<'_>) -> bool {
    *of.level() <= Level::INFO && of.target().starts_with("otdel")
}

/// Whether a line may be written at all.
fn is_discreet(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::INFO || !TALKATIVE.contains(&library)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Pretty => layer.with_ansi(stderr().is_terminal()).boxed(),
    }
}

fn exporter(endpoint: &str, service: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Puts what was recorded into its buckets now and then, because it would pile up where nobody reads the metrics, and
/// takes the process's own figures: its memory, processor time, threads and files.
async fn keep_up(metrics: PrometheusHandle) {
    let process = metrics_process::Collector::default();
    process.describe();
    loop {
        process.collect();
        clock::pause(UPKEEP).await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_through_libraries_is_never_logged() {
        let filter = EnvFilter::builder().parse("trace,h2::codec=trace").unwrap();
        let subscriber = Registry::default().with(filter).with(filter_fn(is_discreet));
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::enabled!(target: "otdel_leads::rpc", Level::TRACE));
            assert!(tracing::enabled!(target: "h2::codec", Level::WARN));
            assert!(!tracing::enabled!(target: "h2::codec::framed_read", Level::TRACE));
            assert!(!tracing::enabled!(target: "sqlx::query", Level::DEBUG));
        });
    }

    #[tokio::test]
    async fn a_second_call_changes_nothing() {
        let settings = |filter: &str| Settings {
            format: LogFormat::Json,
            filter: filter.to_owned(),
            otlp_endpoint: None,
            service: "test".to_owned(),
        };
        let first = init(&settings("off")).unwrap();
        let second = init(&settings("off")).unwrap();
        metrics::counter!("otdel_telemetry_test_total").increment(1);
        for telemetry in [first, second] {
            assert!(telemetry.metrics().render().contains("otdel_telemetry_test_total 1"));
        }
    }
}
