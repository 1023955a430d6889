//! The world a test lives in: a running stack, people with tokens, a payment provider that misbehaves when asked to, and
//! a look into every book.

use crate::contract;
use chrono::{DateTime, TimeDelta, Utc};
use dev::{
    addresses::Addresses,
    simulator::{
        books::{Charge, Status},
        faults::{Fault, Seen},
    },
};
use orchestrator::{
    gateway::auth::{self, Auth, Caller, Role},
    host::kind,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError, WorkflowUpdateError};
use temporalio_client::{
    Client as Temporal, ClientOptions, Connection, ConnectionOptions, UntypedQuery, UntypedSignal, UntypedUpdate,
    UntypedWorkflow, UntypedWorkflowHandle, Url, WorkflowDescribeOptions, WorkflowExecuteUpdateOptions,
    WorkflowFetchHistoryOptions, WorkflowQueryOptions, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::data_converters::{PayloadConverter, RawValue};
use tokio::{
    sync::{Mutex, OnceCell},
    time::{Instant, interval, timeout},
};
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Item},
    rental::Rental,
    saga::{Limits, Opening, Request},
};

/// A task that was lost is done again within this.
const DONE_AGAIN_WITHIN: TimeDelta = TimeDelta::seconds(20);
/// How long something may take that should take a moment.
pub const SOON: Duration = Duration::from_mins(1);
/// How long something may take while parts are down and come back.
pub const SETTLES_WITHIN: Duration = Duration::from_mins(2);
/// The one second of the gateway, and what a busy machine and a debug build add to it.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A running stack, with a librarian and a member of this test's own.
pub struct World {
    settings: HashMap<String, String>,
    http: Client,
    api: String,
    auth: Auth,
    faults: Option<u16>,
    temporal: OnceCell<Temporal>,
    database: Mutex<Option<Arc<tokio_postgres::Client>>>,
    /// Keeps the catalogue and decides.
    pub librarian: Person,
    /// Rents books.
    pub member: Person,
    /// Looks after stuck bookings.
    pub operator: Person,
    /// Keeps a cinema and a salon.
    pub manager: Person,
    /// Takes requests for a teacher.
    pub teacher: Person,
    /// Carries parcels.
    pub courier: Person,
    /// Sends vouchers.
    pub sender: Person,
}

/// How an activity of one booking goes wrong; what each means is written at the worker that does it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Answer(Value),
    FailBefore,
    FailAfter,
    GoneBefore,
    GoneAfter,
    HoldBefore,
    HoldAfter,
    UntilRepeated,
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Person {
    pub subject: String,
    pub token: String,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Reply {
    /// The id of the booking it is about.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    /// Is it a problem document with this status and code?
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["type"].is_string(), "{self:?}");
    }

    /// Is it an answer with this status?
    #[track_caller]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl World {
    /// The stack of this test run.
    pub fn new() -> Self {
        let stack = std::env::var("HOLDFAST_STACK").expect("no stack: run the tests with `make test`");
        Self::at(&serde_json::from_str(&stack).unwrap())
    }

    /// Some other stack.
    pub fn at(addresses: &Addresses) -> Self {
        let settings: HashMap<_, _> = addresses.environment().into_iter().collect();
        let auth = Auth::new(&auth::Settings::for_development(settings["HOLDFAST_JWT_SECRET"].clone().into())).unwrap();
        let unique = Uuid::now_v7().simple().to_string();
        let librarian = person(&auth, &format!("librarian-{unique}"), &[Role::Admin]);
        let member = person(&auth, &format!("member-{unique}"), &[Role::Member]);
        let operator = person(&auth, &format!("operator-{unique}"), &[Role::Operator]);
        let somebody = |role: Role| person(&auth, &format!("{role}-{unique}"), &[role]);
        Self {
            manager: somebody(Role::Manager),
            teacher: somebody(Role::Teacher),
            courier: somebody(Role::Courier),
            sender: somebody(Role::Sender),
            api: format!("http://{}", settings["HOLDFAST_HTTP"]),
            settings,
            http: Client::builder().timeout(SOON).build().unwrap(),
            auth,
            faults: addresses.faults,
            temporal: OnceCell::new(),
            database: Mutex::default(),
            librarian,
            member,
            operator,
        }
    }

    pub fn settings(&self) -> &HashMap<String, String> {
        &self.settings
    }

    pub fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    /// Somebody new.
    pub fn person(&self, roles: &[Role]) -> Person {
        person(&self.auth, &format!("person-{}", Uuid::now_v7().simple()), roles)
    }

    /// Somebody of this subject.
    pub fn person_named(&self, subject: &str, roles: &[Role]) -> Person {
        person(&self.auth, subject, roles)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api))
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// `None`: nobody answered.
    pub async fn try_send(&self, request: RequestBuilder) -> Option<Reply> {
        let request = request.build().unwrap();
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = self.http.execute(request).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.ok()?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        let reply = Reply { status, headers, body };
        // What workers answer the gateway is between them.
        if url.as_str().starts_with(&self.api) {
            contract::hold(&method, url.path(), &reply);
        }
        Some(reply)
    }

    pub async fn get(&self, who: &Person, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).bearer_auth(&who.token)).await
    }

    pub async fn post(&self, who: &Person, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).bearer_auth(&who.token).json(&body)).await
    }

    pub async fn patch(&self, who: &Person, path: &str) -> Reply {
        self.send(self.request(Method::PATCH, path).bearer_auth(&who.token)).await
    }

    /// Changes something, with a body.
    pub async fn change(&self, who: &Person, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PATCH, path).bearer_auth(&who.token).json(&body)).await
    }

    pub async fn put(&self, who: &Person, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PUT, path).bearer_auth(&who.token).json(&body)).await
    }

    pub async fn delete(&self, who: &Person, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path).bearer_auth(&who.token)).await
    }

    /// Asks for something that is booked, and waits until it is somebody's turn.
    pub async fn book_and_wait(&self, who: &Person, path: &str, body: Value) -> Reply {
        let request = self.request(Method::POST, path).bearer_auth(&who.token).header("prefer", "wait=30");
        self.send(request.json(&body)).await
    }

    /// Registers something in a catalogue.
    pub async fn registered(&self, who: &Person, path: &str, body: Value) -> i64 {
        let reply = self.post(who, path, body).await.assert_status(201);
        ["id", "movieId", "stylistId"].iter().find_map(|name| reply.body[*name].as_i64()).expect("a number")
    }

    /// Waits until a booking is at a stage.
    pub async fn at_stage(&self, id: &str, stage: &'static str) -> Value {
        self.until(id, stage, |booking| booking["stage"] == stage).await
    }

    // What people do.

    /// A book nobody else knows of.
    pub async fn book(&self) -> i64 {
        self.book_at(3000).await
    }

    /// The same, at a price.
    pub async fn book_at(&self, fee: i64) -> i64 {
        let body = json!({ "bookName": "Hello, JAVA", "rentalFee": fee });
        let register = || self.request(Method::POST, "/ebook/books").bearer_auth(&self.librarian.token).json(&body);
        self.answered(register, |reply| reply.status == 201).await.body["id"].as_i64().unwrap()
    }

    /// Something with many units in the books' catalogue: registered at the catalog worker itself.
    pub async fn item_of(&self, units: usize) -> i64 {
        let url = format!("{}/items/ebook", self.setting("HOLDFAST_CATALOG_URL"));
        let price = json!({ "amount_minor": 3000, "currency": "KRW" });
        let new = json!({ "name": "Hello, JAVA", "price": price, "units": units });
        let request = self.http.post(url).bearer_auth(self.setting("HOLDFAST_SERVICE_SECRET")).json(&new);
        let item: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        item["number"].as_i64().unwrap()
    }

    /// Something in a catalogue, at a price: registered at the catalog worker itself.
    pub async fn item_in(&self, system: &str, price: i64) -> i64 {
        let url = format!("{}/items/{system}", self.setting("HOLDFAST_CATALOG_URL"));
        let price = json!({ "amount_minor": price, "currency": "KRW" });
        let new = json!({ "name": "Something", "price": price, "units": 1 });
        let request = || self.http.post(&url).bearer_auth(self.setting("HOLDFAST_SERVICE_SECRET")).json(&new);
        self.answered(request, |reply| reply.status == 201).await.body["number"].as_i64().unwrap()
    }

    /// The member asks for a book.
    pub async fn rent(&self, book: i64) -> Reply {
        self.post(&self.member, "/ebook/rents", json!({ "bookId": book })).await
    }

    /// The member rents a book and has paid for it.
    pub async fn paid(&self, book: i64) -> String {
        let request = self.request(Method::POST, "/ebook/rents").bearer_auth(&self.member.token);
        let request = request.header("prefer", "wait=30").json(&json!({ "bookId": book }));
        let reply = self.send(request).await.assert_status(201);
        assert_eq!(reply.body["stage"], "paid", "{reply:?}");
        reply.id()
    }

    /// The member rents a book and has it.
    pub async fn lent(&self, book: i64) -> String {
        let rental = self.paid(book).await;
        self.approve(book).await.assert_status(200);
        rental
    }

    pub async fn approve(&self, book: i64) -> Reply {
        self.patch(&self.librarian, &format!("/ebook/books/approve/{book}")).await
    }

    pub async fn reject(&self, book: i64) -> Reply {
        self.patch(&self.librarian, &format!("/ebook/books/reject/{book}")).await
    }

    /// An administrator decides on exactly this rental.
    pub async fn decide(&self, book: i64, rental: &str, decision: &str) -> Reply {
        let request = self.request(Method::PATCH, &format!("/ebook/books/{decision}/{book}"));
        self.send(request.bearer_auth(&self.librarian.token).json(&json!({ "rentId": rental }))).await
    }

    pub async fn bring_back(&self, rental: &str) -> Reply {
        self.patch(&self.member, &format!("/ebook/rents/return/{rental}")).await
    }

    pub async fn cancel(&self, rental: &str) -> Reply {
        self.patch(&self.member, &format!("/ebook/rents/cancel/{rental}")).await
    }

    pub async fn book_status(&self, book: i64) -> String {
        let path = format!("/ebook/books/{book}");
        let look = || self.request(Method::GET, &path).bearer_auth(&self.librarian.token);
        let reply = self.answered(look, |reply| reply.status == 200).await;
        reply.body["status"].as_str().unwrap().to_owned()
    }

    /// Sends a request until it is answered as wished: what nobody answers, or not in time, is sent again.
    pub async fn answered(&self, request: impl Fn() -> RequestBuilder, wished: impl Fn(&Reply) -> bool) -> Reply {
        let until = Instant::now() + SETTLES_WITHIN;
        let mut pause = interval(LOOK_EVERY);
        loop {
            pause.tick().await;
            let last = self.try_send(request()).await;
            match last {
                Some(reply) if wished(&reply) => return reply,
                other => assert!(Instant::now() < until, "never answered as wished, last {other:?}"),
            }
        }
    }

    /// A booking as the board has it.
    pub async fn booking(&self, id: &str) -> Value {
        self.get(&self.librarian, &format!("/bookings/{id}")).await.body
    }

    /// Waits until a booking is as wished.
    #[track_caller]
    pub fn until(&self, id: &str, what: &'static str, wished: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let id = id.to_owned();
        async move {
            let mut last = Value::Null;
            let waited = timeout(SOON, async {
                let mut look = interval(LOOK_EVERY);
                loop {
                    look.tick().await;
                    last = self.booking(&id).await;
                    if wished(&last) {
                        return;
                    }
                }
            });
            assert!(waited.await.is_ok(), "the booking was never {what}: {last:#}");
            last
        }
    }

    /// Waits until a booking has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, "ended", |booking| booking["ending"].is_string()).await
    }

    // The payment provider.

    /// Makes the provider misbehave towards this member.
    pub async fn fault(&self, fault: Fault) {
        self.fault_for_everybody(Fault { customer: Some(self.member.subject.clone()), ..fault }).await;
    }

    /// Makes the provider misbehave towards everybody: only on a stack of the test's own.
    pub async fn fault_for_everybody(&self, fault: Fault) {
        let url = format!("{}/faults", self.setting("HOLDFAST_SIMULATOR_URL"));
        self.http.put(url).json(&fault).send().await.unwrap().error_for_status().unwrap();
    }

    /// Makes the provider behave towards this member again.
    pub async fn no_faults(&self) {
        let url = format!("{}/faults/{}", self.setting("HOLDFAST_SIMULATOR_URL"), self.member.subject);
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// Somebody gives a booking's money back at the provider's own console.
    pub async fn refund_by_hand(&self, booking: &str) {
        let url = format!("{}/books/{booking}/refund", self.setting("HOLDFAST_SIMULATOR_URL"));
        self.http.post(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// An operator makes a move.
    pub async fn intervene(&self, booking: &str, kind: &str, body: Value) -> Reply {
        self.post(&self.operator, &format!("/stuck/{booking}/{kind}"), body).await
    }

    /// A paid rental that is rejected, and whose refund the provider refuses.
    pub async fn stuck(&self) -> (i64, String) {
        self.fault(Fault { refuse_refunds: true, ..Fault::default() }).await;
        let book = self.book().await;
        let id = self.paid(book).await;
        self.reject(book).await.assert_status(202);
        self.until(&id, "stuck", |booking| booking["stage"] == "stuck").await;
        (book, id)
    }

    /// What a booking has of operators' doing, newest first.
    pub async fn audit(&self, booking: &str) -> Vec<Value> {
        let done = self.get(&self.operator, &format!("/audit?booking={booking}")).await.assert_status(200).body;
        done["interventions"].as_array().unwrap().clone()
    }

    /// What the provider has under a booking's key.
    pub async fn provider(&self, booking: &str) -> Vec<Charge> {
        let url = format!("{}/books", self.setting("HOLDFAST_SIMULATOR_URL"));
        let all: Vec<Charge> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        all.into_iter().filter(|charge| charge.key == booking).collect()
    }

    /// How often the payment worker has asked the provider, in all.
    pub async fn provider_calls(&self) -> f64 {
        self.payment_metric("holdfast_provider_seconds_count").await
    }

    /// Whether the payment worker leaves the provider alone: 0, not at all.
    pub async fn provider_breaker(&self) -> f64 {
        self.payment_metric("holdfast_breaker_state").await
    }

    async fn payment_metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.setting("HOLDFAST_PAYMENT_ADMIN"));
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        text.lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// How often an activity of a booking that is still under way has been tried.
    pub async fn attempts(&self, id: &str, activity: &str) -> i32 {
        let description = self.workflow(id).await.describe(WorkflowDescribeOptions::default()).await.unwrap();
        let pending = &description.raw_description.pending_activities;
        let mut pending = pending.iter();
        let of = pending.find(|one| one.activity_type.as_ref().is_some_and(|kind| kind.name == activity));
        of.map_or(0, |one| one.attempt)
    }

    /// What the provider has kept for all of these bookings.
    pub async fn provider_kept(&self, bookings: &[String]) -> i64 {
        let url = format!("{}/books", self.setting("HOLDFAST_SIMULATOR_URL"));
        let all: Vec<Charge> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let kept = all.iter().filter(|charge| charge.status == Status::Captured && bookings.contains(&charge.key));
        kept.map(|charge| charge.amount_minor).sum()
    }

    // The books.

    /// The administrator's connection.
    pub async fn database(&self) -> Arc<tokio_postgres::Client> {
        let mut known = self.database.lock().await;
        if let Some(client) = known.as_ref().filter(|client| !client.is_closed()) {
            return client.clone();
        }
        // The first, or Postgres has been away.
        let url = self.setting("HOLDFAST_ADMIN_DATABASE_URL");
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        known.insert(Arc::new(client)).clone()
    }

    /// The promises, for one booking that has settled: what we have agrees with what the provider has, an item is held
    /// exactly as long as its booking lives, and every announced stage was told once.
    pub async fn assert_agrees(&self, id: &str) {
        let booking = self.booking(id).await;
        let (db, key) = (self.database().await, id.parse::<Uuid>().unwrap());

        let provider = self.provider(id).await;
        let taken: Vec<_> = provider.iter().filter(|charge| charge.reference.is_some()).collect();
        assert!(taken.len() <= 1, "charged more than once: {provider:?}");
        let theirs: i64 = taken.iter().filter(|charge| charge.status == Status::Captured).map(|c| c.amount_minor).sum();
        let sum = "select coalesce(sum(amount_minor), 0)::bigint, \
                   coalesce(sum(amount_minor) filter (where account = 'bookings'), 0)::bigint, \
                   coalesce(sum(amount_minor) filter (where account = 'written_off'), 0)::bigint \
                   from payment.postings where booking = $1";
        let row = db.query_one(sum, &[&key]).await.unwrap();
        let (balance, ours, given_up): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(balance, 0, "the postings do not add up: {booking:#}");
        assert_eq!(ours + given_up, theirs, "our ledger and the provider's books differ: {booking:#} {provider:?}");

        let live = booking["ending"].is_null();
        let reached = |stage: &str| booking["times"][stage].is_string();
        if live || booking["ending"] == "completed" {
            let taken = ["paid", "reserved", "listed"].iter().any(|stage| reached(stage));
            let due = if taken { booking["price"]["amount_minor"].as_i64().unwrap() } else { 0 };
            assert_eq!(ours, due, "a kept booking keeps its charge: {booking:#}");
        } else {
            assert_eq!(ours, 0, "an undone booking keeps nothing: {booking:#}");
        }
        assert_eq!(given_up != 0, reached("written_off"), "given up by an operator, and only then: {booking:#}");

        // A voucher is good as long as its booking stands, and disabled after.
        let good = "select count(*) from fulfilment.vouchers where booking = $1 and state <> 'disabled'";
        let good: i64 = db.query_one(good, &[&key]).await.unwrap().get(0);
        let due = booking["ending"] != "undone" && !reached("voucher_disabled") && reached("issued");
        assert_eq!(good, i64::from(due), "a good voucher, and only where one is due: {booking:#}");

        let holds = "select count(*) from catalog.holds where booking = $1 and state in ('held', 'confirmed')";
        let held: i64 = db.query_one(holds, &[&key]).await.unwrap().get(0);
        assert_eq!(held, i64::from(live && reached("held")), "held, and by a live booking: {booking:#}");
    }

    /// The same, and what takes a moment: the board says what the saga knows, and the customer has heard of every stage
    /// that is announced, once.
    pub async fn assert_promises(&self, id: &str) {
        let workflow = self.workflow(id).await;
        let query =
            || workflow.query(UntypedQuery::new("state"), RawValue::new(vec![]), WorkflowQueryOptions::default());
        let agreed = async || {
            let known = query().await.ok().and_then(|raw| serde_json::from_slice(&raw.payloads[0].data).ok());
            (known.map(|mut known: Value| known["row"].take()), self.booking(id).await)
        };
        let same = |(known, shown): &(Option<Value>, Value)| {
            known.as_ref().is_some_and(|known| {
                let is_same = ["version", "stage", "stuck", "waiting_for"].iter().all(|field| {
                    let (known, shown) = (&known[*field], &shown[*field]);
                    known == shown || (known.is_null() && shown.is_null())
                });
                is_same && same_times(&known["times"], &shown["times"])
            })
        };
        self.eventually("agreed by board and saga", agreed, same).await;
        let booking = self.booking(id).await;
        let times = &booking["times"];
        let kind = kind(booking["system"].as_str().unwrap()).unwrap();
        let announced = kind.announced.iter().filter(|stage| times[**stage].is_string()).copied();
        let announced: BTreeSet<_> = announced.map(str::to_owned).collect();
        let told =
            self.eventually("told", async || self.messages(id).await, |told| told.len() >= announced.len()).await;
        assert_eq!(told.len(), announced.len(), "told more than once, or of what never was: {told:?}");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), announced);
        self.assert_agrees(id).await;
    }

    /// What the catalog has written down for a booking: `held`, `confirmed`, `released`, ...
    pub async fn hold_state(&self, id: &str) -> Option<String> {
        let query = "select state from catalog.holds where booking = $1";
        let row = self.database().await.query_opt(query, &[&id.parse::<Uuid>().unwrap()]).await.unwrap();
        row.map(|row| row.get(0))
    }

    /// The stages that were told to the customer, in order.
    pub async fn messages(&self, id: &str) -> Vec<String> {
        let query = "select stage from notification.messages where booking = $1 order by sent_at";
        let rows = self.database().await.query(query, &[&id.parse::<Uuid>().unwrap()]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until something else is as wished.
    pub async fn eventually<T: std::fmt::Debug>(
        &self,
        what: &str,
        look: impl AsyncFn() -> T,
        wished: impl Fn(&T) -> bool,
    ) -> T {
        let until = Instant::now() + SOON;
        let mut pause = interval(LOOK_EVERY);
        loop {
            pause.tick().await;
            let seen = look().await;
            if wished(&seen) {
                return seen;
            }
            assert!(Instant::now() < until, "never {what}: {seen:?}");
        }
    }

    // The engine.

    pub async fn temporal(&self) -> &Temporal {
        let connect = || async {
            let url = Url::parse(&format!("http://{}", self.setting("TEMPORAL_ADDRESS"))).unwrap();
            let connection = Connection::connect(ConnectionOptions::new(url).build()).await.unwrap();
            Temporal::new(connection, ClientOptions::new(self.setting("TEMPORAL_NAMESPACE")).build()).unwrap()
        };
        self.temporal.get_or_init(connect).await
    }

    /// The workflow of a rental.
    pub async fn workflow(&self, id: &str) -> UntypedWorkflowHandle<Temporal> {
        let system = self.booking(id).await["system"].as_str().unwrap_or("ebook").to_owned();
        self.temporal().await.get_workflow_handle::<UntypedWorkflow>(format!("{system}/{id}"))
    }

    /// What a rental of the member's begins with, with limits of its own.
    pub fn opening(&self, book: i64, limits: Limits) -> Opening {
        let item = Item { system: "ebook".to_owned(), number: book };
        Opening::new(BookingId(Uuid::now_v7()), self.member.subject.parse().unwrap(), item, limits)
    }

    /// Starts a booking of any system past the gateway.
    pub async fn begin_of(&self, system: &str, opening: Opening) -> String {
        let options = WorkflowStartOptions::new("sagas", opening.workflow_id()).build();
        let id = opening.booking.to_string();
        let workflow = UntypedWorkflow::new(kind(system).unwrap().workflow);
        let request = Request { opening, method: None };
        let input = RawValue::from_value(&request, &PayloadConverter::default());
        self.temporal().await.start_workflow(workflow, input, options).await.unwrap();
        id
    }

    /// Says something to a booking's saga, past the gateway.
    pub async fn tell(&self, id: &str, update: &str, body: Value) -> Result<(), WorkflowUpdateError> {
        let input = RawValue::from_value(&body, &PayloadConverter::default());
        let options = WorkflowExecuteUpdateOptions::default();
        self.workflow(id).await.execute_update(UntypedUpdate::new(update), input, options).await.map(drop)
    }

    /// Says something to a booking's saga without being answered, past the gateway. One that has ended hears nothing.
    pub async fn signal(&self, id: &str, signal: &str, body: Value) {
        let input = RawValue::from_value(&body, &PayloadConverter::default());
        match self.workflow(id).await.signal(UntypedSignal::new(signal), input, WorkflowSignalOptions::default()).await
        {
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => {}
            Err(error) => panic!("{signal}: {error}"),
        }
    }

    /// Everything Temporal has written down about a booking, as text.
    pub async fn history(&self, id: &str) -> String {
        let history = self.workflow(id).await.fetch_history(WorkflowFetchHistoryOptions::default());
        String::from_utf8_lossy(&history.to_json().await.unwrap()).into_owned()
    }

    /// What the fulfilment worker has written down of a booking's voucher.
    pub async fn voucher_state(&self, id: &str) -> Option<String> {
        let query = "select state from fulfilment.vouchers where booking = $1 and code is not null";
        let row = self.database().await.query_opt(query, &[&id.parse::<Uuid>().unwrap()]).await.unwrap();
        row.map(|row| row.get(0))
    }

    /// Starts a rental past the gateway.
    pub async fn begin(&self, opening: Opening) -> String {
        let options = WorkflowStartOptions::new("sagas", opening.workflow_id()).build();
        let id = opening.booking.to_string();
        let request = Request { opening, method: None };
        self.temporal().await.start_workflow(Rental::run, request, options).await.unwrap();
        id
    }

    /// The same, unless somebody has started it already.
    pub async fn begin_or_find(&self, opening: Opening) {
        let options = WorkflowStartOptions::new("sagas", opening.workflow_id()).build();
        let request = Request { opening, method: None };
        match self.temporal().await.start_workflow(Rental::run, request, options).await {
            Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a rental of the member's past the gateway, with limits of its own.
    pub async fn start(&self, book: i64, limits: Limits) -> String {
        self.begin(self.opening(book, limits)).await
    }

    /// Makes the workers misbehave towards one booking.
    pub async fn worker_fault(&self, booking: &str, activity: &str, times: Option<u32>, kind: Kind) {
        let fault = json!({ "booking": booking, "activity": activity, "times": times, "kind": kind });
        self.http.put(self.faults("")).json(&fault).send().await.unwrap().error_for_status().unwrap();
    }

    /// Takes all faults of a booking away.
    pub async fn lift(&self, booking: &str) {
        let url = self.faults(&format!("/{booking}"));
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// How many attempts have met a fault of a booking, and how many of these are still at it.
    pub async fn met(&self, booking: &str) -> (u64, u64) {
        let url = self.faults(&format!("/{booking}"));
        let seen: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        (seen["met"].as_u64().unwrap(), seen["running"].as_u64().unwrap())
    }

    /// What has come of the provider's faults for this member.
    pub async fn provider_faults(&self) -> Seen {
        let url = format!("{}/faults/{}", self.setting("HOLDFAST_SIMULATOR_URL"), self.member.subject);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    fn faults(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/faults{path}", self.faults.expect("a stack with faults"))
    }

    /// The kinds of events that Temporal keeps about a booking, in order.
    pub async fn events(&self, id: &str) -> Vec<String> {
        let events =
            self.workflow(id).await.fetch_history(WorkflowFetchHistoryOptions::default()).into_events().await.unwrap();
        events.iter().map(|event| format!("{:?}", event.event_type())).collect()
    }
}

/// The same stages at the same times. A task that was lost when something was killed is done again a little later, and what it had
/// shown stays.
fn same_times(known: &Value, shown: &Value) -> bool {
    let times = |times: &Value| -> BTreeMap<String, DateTime<Utc>> {
        serde_json::from_value(times.clone()).unwrap_or_default()
    };
    let (known, shown) = (times(known), times(shown));
    known.len() == shown.len()
        && known
            .iter()
            .all(|(stage, at)| shown.get(stage).is_some_and(|shown| (*shown - *at).abs() < DONE_AGAIN_WITHIN))
}

fn person(auth: &Auth, subject: &str, roles: &[Role]) -> Person {
    let caller = Caller { subject: subject.parse().unwrap(), roles: roles.to_vec() };
    Person { subject: subject.to_owned(), token: auth.token(&caller, Duration::from_hours(1)).unwrap() }
}
