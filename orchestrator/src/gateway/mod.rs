//! Gateway: the only entrance. Signs callers in, reads what they say, starts bookings and passes messages on to them, and
//! answers from the board.
//!
//! One table of routes ([`routes`]); beside each path stands who may call it. One file per system, which alone knows the
//! words of that system.

pub mod auth;
mod bookings;
mod call;
mod catalogue;
mod cinema;
mod console;
mod desk;
mod ebook;
mod forget;
mod inbox;
mod inside;
mod limits;
mod matching;
mod openapi;
mod parcel;
mod people;
pub mod problem;
mod provider;
mod resort;
mod routes;
mod salon;
mod server;
mod shape;
mod start;
mod story;
mod stuck;
mod systems;
mod talk;
mod today;
mod webhooks;
mod when;
mod workers;

pub use console::{Oidc, Settings as Console, pages};
pub use limits::Rate;
pub use routes::{Access, BEGUN, Gives, HELD, Route, SEEN, TOLD, routes};
pub use server::Settings as Connections;
pub use systems::paid_from;

use crate::{
    board::Board,
    metrics::REQUESTS,
    worker::{self, Worker},
};
use auth::{Auth, Caller};
use bytes::{Buf, Bytes, BytesMut};
use call::Call;
use catalogue::Catalogue;
use chrono_tz::Tz;
use futures::{Stream, StreamExt};
use limits::{Place, Rates};
use moka::sync::Cache;
use problem::{Code, Problem};
use process::traces::{self, Context, Traced};
use start::{Starts, Turns};
use std::{convert::Infallible, net::SocketAddr, num::NonZeroUsize, ops::RangeInclusive, sync::Arc, time::Duration};
use temporalio_client::Client;
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field::Empty};
use warp::{
    Filter,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    reply::Response,
};
use workflows::{
    booking::{BookingId, Row},
    saga::{Limits, Order},
};

/// The largest body, and how long it may take to arrive.
const BODY_BYTES_MAX: usize = 64 * 1024;
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");
const PATH_BYTES_MAX: usize = 2048;
const QUERY_BYTES_MAX: usize = 4096;
const BODY_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// So many bookings are remembered that may not be on the board yet, and so long.
const UNPUBLISHED_MAX: u64 = 10_000;
const UNPUBLISHED_FOR: Duration = Duration::from_secs(10);

/// What the gateway is told at the start.
pub struct Settings {
    /// `HOLDFAST_HTTP`: where it listens. Loopback unless configured otherwise.
    pub http: SocketAddr,
    /// Whose tokens are accepted.
    pub auth: auth::Settings,
    /// Where the workers are.
    pub workers: worker::Settings,
    /// `HOLDFAST_TIME_ZONE`: in which days and times are read, where a resort has no zone of its own.
    pub zone: Tz,
    /// `HOLDFAST_BID_MINOR_MIN` and `HOLDFAST_BID_MINOR_MAX`: what a student may offer a teacher.
    pub bids: RangeInclusive<i64>,
    /// `HOLDFAST_PARCEL_PRICE_MINOR`: what the delivery of a parcel costs, in won.
    pub parcel_price_minor: i64,
    /// `HOLDFAST_REQUESTS_IN_FLIGHT_MAX`: more are refused with 503.
    pub requests_in_flight_max: NonZeroUsize,
    /// `HOLDFAST_ANSWER_SECONDS`: nobody waits longer for an answer, unless they ask to.
    pub answer_within: Duration,
    /// Not `HOLDFAST_UPGRADING`: what is said at somebody's turn goes out as a signal. Not while orchestrators run that do not hear
    /// them.
    pub by_signal: bool,
    /// What browsers see.
    pub console: Console,
    /// How often a caller may ask, and how much of it at a time.
    pub rate: Rate,
    /// How connections are taken, and how they end.
    pub connections: Connections,
    /// The limits new bookings are given.
    pub limits: Limits,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{or, seconds_or};
        let limits = Limits::default();
        let (rate, connections) = (Rate::default(), Connections::default());
        let http = or("HOLDFAST_HTTP", "address:port", SocketAddr::from(([127, 0, 0, 1], 8080)))?;
        let auth = auth::Settings::read()?;
        let console = Console::read()?;
        auth.fit(http, &console.public_url)?;
        // Orchestrators of a build before this one run, and bookings that begin here go on there.
        let is_upgrading = or("HOLDFAST_UPGRADING", "true or false", false)?;
        Ok(Self {
            http,
            auth,
            workers: worker::Settings::read()?,
            zone: or("HOLDFAST_TIME_ZONE", "a time zone such as Asia/Seoul", chrono_tz::Asia::Seoul)?,
            bids: or("HOLDFAST_BID_MINOR_MIN", "a number", 1_000)?
                ..=or("HOLDFAST_BID_MINOR_MAX", "a number", 10_000_000)?,
            parcel_price_minor: i64::from(or("HOLDFAST_PARCEL_PRICE_MINOR", "a number of won", 3_000_u32)?),
            requests_in_flight_max: or("HOLDFAST_REQUESTS_IN_FLIGHT_MAX", "a number from 1", REQUESTS_MAX)?,
            answer_within: seconds_or("HOLDFAST_ANSWER_SECONDS", ANSWER_WITHIN)?,
            by_signal: !is_upgrading,
            console,
            rate: Rate {
                per_second: or("HOLDFAST_REQUESTS_PER_SECOND_MAX", "a number from 1", rate.per_second)?,
                burst: or("HOLDFAST_REQUESTS_BURST_MAX", "a number from 1", rate.burst)?,
                at_once: or("HOLDFAST_REQUESTS_AT_ONCE_MAX", "a number from 1", rate.at_once)?,
            },
            connections: Connections {
                connections_max: or("HOLDFAST_CONNECTIONS_MAX", "a number from 1", connections.connections_max)?,
                drain_lead: seconds_or("HOLDFAST_DRAIN_LEAD_SECONDS", connections.drain_lead)?,
                drain: seconds_or("HOLDFAST_DRAIN_SECONDS", connections.drain)?,
            },
            limits: Limits {
                step: seconds_or("HOLDFAST_STEP_LIMIT_SECONDS", limits.step)?,
                decision: seconds_or("HOLDFAST_DECISION_LIMIT_SECONDS", limits.decision)?,
                payment: seconds_or("HOLDFAST_PAYMENT_LIMIT_SECONDS", limits.payment)?,
                service: seconds_or("HOLDFAST_SERVICE_LIMIT_SECONDS", limits.service)?,
                round: seconds_or("HOLDFAST_UNDO_ROUND_SECONDS", limits.round)?,
                pause_max: seconds_or("HOLDFAST_UNDO_PAUSE_SECONDS_MAX", limits.pause_max)?,
                undo_patience: seconds_or("HOLDFAST_UNDO_PATIENCE_SECONDS", limits.undo_patience)?,
                notice: seconds_or("HOLDFAST_NOTICE_LIMIT_SECONDS", limits.notice)?,
                near: or("HOLDFAST_SHORT_ROAD", "true or false", true)?,
                order: Order { beside: !is_upgrading, together: !is_upgrading, ..limits.order },
            },
        })
    }
}

/// The published description of the API, as it is served at `/openapi.json`.
#[must_use]
pub fn openapi() -> &'static str {
    &openapi::TEXT
}

/// What every request is served with.
pub struct Gateway {
    temporal: Client,
    board: Board,
    auth: Auth,
    catalogue: Catalogue,
    notification: Worker,
    fulfilment: Worker,
    payment: Worker,
    zone: Tz,
    bids: RangeInclusive<i64>,
    parcel_price_minor: i64,
    answer_within: Duration,
    by_signal: bool,
    limits: Limits,
    turns: Turns,
    starts: Starts,
    /// What has begun and may not be on the board yet.
    unpublished: Cache<BookingId, Row>,
    in_flight: Semaphore,
    rates: Rates,
    connections: Connections,
    console: Console,
    oidc: Option<console::Provider>,
    seal: console::Seal,
    stop: CancellationToken,
}

impl Gateway {
    /// A gateway before a Temporal client and a board. `stop` ends what would go on by itself: the feeds.
    ///
    /// # Errors
    /// When the HTTP client for the catalogue cannot be made.
    pub fn new(settings: &Settings, temporal: Client, board: Board, stop: CancellationToken) -> anyhow::Result<Self> {
        Ok(Self {
            temporal,
            board,
            auth: Auth::new(&settings.auth)?,
            catalogue: Catalogue::new(&settings.workers)?,
            notification: Worker::new("the messages", &settings.workers.notification, &settings.workers.secret)?,
            fulfilment: Worker::new("vouchers and points", &settings.workers.fulfilment, &settings.workers.secret)?,
            payment: Worker::new("the payment worker", &settings.workers.payment, &settings.workers.secret)?,
            zone: settings.zone,
            bids: settings.bids.clone(),
            parcel_price_minor: settings.parcel_price_minor,
            answer_within: settings.answer_within,
            by_signal: settings.by_signal,
            limits: settings.limits.clone(),
            turns: Turns::default(),
            starts: Starts::default(),
            unpublished: Cache::builder().max_capacity(UNPUBLISHED_MAX).time_to_live(UNPUBLISHED_FOR).build(),
            in_flight: Semaphore::new(settings.requests_in_flight_max.get()),
            rates: Rates::new(settings.rate),
            connections: settings.connections,
            console: settings.console.clone(),
            oidc: settings.console.oidc.clone().map(console::Provider::new).transpose()?,
            seal: console::Seal::new(&settings.workers.secret),
            stop,
        })
    }
}

/// Serves until told to stop, then finishes what runs.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let (connections, stop) = (gateway.connections, gateway.stop.clone());
    let query = warp::query::raw().map(Some).or_else(|_| async { Ok::<_, Infallible>((None,)) });
    let everything = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: warp::path::FullPath, query: Option<String>, headers, body| {
            let gateway = gateway.clone();
            async move {
                let span = traces::asked(&headers);
                let named = tracing::info_span!("request", booking = Empty, trace = traces::id(&span));
                let query = query.unwrap_or_default();
                let answer = answer(&gateway, &method, path.as_str(), &query, headers, body);
                answer.instrument(named).with_context(span).await
            }
        });
    server::serve(listener, connections, everything.boxed(), stop).await;
}

async fn answer(
    gateway: &Arc<Gateway>,
    method: &Method,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Response {
    let arrived = Instant::now();
    if path.len() > PATH_BYTES_MAX || query.len() > QUERY_BYTES_MAX {
        return Problem::new(Code::PathTooLong).into_response();
    }
    let (label, response) = match console::find(method, path) {
        Some(Ok((page, parameters))) => {
            let shown = visit(gateway, page, parameters, path, query, headers, body).await;
            (page.path, Ok(shown.unwrap_or_else(|problem| console::refused(gateway, path, problem))))
        }
        Some(Err(problem)) => return problem.into_response(),
        None => match routes::find(method, path) {
            Ok((route, parameters)) => {
                let request = Request { route, parameters, query: query.to_owned(), headers, arrived };
                (route.path, serve_route(gateway, request, body).await)
            }
            Err(problem) => return problem.into_response(),
        },
    };
    let mut response = response.unwrap_or_else(Problem::into_response);
    if gateway.stop.is_cancelled() {
        // Whoever keeps their connection is to find another process while this one still answers.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    told(method, label, response.status(), arrived.elapsed());
    response
}

/// Says of a request, for operators, what became of it.
fn told(method: &Method, route: &'static str, status: StatusCode, took: Duration) {
    let seconds = took.as_secs_f64();
    REQUESTS.with_label_values(&[method.as_str(), route, status.as_str()]).observe(seconds);
    traces::name(&Context::current(), format!("{method} {route}"));
    traces::say(&Context::current(), "http.response.status_code", i64::from(status.as_u16()));
    if *method != Method::GET && status.is_success() {
        tracing::info!(%method, route, status = status.as_u16(), seconds, "answered");
    } else {
        tracing::debug!(%method, route, status = status.as_u16(), seconds, "answered");
    }
}

/// A browser visits a page.
async fn visit(
    gateway: &Arc<Gateway>,
    page: &'static console::Page,
    parameters: Vec<String>,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Result<Response, Problem> {
    let session = gateway.session(&headers).await?;
    // Whoever is not signed in has no rate of their own, and gets no further than the sign-in page.
    let (left, place) =
        session.as_ref().map(|session| gateway.rates.count(&session.caller.subject)).transpose()?.unzip();
    let body = read_in_time(body).await?;
    let (Some(query), Some(form)) = (console::fields(query.as_bytes()), console::fields(&body)) else {
        return Err(Problem::field("query", "name=value pairs, percent-encoded"));
    };
    let visit = console::Visit { session, parameters, path: path.to_owned(), query, form, headers, place };
    let response = page.answer(gateway, visit).await;
    Ok(match left {
        Some(left) => left.say(response),
        None => response,
    })
}

/// A request that has found its route.
struct Request {
    route: &'static Route,
    parameters: Vec<String>,
    query: String,
    headers: HeaderMap,
    arrived: Instant,
}

async fn serve_route(
    gateway: &Arc<Gateway>,
    request: Request,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Result<Response, Problem> {
    let authorization = request.headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let caller = gateway.auth.caller(authorization).await?;
    let (left, place) = gateway.rates.count(&caller.subject)?;
    let response = serve_caller(gateway, caller, place, request, body).await.unwrap_or_else(Problem::into_response);
    Ok(left.say(response))
}

async fn serve_caller(
    gateway: &Arc<Gateway>,
    caller: Caller,
    place: Place,
    request: Request,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> Result<Response, Problem> {
    let Request { route, parameters, query, headers, arrived } = request;
    route.access.admit(&caller)?;
    if headers.contains_key(header::IF_MATCH) && !route.moves_one() && route.method != Method::GET {
        return Err(Problem::field("If-Match", "nothing: here it would promise what is not kept"));
    }
    let body = read_in_time(body).await?;
    // After the body: whoever sends slowly takes nobody's place.
    let _slot = gateway.in_flight.try_acquire().map_err(|_| Problem::new(Code::TooBusy))?;
    let query =
        serde_urlencoded::from_str(&query).map_err(|_| Problem::field("query", "name=value pairs, percent-encoded"))?;
    let answer_by = arrived + gateway.answer_within;
    let call = Call { caller, parameters, query, headers, body, arrived, answer_by, place: Some(place) };
    let known = (route.method == Method::GET).then(|| call.headers.clone());
    let response = (route.serve)(gateway.clone(), call).await?;
    Ok(match known {
        Some(known) => call::unless_known(&known, response),
        None => response,
    })
}

async fn read_in_time(body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send) -> Result<Bytes, Problem> {
    tokio::time::timeout(BODY_WITHIN, read(body)).await.map_err(|_| Problem::new(Code::SlowBody))?
}

async fn read(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Result<Bytes, Problem> {
    let mut read = BytesMut::new();
    let mut body = std::pin::pin!(body);
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| Problem::new(Code::MalformedBody).detail("the body broke off"))?;
        if read.len() + part.remaining() > BODY_BYTES_MAX {
            return Err(Problem::new(Code::BodyTooLarge).with("bytes_max", BODY_BYTES_MAX));
        }
        read.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Ok(read.freeze())
}
