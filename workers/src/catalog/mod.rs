//! Catalog worker: what can be booked, at which price, and who holds it.
//!
//! Promises that one unit is held by one booking at any moment, that a repeat gets the first answer, and that a released
//! booking never holds again. Does not know why something is held.

mod activities;
mod holds;
mod http;
mod items;
mod reviews;

pub use holds::{confirm, free, hold, look, open, release, stands};
pub use items::{Change, Item, NewItem, Removed};

use crate::{GRACE, Setup, host, metrics::HOLDS_LIVE, road::Road, store::Error};
use activities::Activities;
use deadpool_postgres::Pool;
use secrecy::SecretString;
use std::net::SocketAddr;
use temporalio_sdk::WorkerOptions;
use workflows::contracts::catalog;

mod embedded {
    refinery::embed_migrations!("src/catalog/migrations");
}

/// What the catalog worker reads from its environment.
pub struct Settings {
    /// `HOLDFAST_CATALOG_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_CATALOG_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
    /// `HOLDFAST_CATALOG_HTTP`: where the gateway reaches the catalogue.
    pub http: SocketAddr,
    /// `HOLDFAST_SERVICE_SECRET`: what the gateway shows there.
    pub service_secret: SecretString,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{database, or, secret};
        Ok(Self {
            database: database("HOLDFAST_CATALOG_DATABASE_URL")?,
            admin: or("HOLDFAST_CATALOG_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8191)))?,
            http: or("HOLDFAST_CATALOG_HTTP", "address:port", SocketAddr::from(([127, 0, 0, 1], 8181)))?,
            service_secret: secret("HOLDFAST_SERVICE_SECRET", "at least 16 random characters", 16)?,
        })
    }
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database stays away, or a migration fails.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    process::postgres::migrate(&settings.database, &embedded::migrations::runner()).await
}

/// Runs the worker until it is told to stop.
///
/// # Errors
/// When it cannot start, or Temporal refuses it for good.
pub async fn run(settings: Settings, setup: &Setup) -> anyhow::Result<()> {
    migrate(&settings).await?;
    let pool = process::postgres::pool(&settings.database)?;
    let listener = process::admin::bind(settings.http).await?;
    let http = crate::http::serve(
        listener,
        settings.service_secret,
        setup.stop.clone(),
        http::routes(pool.clone(), &Road::of(setup)),
    );
    let held = pool.clone();
    let options = WorkerOptions::new(catalog::QUEUE)
        .register_activities(Activities { pool })
        .graceful_shutdown_period(GRACE)
        .build();
    tokio::try_join!(
        host(setup, options, settings.admin),
        async {
            http.await;
            Ok(())
        },
        async {
            process::levels::measure("holds", setup.stop.clone(), || show(&held)).await;
            Ok(())
        },
    )?;
    Ok(())
}

async fn show(pool: &Pool) -> Result<(), Error> {
    let live = holds::live(pool).await?;
    HOLDS_LIVE.reset();
    for (system, state, count) in live {
        HOLDS_LIVE.with_label_values(&[&system, &state]).add(count);
    }
    Ok(())
}
