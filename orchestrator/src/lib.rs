//! The orchestrator: the only entrance (gateway), the sagas' host, and the keeper of the board.

pub mod board;
mod calls;
pub mod cli;
pub mod conformance;
pub mod gateway;
pub mod host;
pub mod levels;
pub mod metrics;
mod near;
pub mod reconcile;
pub mod recovery;
pub mod upgrade;
pub mod webhooks;
pub mod worker;

use anyhow::Context;
use board::Board;
use gateway::Gateway;
use process::{
    admin::{self, Readiness},
    temporal, traces,
};
use secrecy::SecretString;
use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What the orchestrator reads from its environment.
pub struct Settings {
    /// `HOLDFAST_BOARD_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
    /// Where Temporal is.
    pub temporal: temporal::Settings,
    /// How often lost sagas are looked for.
    pub recovery: recovery::Settings,
    /// `HOLDFAST_WORKFLOW_TASKS_MAX`: how many sagas think at the same time.
    pub workflow_tasks_max: NonZeroUsize,
    /// The gateway's.
    pub gateway: gateway::Settings,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{database, or};
        Ok(Self {
            database: database("HOLDFAST_BOARD_DATABASE_URL")?,
            admin: or("HOLDFAST_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8190)))?,
            temporal: temporal::Settings::read()?,
            recovery: recovery::Settings::read()?,
            workflow_tasks_max: or("HOLDFAST_WORKFLOW_TASKS_MAX", "a number from 1", host::workflow_tasks_usual())?,
            gateway: gateway::Settings::read()?,
        })
    }
}

/// Serves until told to stop.
///
/// # Errors
/// When a part cannot start, or Temporal refuses us for good.
pub async fn serve(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let traces = traces::start("holdfast-orchestrator")?;
    Board::migrate(&settings.database).await.context("the board")?;
    let board = Board::open(&settings.database, stop.clone())?;
    board.connect_readers().await;
    let temporal = temporal::connect(&settings.temporal, &traces).await?;
    let gateway = Arc::new(Gateway::new(&settings.gateway, temporal.client.clone(), board.clone(), stop.clone())?);
    webhooks::start(&board, &stop)?;
    board.start_forgetting(stop.clone())?;
    tokio::spawn(levels::measure(board.clone(), stop.clone()));
    recovery::schedule(&temporal.client, settings.recovery).await?;
    let listener = admin::bind(settings.gateway.http).await?;
    let readiness = Readiness::default();

    // The sagas go on until the last request has its answer: it may be theirs.
    let (answered, ready) = (CancellationToken::new(), readiness.clone());
    let health = admin::serve(settings.admin, readiness.clone(), Some(temporal.metrics), answered.clone());
    // On a task of its own: the sagas' futures stay on this one, and must not wait for HTTP.
    let http = tokio::spawn(gateway::serve(gateway, listener));
    tokio::try_join!(
        async {
            let ran = host::run(
                &temporal,
                board,
                &settings.gateway.workers,
                &settings.gateway.limits,
                settings.workflow_tasks_max,
                readiness,
                answered.clone(),
            )
            .await;
            // A dead host takes its process down: the platform starts it again.
            stop.cancel();
            ran.context("the sagas' host")
        },
        async {
            stop.cancelled().await;
            ready.set(false);
            Ok(())
        },
        async {
            let served = http.await;
            answered.cancel();
            served.context("the gateway")
        },
        async { health.await.context("the admin port") },
    )?;
    Ok(())
}
