//! The HTTP sides of workers, for the gateway alone: it shows the service secret.

use crate::store;
use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;
use warp::{
    Filter, Rejection, Reply,
    http::StatusCode,
    reply::{self, Response},
};

/// The longest page, and the largest body.
const PAGE_MAX: i64 = 200;
pub(crate) const BODY_BYTES_MAX: u64 = 16 * 1024;

/// Which page is wanted.
#[derive(Deserialize)]
pub(crate) struct Page {
    /// After this number.
    #[serde(default)]
    pub after: i64,
    /// How many at most.
    #[serde(default = "page_max")]
    limit: i64,
}

const fn page_max() -> i64 {
    PAGE_MAX
}

impl Page {
    pub(crate) fn limit(&self) -> i64 {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// Serves routes to whoever shows the secret, until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    secret: SecretString,
    stop: CancellationToken,
    routes: impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
) {
    let routes = authorized(&secret).and(routes);
    warp::serve(routes).incoming(listener).graceful(async move { stop.cancelled().await }).run().await;
}

fn authorized(secret: &SecretString) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let expected = format!("Bearer {}", secret.expose_secret());
    warp::header::optional("authorization")
        .and_then(move |shown: Option<String>| {
            // In a time that does not tell where the difference is.
            let known = shown.is_some_and(|shown| shown.as_bytes().ct_eq(expected.as_bytes()).into());
            async move { if known { Ok(()) } else { Err(warp::reject::not_found()) } }
        })
        .untuple_one()
}

pub(crate) fn found<T: Serialize>(outcome: Result<Option<T>, store::Error>) -> Response {
    match outcome.transpose() {
        Some(outcome) => answer(StatusCode::OK, outcome),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(crate) fn answer<T: Serialize>(status: StatusCode, outcome: Result<T, store::Error>) -> Response {
    match outcome {
        Ok(value) => reply::with_status(reply::json(&value), status).into_response(),
        Err(error) => {
            tracing::warn!(error = process::logs::chain(&error), "a worker could not answer the gateway");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// How a worker forgets a customer: what is counted, and a statement with who it was ($1) and who stands there afterwards ($2, where
/// something has to).
pub(crate) type Forgets = &'static [(&'static str, &'static str)];

#[derive(Deserialize)]
struct ForgetAs {
    #[serde(rename = "as")]
    nobody: String,
}

/// `DELETE /customers/{customer}?as=`: nothing says any more whose it was. All of it, or nothing. Answers how much there was.
pub(crate) fn forget(
    pool: Pool,
    forgets: Forgets,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    warp::path!("customers" / String).and(warp::delete()).and(warp::query()).then(
        move |customer: String, ForgetAs { nobody }: ForgetAs| {
            let pool = pool.clone();
            async move { answer(StatusCode::OK, forgotten(&pool, forgets, &customer, &nobody).await) }
        },
    )
}

async fn forgotten(
    pool: &Pool,
    forgets: Forgets,
    customer: &str,
    nobody: &str,
) -> Result<BTreeMap<&'static str, u64>, store::Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let mut counts = BTreeMap::new();
    for (what, statement) in forgets {
        let statement = transaction.prepare(statement).await?;
        let all: [&(dyn ToSql + Sync); 2] = [&customer, &nobody];
        counts.insert(*what, transaction.execute(&statement, &all[..statement.params().len()]).await?);
    }
    transaction.commit().await?;
    Ok(counts)
}
