//! Logs: one line of JSON each on standard error, level by `RUST_LOG`. What is logged for a booking names it, and its trace,
//! in `span`.

use tracing_subscriber::EnvFilter;

/// What is kept at *warn* whatever `RUST_LOG` says: the engine's debug spans print payloads, and migrations are told
/// by us.
const QUIET: &str =
    "temporalio_sdk_core=warn,temporalio_client=warn,refinery_core=warn,tokio_postgres=warn,opentelemetry=warn";

/// Starts logging.
pub fn start() {
    let wished = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::builder().parse_lossy(format!("{wished},{QUIET}"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
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

/// The end of a program, with its causes on one line for whoever started it.
#[must_use]
#[expect(clippy::print_stderr, reason = "the program may end before logging begins")]
pub fn ended(outcome: anyhow::Result<()>) -> std::process::ExitCode {
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The booking's part of a workflow's id: ids are a system's name and a booking's id.
#[must_use]
pub fn booking_of(workflow: &str) -> &str {
    workflow.rsplit('/').next().unwrap_or(workflow)
}
