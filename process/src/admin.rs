//! The admin port of a process: is it alive, is it ready, what does it count.

use crate::metrics::gauge;
use prometheus::{Encoder, TextEncoder};
use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use warp::{Filter, http::StatusCode};

/// Whether a process takes work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Asks.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves `/health/live`, `/health/ready` and `/metrics` until told to stop. `/metrics` is our own registry followed by
/// the Temporal SDK's, fetched from its exporter on loopback.
///
/// # Errors
/// When the address is taken.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    sdk_metrics: Option<SocketAddr>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = bind(address).await?;
    let live = warp::path!("health" / "live").map(|| StatusCode::OK);
    let ready = warp::path!("health" / "ready")
        .map(move || if readiness.get() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE });
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
    let metrics = warp::path!("metrics").then(move || {
        let client = client.clone();
        async move {
            let mut text = own_metrics();
            if let Some(address) = sdk_metrics {
                text.push_str(&fetch(&client, address).await);
            }
            warp::reply::with_header(text, "content-type", "text/plain; version=0.0.4")
        }
    });
    let routes = warp::get().and(live.or(ready).or(metrics));
    warp::serve(routes).incoming(listener).graceful(async move { stop.cancelled().await }).run().await;
    Ok(())
}

/// Listens on an address, or says what to do about it.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    use anyhow::Context;
    tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another process using the port?"))
}

/// Which build this is.
static BUILD: LazyLock<()> = LazyLock::new(|| {
    let build = gauge("holdfast_build_info", "Always 1; the label says which version this is.", &["version"]);
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
});

fn own_metrics() -> String {
    LazyLock::force(&BUILD);
    let mut text = Vec::new();
    match TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("# our own metrics could not be written: {error}\n"),
    }
}

async fn fetch(client: &reqwest::Client, address: SocketAddr) -> String {
    let answer = async { client.get(format!("http://{address}/metrics")).send().await?.text().await };
    answer.await.unwrap_or_else(|error| format!("# the SDK's metrics could not be read: {error}\n"))
}
