//! How traces go on from one program to the next (W3C Trace Context), and their export (OTLP over HTTP).

use std::{env, time::Duration};

use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{SpanContext, TraceContextExt, TraceState, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    resource::EnvResourceDetector,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::{Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{TARGET, TraceExportError, TraceSettings};
use crate::retry::{Episode, LogLimiter, log_at};

/// The parent of spans, in this program or another.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceParent(Option<Box<SpanContext>>);

/// What may go with a `traceparent`, and is passed on with it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is passed on, as long as the specification asks for: a connection keeps it.
const MAX_TRACESTATE_BYTES: usize = 512;

impl TraceParent {
    /// Reads `traceparent` and `tracestate`. Nothing, if they are not there or wrong.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let read = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let mut parent = Self::new(read.span().span_context());
        let states = headers.get_all(TRACESTATE).iter();
        if states.map(http::HeaderValue::len).sum::<usize>() > MAX_TRACESTATE_BYTES
            && let Some(context) = &mut parent.0
        {
            **context = SpanContext::new(
                context.trace_id(),
                context.span_id(),
                context.trace_flags(),
                true,
                TraceState::NONE,
            );
        }
        parent
    }

    /// A span as a parent; nothing, if nobody collects it.
    pub(crate) fn of(span: &Span) -> Self {
        match span.is_disabled() {
            true => Self(None),
            false => Self::new(span.context().span().span_context()),
        }
    }

    /// The span that the present task is in.
    pub(crate) fn current() -> Self {
        Self::new(Context::current().span().span_context())
    }

    fn new(context: &SpanContext) -> Self {
        Self(context.is_valid().then(|| Box::new(context.clone())))
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Makes a new span its child.
    pub(crate) fn adopt(&self, span: &Span) {
        if let Some(context) = &self.0 {
            let parent = Context::new().with_remote_span_context((**context).clone());
            // Fails if nobody collects the span.
            let _ = span.set_parent(parent);
        }
    }
}

/// Adds `traceparent` and `tracestate` to the headers of a request that a span is for, if somebody collects it.
pub(crate) fn add_headers(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        let propagator = TraceContextPropagator::new();
        propagator.inject_context(&span.context(), &mut HeaderInjector(headers));
    }
}

/// How long the last spans may take to be sent when the program ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Sends spans to a collector, some seconds' at once, by a thread of its own. Those that it cannot send soon enough are dropped.
pub(crate) struct TraceExport(SdkTracerProvider);

impl TraceExport {
    /// Begins to export, if a collector is set; `node` is this node's name, if it has one.
    ///
    /// # Errors
    /// The environment's URL is wrong, or TLS cannot be set up.
    pub(crate) fn start(
        settings: &TraceSettings,
        node: Option<&str>,
    ) -> Result<Option<Self>, TraceExportError> {
        let url = settings.url();
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let in_environment = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ];
        if url.is_none() && !in_environment.into_iter().any(is_set) {
            return Ok(None);
        }
        let mut exporter = opentelemetry_otlp::SpanExporter::builder().with_http();
        if let Some(url) = url {
            exporter = exporter.with_endpoint(url);
        }
        let exporter = exporter.build();
        let exporter = exporter.map_err(|error| TraceExportError(error.to_string()))?;
        let sampler = Sampler::TraceIdRatioBased(settings.sample.value());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(LoggingExporter {
                exporter,
                log: LogLimiter::new(),
            })
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource(node))
            .build();
        Ok(Some(Self(provider)))
    }

    /// The layer that takes spans from `tracing`.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("switchboard"))
            // They say where in the code a span begins, which is of no use to operators.
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE))
    }

    /// Sends the last spans; takes 2 s at most.
    pub(crate) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// What describes this program to a collector. The environment goes before it.
fn resource(node: Option<&str>) -> Resource {
    let service = env::var("OTEL_SERVICE_NAME").ok();
    let service = service.filter(|name| !name.is_empty());
    let mut known = vec![
        KeyValue::new("service.name", "switchboard"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    known.extend(node.map(|node| KeyValue::new("service.instance.id", node.to_owned())));
    let resource = Resource::builder_empty()
        .with_attributes(known)
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service {
        Some(service) => resource.with_service_name(service).build(),
        None => resource.build(),
    }
}

/// Logs that spans cannot be sent, and that they can be again.
#[derive(Debug)]
struct LoggingExporter<E> {
    exporter: E,
    log: LogLimiter,
}

impl<E: SpanExporter> SpanExporter for LoggingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        match &exported {
            Err(error) => log_at!(self.log, warn, spans, %error, "sending traces failed"),
            Ok(()) => {
                if let Some(Episode { lasted, times }) = self.log.finish() {
                    tracing::info!(?lasted, times, "traces are sent again");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
