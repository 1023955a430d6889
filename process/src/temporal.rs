//! Temporal: one connection per process, and the SDK's runtime with its metrics.

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions, metrics::CoreMeter, start_prometheus_metric_exporter, telemetry_init,
};
use temporalio_sdk::{Runtime, runtime::RuntimeOptions};

/// Where Temporal is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `TEMPORAL_ADDRESS`: host and port of its frontend.
    pub address: String,
    /// `TEMPORAL_NAMESPACE`.
    pub namespace: String,
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
pub async fn connect(settings: &Settings) -> anyhow::Result<Temporal> {
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
    options.metrics_meter = telemetry_init(telemetry())?.get_temporal_metric_meter();

    let patience = ExponentialBuilder::default().with_max_delay(Duration::from_secs(3)).with_max_times(25);
    let connection = (|| Connection::connect(options.clone()))
        .retry(patience)
        .notify(|error, pause| tracing::warn!(error = super::logs::chain(error), ?pause, "Temporal is not there yet"))
        .await
        .context("Temporal does not answer")?;
    let client = Client::new(connection, ClientOptions::new(&settings.namespace).build())?;
    Ok(Temporal { client, runtime, metrics: exporter.bound_addr })
}
