//! The switch that stops all calls to the provider by hand. It is kept in the database, so that every worker obeys it, also
//! one that starts later.

use crate::store::Error;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use process::breaker::Breaker;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How soon a worker obeys.
const LOOKS: Duration = Duration::from_secs(1);

/// Who has stopped the calls, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What somebody wants.
#[derive(Clone, Debug, Deserialize)]
pub struct Wish {
    /// No calls, or calls again?
    pub paused: bool,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Has somebody stopped the calls?
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn look(pool: &Pool) -> Result<Option<Pause>, Error> {
    let client = pool.get().await?;
    let select = client.prepare_cached("select paused_by, reason, paused_at from provider_pause").await?;
    let row = client.query_opt(&select, &[]).await?;
    Ok(row.map(|row| Pause { by: row.get(0), reason: row.get(1), since: row.get(2) }))
}

/// Stops the calls, or lets them go again. To say it twice changes nothing: the first reason stays.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn turn(pool: &Pool, wish: &Wish) -> Result<Option<Pause>, Error> {
    let client = pool.get().await?;
    if wish.paused {
        let pause = "insert into provider_pause (paused_by, reason) values ($1, $2) on conflict do nothing";
        client.execute(pause, &[&wish.by, &wish.reason]).await?;
    } else {
        client.execute("delete from provider_pause", &[]).await?;
    }
    tracing::info!(paused = wish.paused, by = wish.by, "somebody turned the switch of the payment provider");
    drop(client);
    look(pool).await
}

/// Obeys the switch until told to stop. While the database does not answer, nothing changes.
pub(super) async fn obey(pool: Pool, breaker: Arc<Breaker>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match look(&pool).await {
            Ok(pause) => {
                breaker.pause(pause.is_some());
            }
            Err(error) => tracing::warn!(error = process::logs::chain(&error), "the provider's switch cannot be read"),
        }
        let _stopping = stop.run_until_cancelled(tokio::time::sleep(LOOKS)).await;
    }
}
