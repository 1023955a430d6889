//! Levels: what is measured again and again, rather than counted as it happens.

use crate::metrics::gauge;
use prometheus::IntGaugeVec;
use std::{
    error::Error,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// As often as Prometheus looks, or a little less.
const EVERY: Duration = Duration::from_secs(10);

static MEASURED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "When levels were measured last, in seconds since 1970. Old: they are not what is now.";
    gauge("holdfast_measured_timestamp_seconds", help, &["what"])
});

/// Measures until told to stop. When that fails, levels stay as they were, and the time of the last success tells.
pub async fn measure<E: Error + 'static, L: Future<Output = Result<(), E>>>(
    what: &'static str,
    stop: CancellationToken,
    look: impl Fn() -> L,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match look().await {
            Ok(()) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                MEASURED.with_label_values(&[what]).set(i64::try_from(now).unwrap_or(i64::MAX));
            }
            Err(error) => tracing::warn!(error = crate::logs::chain(&error), what, "levels stay as they were"),
        }
    }
}
