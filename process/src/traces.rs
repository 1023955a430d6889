//! Traces: what one request set off, from the gateway through the saga and its activities to the provider, in the form of
//! OpenTelemetry. Nothing is traced unless the environment says where traces go; the variables are OpenTelemetry's own.

use anyhow::Context as _;
pub use opentelemetry::Context;
use opentelemetry::{
    KeyValue, Value, global,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter, WithTonicConfig,
    tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{self, SdkTracerProvider, SpanData},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use temporalio_sdk::{
    SimplePlugin,
    opentelemetry::{OpenTelemetryPlugin, WorkflowIdGenerator},
};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

pub use opentelemetry::context::FutureExt as Traced;

const TRACER: &str = "holdfast";
const PARENT: &str = "traceparent";
const END_WITHIN: Duration = Duration::from_secs(3);

/// Traces of this process. Dropped, it sends those that have not been sent.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

/// Starts tracing if `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) names a collector that speaks
/// OTLP over gRPC. `OTEL_SERVICE_NAME` is `service` unless set.
///
/// # Errors
/// When the address cannot be used. A collector that is away is no error: its traces are lost, and nothing else.
pub fn start(service: &'static str) -> anyhow::Result<Traces> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !set(OTEL_EXPORTER_OTLP_ENDPOINT) && !set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) {
        return Ok(Traces::default());
    }
    let endpoint = [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let mut exporter = SpanExporter::builder().with_tonic();
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("https:")) {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let exporter = exporter.build();
    let exporter = exporter.context("OTEL_EXPORTER_OTLP_ENDPOINT: expected http://host:port")?;
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(service);
    }
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        // A saga that is replayed elsewhere is still the same span.
        .with_id_generator(WorkflowIdGenerator::default())
        .with_batch_exporter(WithoutWords(exporter))
        .build();
    global::set_tracer_provider(provider.clone());
    ON.store(true, Ordering::Relaxed);
    Ok(Traces(Some(provider)))
}

/// Is anything traced?
static ON: AtomicBool = AtomicBool::new(false);

/// Sends spans without the words of errors: those are for the log, where they are written with care. A span says that it failed.
#[derive(Debug)]
struct WithoutWords(SpanExporter);

impl trace::SpanExporter for WithoutWords {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.events.events.clear();
            if matches!(span.status, Status::Error { .. }) {
                span.status = Status::error("");
            }
        }
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl Traces {
    /// What carries a trace through Temporal: from who starts a saga to its activities, in a header of each.
    #[must_use]
    pub fn plugin(&self) -> Option<SimplePlugin> {
        // The trace and nothing else: baggage is whatever a caller wants to have written into histories.
        let plugin = OpenTelemetryPlugin::builder().propagator(TraceContextPropagator::new());
        self.0.as_ref().map(|_| plugin.build())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(END_WITHIN)
        {
            tracing::warn!(error = crate::logs::chain(&error), "the last traces were not sent");
        }
    }
}

/// Somebody asks us something: a span of their trace, or the first of a new one.
#[must_use]
pub fn asked(headers: &HeaderMap) -> Context {
    if !ON.load(Ordering::Relaxed) {
        return Context::new();
    }
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(headers));
    start_span(&parent, "request", SpanKind::Server)
}

/// We ask somebody: a span of the trace that this is part of.
#[must_use]
pub fn asking(whom: &'static str) -> Context {
    start_span(&Context::current(), whom, SpanKind::Client)
}

fn start_span(parent: &Context, name: &'static str, kind: SpanKind) -> Context {
    let tracer = global::tracer(TRACER);
    parent.with_span(tracer.span_builder(name).with_kind(kind).start_with_context(&tracer, parent))
}

/// What is sent along with a request, so that whoever answers it knows its trace.
#[must_use]
pub fn headers(context: &Context) -> HeaderMap {
    let mut headers = Parents(HeaderMap::new());
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.0
}

/// The number of a trace, for the log. `None` where nothing is traced.
#[must_use]
pub fn id(context: &Context) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Names a span better than was possible when it began.
pub fn name(context: &Context, name: String) {
    context.span().update_name(name);
}

/// Says something about a span.
pub fn say(context: &Context, name: &'static str, value: impl Into<Value>) {
    context.span().set_attribute(KeyValue::new(name, value));
}

/// Of a stranger's headers, only the two numbers of fixed length: the rest would be passed on to whoever we ask.
struct Parent<'a>(&'a HeaderMap);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        if key == PARENT { self.0.get(PARENT)?.to_str().ok() } else { None }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT]
    }
}

struct Parents(HeaderMap);

impl Injector for Parents {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
