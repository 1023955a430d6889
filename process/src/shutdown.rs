//! An orderly end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end (SIGTERM or SIGINT).
///
/// # Errors
/// When the operating system does not let us listen.
pub async fn requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
