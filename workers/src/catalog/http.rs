//! The catalogue's HTTP side, for the gateway alone: it shows the service secret.
//!
//! `GET /items/{system}?after&limit`, `GET /items/{system}/{number}`, `POST /items/{system}`,
//! `PATCH /items/{system}/{number}`, `DELETE /items/{system}/{number}` (409 while a booking holds it),
//! `GET /reviews/{system}/{number}?after&limit`, `POST /reviews/{system}/{number}`, `DELETE /customers/{customer}`.

use super::{
    confirm, free, hold,
    items::{self, Change, NewItem, Removed},
    look, release,
    reviews::{self, NewReview},
};
use crate::http::{BODY_BYTES_MAX, Forgets, Page, answer, forget, found};
use crate::road::Road;
use deadpool_postgres::Pool;
use warp::{Filter, Rejection, Reply, http::StatusCode, reply::Response};
use workflows::contracts::catalog::{Confirm, Free, Hold, Look, Release};

/// What somebody had stays on record; what they said goes with them.
const FORGETS: Forgets = &[
    ("holds", "update holds set customer = $2 where customer = $1"),
    ("reviews", "delete from reviews where customer = $1"),
];

/// Every route, over a pool of connections.
pub(super) fn routes(
    pool: Pool,
    road: &Road,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<> {
    let contracts = road
        .to(Hold, &pool, |pool, request| async move { hold(&pool, &request).await })
        .or(road.to(Release, &pool, |pool, due| async move { release(&pool, &due).await }))
        .unify()
        .or(road.to(Confirm, &pool, |pool, due| async move { confirm(&pool, &due).await }))
        .unify()
        .or(road.to(Look, &pool, |pool, due| async move { look(&pool, &due).await }))
        .unify()
        .or(road.to(Free, &pool, |pool, request| async move { free(&pool, &request).await }))
        .unify();
    let (also, forgetful) = (pool.clone(), pool.clone());
    let with_pool = warp::any().map(move || pool.clone());
    let items = warp::path("items").and(with_pool);
    let body = || warp::body::content_length_limit(BODY_BYTES_MAX);

    let page = items.clone().and(warp::path!(String)).and(warp::get()).and(warp::query()).then(
        |pool: Pool, system: String, page: Page| async move {
            answer(StatusCode::OK, items::page(&pool, &system, page.after, page.limit()).await)
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
    let change =
        items.clone().and(warp::path!(String / i64)).and(warp::patch()).and(body()).and(warp::body::json()).then(
            |pool: Pool, system: String, number: i64, change: Change| async move {
                found(items::change(&pool, &system, number, &change).await)
            },
        );

    let remove = items.and(warp::path!(String / i64)).and(warp::delete()).then(
        |pool: Pool, system: String, number: i64| async move {
            match items::remove(&pool, &system, number).await {
                Ok(Removed::Removed) => StatusCode::NO_CONTENT.into_response(),
                Ok(Removed::Held) => StatusCode::CONFLICT.into_response(),
                Ok(Removed::Unknown) => StatusCode::NOT_FOUND.into_response(),
                Err(error) => answer::<()>(StatusCode::OK, Err(error)),
            }
        },
    );
    let with_pool = warp::any().map(move || also.clone());
    let reviews = warp::path("reviews").and(with_pool).and(warp::path!(String / i64));
    let said = reviews.clone().and(warp::get()).and(warp::query()).then(
        |pool: Pool, system: String, number: i64, page: Page| async move {
            answer(StatusCode::OK, reviews::page(&pool, &system, number, page.after, page.limit()).await)
        },
    );
    let say = reviews.and(warp::post()).and(body()).and(warp::body::json()).then(
        |pool: Pool, system: String, number: i64, new: NewReview| async move {
            found(reviews::write(&pool, &system, number, &new).await)
        },
    );
    let forgotten = forget(forgetful, FORGETS);
    let items = page.or(find).unify().or(register).unify().or(change).unify().or(remove).unify();
    contracts.or(items).unify().or(said).unify().or(say).unify().or(forgotten).unify()
}
