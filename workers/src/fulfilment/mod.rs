//! Fulfilment worker: what a booking gives its customer. Vouchers when a saga asks for them, points by following the feed of
//! bookings. Does not decide who deserves anything.

mod activities;
mod points;
mod vouchers;

pub use points::Points;
pub use vouchers::{Voucher, disable, issue, send};

use crate::{
    GRACE, Setup, host,
    http::{self, answer},
    road::Road,
};
use activities::Activities;
use deadpool_postgres::Pool;
use secrecy::SecretString;
use serde::Deserialize;
use std::net::SocketAddr;
use temporalio_sdk::WorkerOptions;
use uuid::Uuid;
use warp::{Filter, Rejection, http::StatusCode, reply::Response};
use workflows::contracts::fulfilment;

mod embedded {
    refinery::embed_migrations!("src/fulfilment/migrations");
}

/// What the fulfilment worker reads from its environment.
pub struct Settings {
    /// `HOLDFAST_FULFILMENT_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_FEED_DATABASE_URL`: where the feed of bookings is read; the worker's own database when absent.
    pub feed: SecretString,
    /// `HOLDFAST_FULFILMENT_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
    /// `HOLDFAST_FULFILMENT_HTTP`: where the gateway reaches vouchers and points.
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
        use process::settings::{database, optional, or, secret};
        let own = database("HOLDFAST_FULFILMENT_DATABASE_URL")?;
        let feed: Option<String> = optional("HOLDFAST_FEED_DATABASE_URL", "a database URL")?;
        Ok(Self {
            feed: if feed.is_some() { database("HOLDFAST_FEED_DATABASE_URL")? } else { own.clone() },
            database: own,
            admin: or("HOLDFAST_FULFILMENT_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8194)))?,
            http: or("HOLDFAST_FULFILMENT_HTTP", "address:port", SocketAddr::from(([127, 0, 0, 1], 8182)))?,
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
    let feed = process::postgres::pool(&settings.feed)?;
    let listener = process::admin::bind(settings.http).await?;
    let http =
        http::serve(listener, settings.service_secret, setup.stop.clone(), routes(pool.clone(), &Road::of(setup)));
    // On a task of its own: activities do not wait for it, nor it for them.
    let points = tokio::spawn(points::follow(pool.clone(), feed, setup.stop.clone()));
    let options = WorkerOptions::new(fulfilment::QUEUE)
        .register_activities(Activities { pool })
        .graceful_shutdown_period(GRACE)
        .build();
    tokio::try_join!(
        host(setup, options, settings.admin),
        async {
            http.await;
            Ok(())
        },
        async { points.await.map_err(anyhow::Error::from) },
    )?;
    Ok(())
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    after: String,
}

/// The longest page.
const PAGE_MAX: i64 = 200;

/// What was given stays on record.
const FORGETS: http::Forgets = &[
    ("vouchers", "update vouchers set customer = $2 where customer = $1"),
    ("credits", "update credits set customer = $2 where customer = $1"),
];

/// `POST /vouchers` with the ids of bookings: their vouchers. `GET /points?of&after`: what customers have. `DELETE
/// /customers/{customer}`: forgets whose they are.
fn routes(
    pool: Pool,
    road: &Road,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<> {
    let contracts = road
        .to(fulfilment::Issue, &pool, |pool, request| async move { vouchers::issue(&pool, &request).await })
        .or(road.to(fulfilment::Send, &pool, |pool, due| async move { vouchers::send(&pool, &due).await }))
        .unify()
        .or(road.to(fulfilment::Disable, &pool, |pool, due| async move { vouchers::disable(&pool, &due).await }))
        .unify();
    let forgotten = http::forget(pool.clone(), FORGETS);
    let with_pool = warp::any().map(move || pool.clone());
    let vouchers =
        warp::path!("vouchers")
            .and(warp::post())
            .and(warp::body::content_length_limit(http::BODY_BYTES_MAX))
            .and(warp::body::json())
            .and(with_pool.clone())
            .then(|bookings: Vec<Uuid>, pool: Pool| async move {
                answer(StatusCode::OK, vouchers::of(&pool, &bookings).await)
            });
    let points = warp::path!("points").and(warp::get()).and(warp::query()).and(with_pool).then(
        |wanted: Wanted, pool: Pool| async move {
            answer(StatusCode::OK, points::page(&pool, wanted.of.as_deref(), &wanted.after, PAGE_MAX).await)
        },
    );
    contracts.or(vouchers).unify().or(points).unify().or(forgotten).unify()
}
