//! The W3C trace context of the unit of work under way.

use http::HeaderMap;
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The metadata that carries the trace context.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The `traceparent` of the current span. Empty where traces are not collected.
pub fn current_traceparent() -> String {
    let context = Span::current().context();
    let span = context.span();
    let at = span.span_context();
    if !at.is_valid() {
        return String::new();
    }
    format!("00-{}-{}-{:02x}", at.trace_id(), at.span_id(), at.trace_flags().to_u8())
}

/// Makes a span the child of the one that a caller's headers name, if they do and traces are collected.
pub fn follow_on(span: &Span, headers: &HeaderMap) {
    if headers.contains_key(TRACEPARENT_HEADER) {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        // Fails where no layer collects traces, which is not a fault.
        let _ = span.set_parent(context);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn child_of(traceparent: &str) -> String {
        let headers = HeaderMap::from_iter([(TRACEPARENT_HEADER.parse().unwrap(), traceparent.parse().unwrap())]);
        let span = tracing::info_span!("test");
        follow_on(&span, &headers);
        span.in_scope(current_traceparent)
    }

    #[test]
    fn a_trace_goes_on_through_a_call() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let child = child_of(&format!("00-{TRACE}-b7ad6b7169203331-01"));
            assert!(child.starts_with(&format!("00-{TRACE}-")) && child.ends_with("-01"), "{child}");
            assert!(!child.contains("b7ad6b7169203331"), "{child}");
            let stranger = child_of("nonsense");
            assert!(!stranger.is_empty() && !stranger.contains(TRACE), "{stranger}");
        });
    }

    #[test]
    fn without_a_collector_there_is_no_trace() {
        assert_eq!(child_of(&format!("00-{TRACE}-b7ad6b7169203331-01")), "");
    }
}
