//! The catalogue's HTTP side, for the gateway alone: it shows the service secret.
//!
//! `GET /items/{system}?after&limit`, `GET /items/{system}/{number}`, `POST /items/{system}`,
//! `PATCH /items/{system}/{number}`.

use super::items::{self, Change, NewItem};
use crate::store;
use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{
    Filter, Rejection, Reply,
    http::StatusCode,
    reply::{self, Response},
};

/// The longest page, and the largest body.
const PAGE_MAX: i64 = 200;
const BODY_BYTES_MAX: u64 = 16 * 1024;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "page_max")]
    limit: i64,
}

const fn page_max() -> i64 {
    PAGE_MAX
}

pub(super) async fn serve(listener: TcpListener, pool: Pool, secret: SecretString, stop: CancellationToken) {
    let with_pool = warp::any().map(move || pool.clone());
    let items = warp::path("items").and(with_pool);
    let body = || warp::body::content_length_limit(BODY_BYTES_MAX);

    let page = items.clone().and(warp::path!(String)).and(warp::get()).and(warp::query()).then(
        |pool: Pool, system: String, page: Page| async move {
            answer(StatusCode::OK, items::page(&pool, &system, page.after, page.limit.clamp(1, PAGE_MAX)).await)
        },
    );
    let find = items.clone().and(warp::path!(String / i64)).and(warp::get()).then(
        |pool: Pool, system: String, number: i64| async move { found(items::find(&pool, &system, number).await) },
    );
    let register = items.clone().and(warp::path!(String)).and(warp::post()).and(body()).and(warp::body::json()).then(
        |pool: Pool, system: String, new: NewItem| async move {
            answer(StatusCode::CREATED, items::register(&pool, &system, &new).await)
        },
    );
    let change = items.and(warp::path!(String / i64)).and(warp::patch()).and(body()).and(warp::body::json()).then(
        |pool: Pool, system: String, number: i64, change: Change| async move {
            found(items::change(&pool, &system, number, &change).await)
        },
    );

    let routes = authorized(&secret).and(page.or(find).unify().or(register).unify().or(change).unify());
    warp::serve(routes).incoming(listener).graceful(async move { stop.cancelled().await }).run().await;
}

fn authorized(secret: &SecretString) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let expected = format!("Bearer {}", secret.expose_secret());
    warp::header::optional("authorization")
        .and_then(move |shown: Option<String>| {
            let known = shown.is_some_and(|shown| same(shown.as_bytes(), expected.as_bytes()));
            async move { if known { Ok(()) } else { Err(warp::reject::not_found()) } }
        })
        .untuple_one()
}

/// Compares in a time that does not tell where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (l, r)| difference | (l ^ r)) == 0
}

fn found<T: Serialize>(outcome: Result<Option<T>, store::Error>) -> Response {
    match outcome.transpose() {
        Some(outcome) => answer(StatusCode::OK, outcome),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer<T: Serialize>(status: StatusCode, outcome: Result<T, store::Error>) -> Response {
    match outcome {
        Ok(value) => reply::with_status(reply::json(&value), status).into_response(),
        Err(error) => {
            tracing::warn!(error = process::logs::chain(&error), "the catalogue could not answer");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
