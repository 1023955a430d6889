//! The payment worker's HTTP side, for the gateway alone: `GET /provider` says how the provider is, `PUT /provider` turns the
//! switch, `GET /postings/{booking}` shows where the money of a booking went, `DELETE
//! /customers/{customer}` forgets whose it was.

use super::{Ledger, switch};
use crate::{
    http::{BODY_BYTES_MAX, Forgets, answer, forget},
    store::Error,
};
use deadpool_postgres::Pool;
use process::breaker::{Breaker, State};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;
use warp::{Filter, Rejection, http::StatusCode, reply::Response};
use workflows::booking::BookingId;

/// The money trail stays: amounts, times and the provider's own numbers.
const FORGETS: Forgets = &[("charges", "update charges set customer = $2, method = null where customer = $1")];

/// How the provider is, as this worker sees it.
#[derive(Serialize)]
struct Weather {
    state: &'static str,
    /// When it is asked again, where that is known.
    retry_seconds: Option<u64>,
    pause: Option<switch::Pause>,
}

#[derive(Clone)]
pub(super) struct Shown {
    pub pool: Pool,
    pub ledger: Ledger,
    pub breaker: Arc<Breaker>,
}

impl Shown {
    fn weather(&self, pause: Option<switch::Pause>) -> Weather {
        let (state, retry) = self.breaker.state();
        // What is written down counts: within a second, every worker obeys it.
        let state = if pause.is_some() { State::Paused } else { state };
        Weather { state: state.as_str(), retry_seconds: retry.map(|retry| retry.as_secs() + 1), pause }
    }

    async fn look(self) -> Result<Weather, Error> {
        let pause = switch::look(&self.pool).await?;
        Ok(self.weather(pause))
    }

    async fn turn(self, wish: switch::Wish) -> Result<Weather, Error> {
        let pause = switch::turn(&self.pool, &wish).await?;
        self.breaker.pause(pause.is_some());
        Ok(self.weather(pause))
    }
}

pub(super) fn routes(shown: Shown) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let forgotten = forget(shown.pool.clone(), FORGETS);
    let shown = warp::any().map(move || shown.clone());
    let look = warp::path!("provider")
        .and(warp::get())
        .and(shown.clone())
        .then(|shown: Shown| async move { answer(StatusCode::OK, shown.look().await) });
    let turn = warp::path!("provider")
        .and(warp::put())
        .and(warp::body::content_length_limit(BODY_BYTES_MAX))
        .and(warp::body::json())
        .and(shown.clone())
        .then(|wish: switch::Wish, shown: Shown| async move { answer(StatusCode::OK, shown.turn(wish).await) });
    let postings =
        warp::path!("postings" / Uuid).and(warp::get()).and(shown).then(|booking: Uuid, shown: Shown| async move {
            answer(StatusCode::OK, shown.ledger.postings(BookingId(booking)).await)
        });
    look.or(turn).unify().or(postings).unify().or(forgotten).unify()
}
