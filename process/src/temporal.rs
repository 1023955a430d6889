//! Temporal: one connection per process, and the SDK's runtime with its metrics.

use super::{
    codec::Codec,
    traces::{self, Context, Traces},
};
use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable};
use serde::de::DeserializeOwned;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, NamespacedClient, Url};
use temporalio_common::{
    data_converters::{DataConverter, DefaultFailureConverter, PayloadConverter, SerializationContextData},
    protos::temporal::api::common::v1::Payloads,
    telemetry::{
        PrometheusExporterOptions, TelemetryOptions, metrics::CoreMeter, start_prometheus_metric_exporter,
        telemetry_init,
    },
};
use temporalio_sdk::{
    Runtime, SimplePlugin,
    activities::ActivityError,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
    runtime::RuntimeOptions,
};
use tracing::Instrument;

/// Where Temporal is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `TEMPORAL_ADDRESS`: host and port of its frontend.
    pub address: String,
    /// `TEMPORAL_NAMESPACE`.
    pub namespace: String,
    /// `HOLDFAST_PAYLOAD_KEYS`: what workflows and activities are told is encrypted, where there are any.
    pub codec: Option<Codec>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`super::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, super::settings::Error> {
        let (name, expected) = ("TEMPORAL_ADDRESS", "host:port");
        let address = super::settings::or(name, expected, "127.0.0.1:7233".to_owned())?;
        if let Err(error) = Url::parse(&format!("http://{address}")) {
            return Err(super::settings::Error::Invalid { name, expected, why: error.to_string() });
        }
        Ok(Self {
            address,
            namespace: super::settings::or("TEMPORAL_NAMESPACE", "a namespace", "holdfast".to_owned())?,
            codec: Codec::read()?,
        })
    }
}

/// A connected process.
pub struct Temporal {
    /// Shared by the gateway and every worker of the process, so that a start can be answered without another round trip.
    pub client: Client,
    /// What workers are made with.
    pub runtime: Runtime,
    /// Where the SDK's own metrics can be fetched, on loopback only.
    pub metrics: SocketAddr,
}

/// Connects, waiting up to a minute for a server that is still starting. Once connected, the SDK rides out outages.
///
/// # Errors
/// When the server stays away.
pub async fn connect(settings: &Settings, traces: &Traces) -> anyhow::Result<Temporal> {
    let exporter = PrometheusExporterOptions::builder()
        .socket_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .counters_total_suffix(true)
        .unit_suffix(true)
        .use_seconds_for_durations(true);
    let exporter = start_prometheus_metric_exporter(exporter.build())?;
    let meter: Arc<dyn CoreMeter> = exporter.meter;
    let telemetry = || TelemetryOptions::builder().metrics(meter.clone()).attach_service_name(false).build();
    let options = RuntimeOptions::builder().telemetry_options(telemetry()).build();
    let runtime = Runtime::from_current_tokio(options.map_err(anyhow::Error::msg)?)?;

    let url = Url::parse(&format!("http://{}", settings.address)).context("TEMPORAL_ADDRESS: expected host:port")?;
    let mut options = ConnectionOptions::new(url).build();
    options.identity = format!("holdfast-{}", std::process::id());
    options.connect_timeout = Some(Duration::from_secs(5));
    // The server is near: to make small messages smaller costs both sides more than to send them.
    options.grpc_compression = GrpcCompression::None;
    options.metrics_meter = telemetry_init(telemetry())?.get_temporal_metric_meter();

    let patience = ExponentialBuilder::default().with_max_delay(Duration::from_secs(3)).with_max_times(25);
    let connection = (|| Connection::connect(options.clone()))
        .retry(patience)
        .notify(|error, pause| tracing::warn!(error = super::logs::chain(error), ?pause, "Temporal is not there yet"))
        .await
        .context("Temporal does not answer")?;
    // In this order: the trace is there when an activity is named.
    let named = SimplePlugin::builder("log").activity_inbound_interceptors(vec![interceptor(Named)]).build();
    let options = ClientOptions::new(&settings.namespace).plugins(traces.plugin()).plugin(named);
    let options = options.data_converter(converter(settings.codec.clone()));
    let client = Client::new(connection, options.build())?;
    Ok(Temporal { client, runtime, metrics: exporter.bound_addr })
}

/// How values become payloads.
#[must_use]
pub fn converter(codec: Option<Codec>) -> DataConverter {
    match codec {
        Some(codec) => DataConverter::new(PayloadConverter::default(), DefaultFailureConverter::default(), codec),
        None => DataConverter::default(),
    }
}

/// What a payload of a history says. `None`: nothing, or nothing of this kind.
///
/// # Errors
/// When it cannot be decrypted.
pub async fn said<T: DeserializeOwned>(client: &Client, payloads: Option<Payloads>) -> anyhow::Result<Option<T>> {
    let Some(payload) = payloads.and_then(|payloads| payloads.payloads.into_iter().next()) else { return Ok(None) };
    let decoded = client.data_converter().codec().decode(&SerializationContextData::None, vec![payload]).await?;
    Ok(decoded.first().and_then(|payload| serde_json::from_slice(&payload.data).ok()))
}

/// Names, in the log, the booking and the trace that an activity works for.
struct Named;

fn interceptor(named: Named) -> Arc<dyn ActivityInboundInterceptor> {
    Arc::new(named)
}

impl ActivityInboundInterceptor for Named {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        Box::pin(async move {
            // Here, not before: the trace is that of whoever waits for this.
            let trace = traces::id(&Context::current());
            let info = input.activity_info();
            let booking = info.workflow_id.as_deref().map(super::logs::booking_of);
            let (activity, attempt) = (&info.activity_type, info.attempt);
            let span = tracing::info_span!("activity", activity, attempt, booking, trace);
            tell(next.run(input)).instrument(span).await
        })
    }
}

/// Does an activity, and says how it ended.
async fn tell(activity: ExecuteActivityOutput<'_>) -> <ExecuteActivityOutput<'_> as Future>::Output {
    let began = Instant::now();
    let outcome = activity.await;
    let seconds = began.elapsed().as_secs_f64();
    match &outcome {
        Ok(_) => tracing::debug!(seconds, "done"),
        Err(ActivityError::Application(failure)) => {
            tracing::warn!(seconds, error = super::logs::chain(failure), "an attempt failed");
        }
        Err(_) => tracing::debug!(seconds, "an attempt was cancelled"),
    }
    outcome
}
