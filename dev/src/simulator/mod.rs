//! Payment simulator: stands in for a real provider. Its own process, its own books on disk, its own idea of the truth,
//! and faults on demand.
//!
//! | call | meaning |
//! |---|---|
//! | `POST /charges` with `Idempotency-Key` | takes money; 201 taken, 402 declined or cancelled before |
//! | `GET /charges/{key}` | what became of a key, from the books |
//! | `POST /charges/{key}/cancel` | refuses the key from now on, unless it was charged already: then says so |
//! | `POST /charges/{key}/refund` | gives it back, once; 409 when it will not |
//! | `POST /books/{key}/refund` | gives it back by hand, as somebody at the provider's own console would |
//! | `GET /books?since_ms=&skip=&limit=` | every charge there ever was, oldest first, or some of them |
//! | `PUT /faults`, `GET` and `DELETE /faults/{customer}` | misbehaves on purpose, see [`faults::Fault`] |
//!
//! Like a real provider it remembers idempotency keys for a day only: after that, the same key is a new charge.
//! The card `declined` and the amount 40200 are declined.

pub mod books;
pub mod faults;

use books::{Books, Charge, Order, Status, Wanted};
use faults::{Before, Faults, Operation};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tower_service::Service;
use warp::{
    Filter, Rejection, Reply,
    http::StatusCode,
    reply::{self, Response},
};

/// How it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file its books are kept in.
    pub books: PathBuf,
    /// How long it remembers idempotency keys.
    pub key_memory: Duration,
}

/// The simulator's state.
pub struct Simulator {
    books: Books,
    faults: Faults,
}

#[derive(Deserialize)]
struct NewCharge {
    customer: String,
    amount_minor: i64,
    currency: String,
    method: Option<String>,
}

/// Put on an answer that must never arrive: the connection is closed instead.
#[derive(Clone)]
struct Dropped;

/// Serves for ever.
///
/// # Errors
/// When the books cannot be read, or a connection cannot be taken.
pub async fn serve(listener: TcpListener, settings: Settings) -> anyhow::Result<()> {
    let simulator =
        Arc::new(Simulator { books: Books::open(&settings.books, settings.key_memory)?, faults: Faults::default() });
    let service = warp::service(routes(simulator));
    loop {
        let (connection, _) = listener.accept().await?;
        let service = service.clone();
        let answer = hyper::service::service_fn(move |request| {
            let mut service = service.clone();
            async move {
                // On a task of its own: what was begun takes effect, also when the caller has given up waiting for it.
                let called = tokio::spawn(async move { service.call(request).await });
                let Ok(response) = called.await.map_err(std::io::Error::other)?;
                if response.extensions().get::<Dropped>().is_some() {
                    return Err(std::io::Error::other("this reply is dropped on purpose"));
                }
                Ok(response)
            }
        });
        tokio::spawn(async move {
            // A connection that breaks is the caller's business, and often on purpose.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), answer).await);
        });
    }
}

fn routes(simulator: Arc<Simulator>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let with = warp::any().map(move || simulator.clone());
    let charge = warp::path!("charges")
        .and(warp::post())
        .and(with.clone())
        .and(warp::header("idempotency-key"))
        .and(warp::body::json())
        .then(charge);
    let find = warp::path!("charges" / String).and(warp::get()).and(with.clone()).then(find);
    let cancel = warp::path!("charges" / String / "cancel").and(warp::post()).and(with.clone()).then(cancel);
    let refund = warp::path!("charges" / String / "refund").and(warp::post()).and(with.clone()).then(refund);
    let books =
        warp::path!("books").and(warp::get()).and(warp::query()).and(with.clone()).map(
            |wanted: Wanted, simulator: Arc<Simulator>| reply::json(&simulator.books.listed(&wanted)).into_response(),
        );
    let by_hand = warp::path!("books" / String / "refund").and(warp::post()).and(with.clone()).map(
        |key: String, simulator: Arc<Simulator>| match simulator.books.refund(&key) {
            Some(charge) => answer(StatusCode::OK, &charge),
            None => refused("nothing_captured"),
        },
    );
    let add = warp::path!("faults").and(warp::put()).and(with.clone()).and(warp::body::json()).map(
        |simulator: Arc<Simulator>, fault| {
            simulator.faults.add(fault);
            StatusCode::NO_CONTENT.into_response()
        },
    );
    let left = warp::path!("faults" / String).and(warp::get()).and(with.clone()).map(
        |customer: String, simulator: Arc<Simulator>| reply::json(&simulator.faults.seen(&customer)).into_response(),
    );
    let clear = warp::path!("faults" / String).and(warp::delete()).and(with).map(
        |customer: String, simulator: Arc<Simulator>| {
            simulator.faults.clear(&customer);
            StatusCode::NO_CONTENT.into_response()
        },
    );
    let health = warp::path!("health" / "ready").map(|| StatusCode::OK.into_response());
    charge
        .or(find)
        .unify()
        .or(cancel)
        .unify()
        .or(refund)
        .unify()
        .or(books)
        .unify()
        .or(by_hand)
        .unify()
        .or(add)
        .unify()
        .or(left)
        .unify()
        .or(clear)
        .unify()
        .or(health)
        .unify()
}

async fn charge(simulator: Arc<Simulator>, key: String, new: NewCharge) -> Response {
    simulator.books.meet(&key, &new.customer);
    let order = Order { key, customer: new.customer, amount_minor: new.amount_minor, currency: new.currency };
    let (key, customer) = (order.key.clone(), order.customer.clone());
    perform(&simulator, Operation::Charge, &key, &customer, || {
        let charge = simulator.books.charge(order, new.method.as_deref());
        let status = match charge.status {
            Status::Captured | Status::Refunded => StatusCode::CREATED,
            Status::Declined | Status::Cancelled => StatusCode::PAYMENT_REQUIRED,
        };
        answer(status, &charge)
    })
    .await
}

async fn find(key: String, simulator: Arc<Simulator>) -> Response {
    let customer = simulator.books.customer(&key);
    perform(&simulator, Operation::Find, &key, &customer, || match simulator.books.find(&key) {
        Some(charge) => answer(StatusCode::OK, &charge),
        None => StatusCode::NOT_FOUND.into_response(),
    })
    .await
}

async fn cancel(key: String, simulator: Arc<Simulator>) -> Response {
    let customer = simulator.books.customer(&key);
    perform(&simulator, Operation::Cancel, &key, &customer, || answer(StatusCode::OK, &simulator.books.cancel(&key)))
        .await
}

async fn refund(key: String, simulator: Arc<Simulator>) -> Response {
    let customer = simulator.books.customer(&key);
    if simulator.faults.refuses_refund(&key, &customer) {
        return refused("refund_refused");
    }
    perform(&simulator, Operation::Refund, &key, &customer, || match simulator.books.refund(&key) {
        Some(charge) => answer(StatusCode::OK, &charge),
        None => refused("nothing_captured"),
    })
    .await
}

/// Does something to the books, with whatever fault has been asked for.
async fn perform(
    simulator: &Simulator,
    operation: Operation,
    key: &str,
    customer: &str,
    work: impl FnOnce() -> Response,
) -> Response {
    let (fault, _met) = simulator.faults.next(operation, key, customer);
    if let Some(delay) = fault.delay() {
        tokio::time::sleep(delay).await;
    }
    match fault.before {
        Some(Before::Error) => return StatusCode::BAD_GATEWAY.into_response(),
        Some(Before::Hang) => {
            tokio::time::sleep(faults::HANG).await;
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
        None => {}
    }
    let mut response = work();
    if let Some(delay) = fault.delay_after() {
        tokio::time::sleep(delay).await;
    }
    match fault.after {
        Some(faults::After::Error) => StatusCode::BAD_GATEWAY.into_response(),
        Some(faults::After::DropReply) => {
            response.extensions_mut().insert(Dropped);
            response
        }
        None => response,
    }
}

fn answer(status: StatusCode, charge: &Charge) -> Response {
    reply::with_status(reply::json(charge), status).into_response()
}

fn refused(reason: &str) -> Response {
    reply::with_status(reply::json(&serde_json::json!({ "reason": reason })), StatusCode::CONFLICT).into_response()
}
