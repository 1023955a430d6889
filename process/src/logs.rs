//! Logs: one line of JSON each on standard error, level by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

/// Starts logging. The engine's own debug spans print payloads, so it stays at *warn* whatever `RUST_LOG` says.
pub fn start() {
    let wished = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::builder().parse_lossy(format!("{wished},temporalio_sdk_core=warn,temporalio_client=warn"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// The causes of an error, outermost first, for the one place that logs it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
