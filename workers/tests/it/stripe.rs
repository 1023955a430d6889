//! Stripe as a provider: the suite of every provider against a stand-in that keeps books as Stripe does, the wire format against
//! Stripe's own mock, and its calls, which may come twice, late and in any order.

use crate::{
    providers::keeps_the_trait,
    world::{booking, charge_request, database, won},
};
use dev::stack::tool;
use hmac::{Hmac, Mac};
use iso_currency::Currency;
use reqwest::{Client, StatusCode, Url};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply, reply};
use workers::metrics::DISAGREEMENTS;
use workers::payment::{
    Desk, Ledger, Stripe, events,
    provider::{Cancelled, Charged, Error, Order, Provider},
    stripe::Settings,
};
use workflows::{
    booking::BookingId,
    contracts::{Due, Settled, payment::ChargeAnswer},
    money::Money,
};

const CARD: &str = "pm_card_visa";
const POOR: &str = "pm_card_visa_chargeDeclinedInsufficientFunds";
const SECRET: &str = "whsec_0123456789abcdef";

type Form = BTreeMap<String, String>;

/// Stripe, as far as we use it: its own books, keys that answer one set of parameters, and a search that lags.
#[derive(Clone, Default)]
struct StandIn(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    intents: Vec<Intent>,
    /// What each idempotency key was first used for, and what was answered.
    keys: HashMap<String, (Form, (u16, Value))>,
    /// Does the search know what was made of late?
    search_lags: bool,
    /// The next request takes effect, and its answer is lost.
    lose_answer: bool,
}

#[derive(Clone)]
struct Intent {
    id: String,
    form: Form,
    status: &'static str,
    refunded: bool,
}

impl Intent {
    fn shown(&self) -> Value {
        let amount: i64 = self.form["amount"].parse().unwrap();
        let metadata: BTreeMap<_, _> = self
            .form
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("metadata[")?.strip_suffix(']')?, value)))
            .collect();
        json!({
            "id": self.id, "object": "payment_intent", "status": self.status, "currency": self.form["currency"],
            "amount_received": if self.status == "succeeded" { amount } else { 0 }, "metadata": metadata,
            "latest_charge": (self.status == "succeeded").then(|| json!({ "id": "ch_1", "refunded": self.refunded })),
        })
    }
}

fn failure(r#type: &str, code: &str) -> (u16, Value) {
    let status = if r#type == "card_error" { 402 } else { 400 };
    (status, json!({ "error": { "type": r#type, "code": code, "decline_code": "insufficient_funds" } }))
}

impl Books {
    fn create(&mut self, key: &str, form: Form) -> (u16, Value) {
        if let Some((first, answer)) = self.keys.get(key) {
            return if *first == form { answer.clone() } else { failure("idempotency_error", "") };
        }
        let confirmed = form.get("confirm").is_some_and(|confirm| confirm == "true");
        let method = form.get("payment_method").map(String::as_str);
        let status = match (confirmed, method) {
            (true, Some(CARD)) => "succeeded",
            _ => "requires_payment_method",
        };
        if method == Some("pm_used") {
            return failure("invalid_request_error", "payment_method_unactivated");
        }
        let intent = Intent { id: format!("pi_{}", self.intents.len()), form: form.clone(), status, refunded: false };
        let answer = match (confirmed, method) {
            (true, Some(POOR)) => failure("card_error", "card_declined"),
            _ => (200, intent.shown()),
        };
        self.intents.push(intent);
        self.keys.insert(key.to_owned(), (form, answer.clone()));
        answer
    }

    fn page(&self, wanted: impl Fn(&Value) -> bool) -> (u16, Value) {
        let data: Vec<_> = self.intents.iter().map(Intent::shown).filter(|intent| wanted(intent)).collect();
        (200, json!({ "object": "list", "data": data, "has_more": false }))
    }

    /// The youngest first, from the one after that which is named.
    fn list(&self, asked: &Form) -> (u16, Value) {
        let limit = asked["limit"].parse().unwrap();
        let mut young: Vec<_> = self.intents.iter().rev().map(Intent::shown).collect();
        if let Some(after) = asked.get("starting_after") {
            young.drain(..=young.iter().position(|intent| intent["id"] == after.as_str()).unwrap());
        }
        let has_more = young.len() > limit;
        young.truncate(limit);
        (200, json!({ "object": "list", "data": young, "has_more": has_more }))
    }

    fn search(&self, query: &str) -> (u16, Value) {
        let (field, key) = query.split_once(':').unwrap();
        let field = field.trim_start_matches("metadata['").trim_end_matches("']");
        self.page(|intent| !self.search_lags && intent["metadata"][field] == key.trim_matches('\''))
    }

    fn cancel(&mut self, id: &str) -> (u16, Value) {
        let Some(intent) = self.intents.iter_mut().find(|intent| intent.id == id) else {
            return failure("invalid_request_error", "resource_missing");
        };
        if intent.status != "requires_payment_method" {
            return failure("invalid_request_error", "payment_intent_unexpected_state");
        }
        intent.status = "canceled";
        (200, intent.shown())
    }

    fn refund(&mut self, form: &Form) -> (u16, Value) {
        match self.intents.iter_mut().find(|intent| intent.id == form["payment_intent"]) {
            Some(intent) if intent.refunded => failure("invalid_request_error", "charge_already_refunded"),
            Some(intent) if intent.status == "succeeded" => {
                intent.refunded = true;
                (200, json!({ "object": "refund", "status": "succeeded" }))
            }
            _ => failure("invalid_request_error", "resource_missing"),
        }
    }
}

impl StandIn {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    /// Answers, unless the answer is to be lost.
    fn answer(&self, work: impl FnOnce(&mut Books) -> (u16, Value)) -> reply::Response {
        let mut books = self.books();
        let lost = std::mem::take(&mut books.lose_answer);
        let (status, body) = if lost { (work(&mut books), (503, Value::Null)).1 } else { work(&mut books) };
        reply::with_status(reply::json(&body), StatusCode::from_u16(status).unwrap()).into_response()
    }

    async fn start(&self) -> Stripe {
        let with = {
            let stand_in = self.clone();
            warp::any().map(move || stand_in.clone())
        };
        let intents = warp::path!("v1" / "payment_intents");
        let create = intents
            .and(warp::post())
            .and(with.clone())
            .and(warp::header("idempotency-key"))
            .and(warp::header::exact("authorization", "Bearer sk_test_1"))
            .and(warp::body::form())
            .map(|at: Self, key: String, form: Form| at.answer(|books| books.create(&key, form)));
        let list = intents
            .and(warp::get())
            .and(with.clone())
            .and(warp::query())
            .map(|at: Self, asked: Form| at.answer(|books| books.list(&asked)));
        let search = warp::path!("v1" / "payment_intents" / "search")
            .and(warp::get())
            .and(with.clone())
            .and(warp::query())
            .map(|at: Self, query: Form| at.answer(|books| books.search(&query["query"])));
        let cancel = warp::path!("v1" / "payment_intents" / String / "cancel")
            .and(warp::post())
            .and(with.clone())
            .map(|id: String, at: Self| at.answer(|books| books.cancel(&id)));
        let refund = warp::path!("v1" / "refunds")
            .and(warp::post())
            .and(with)
            .and(warp::body::form())
            .map(|at: Self, form: Form| at.answer(|books| books.refund(&form)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let all = create.or(search).or(list).or(cancel).or(refund);
        tokio::spawn(warp::serve(all).incoming(listener).run());
        stripe(&url)
    }

    /// What it has kept in all, and how many intents were ever paid.
    fn kept(&self) -> (i64, usize) {
        let books = self.books();
        let paid: Vec<_> = books.intents.iter().filter(|intent| intent.status == "succeeded").collect();
        let kept = paid.iter().filter(|intent| !intent.refunded).map(|intent| intent.form["amount"].parse::<i64>());
        (kept.map(Result::unwrap).sum(), paid.len())
    }
}

fn stripe(url: &Url) -> Stripe {
    Stripe::new(url, Settings { secret_key: "sk_test_1".into(), method: Some(CARD.to_owned()) }).unwrap()
}

fn order(booking: BookingId) -> Order {
    Order { key: booking.to_string(), customer: "c".to_owned(), amount: won(3000), method: None }
}

fn desk(provider: Stripe) -> Desk<Stripe> {
    Desk { ledger: Ledger::new(database("PAYMENT")), provider }
}

async fn state(booking: BookingId) -> String {
    let query = "select state from charges where booking = $1";
    database("PAYMENT").get().await.unwrap().query_one(query, &[&booking.0]).await.unwrap().get(0)
}

/// Also when its search knows nothing of the last minute.
#[tokio::test]
async fn stripe_keeps_the_trait() {
    for search_lags in [false, true] {
        let stand_in = StandIn::default();
        stand_in.books().search_lags = search_lags;
        let declined = Order { method: Some(POOR.to_owned()), ..order(booking()) };
        keeps_the_trait(&stand_in.start().await, declined).await;
    }
}

/// P1, P2, INV-2 with Stripe.
#[tokio::test]
async fn a_charge_or_a_refund_whose_answer_stripe_lost_counts_once() {
    let stand_in = StandIn::default();
    stand_in.books().search_lags = true;
    let desk = desk(stand_in.start().await);
    let booking = booking();
    stand_in.books().lose_answer = true;
    desk.charge(&charge_request(booking)).await.expect_err("the answer was lost");
    assert_eq!(state(booking).await, "intended");
    assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Captured);
    assert_eq!(stand_in.kept(), (3000, 1));

    stand_in.books().lose_answer = true;
    desk.refund(&Due::of(booking)).await.expect_err("the answer was lost");
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    assert_eq!((stand_in.kept(), state(booking).await.as_str()), ((0, 1), "refunded"));
}

/// P2: nothing can be charged under a key that was given up, however late it comes.
#[tokio::test]
async fn a_key_that_was_given_up_is_refused_by_stripe_itself() {
    let stand_in = StandIn::default();
    let provider = stand_in.start().await;
    let order = order(booking());
    assert_eq!(provider.cancel(&order.key).await.unwrap(), Cancelled::Refused);
    let late = provider.charge(&order).await.unwrap();
    assert_eq!(late, Charged::Declined { reason: "cancelled".to_owned() });
    assert_eq!(stand_in.kept(), (0, 0));
    // A key that was used for something else, which cannot be found: nothing is said that is not known.
    let other = Order { key: booking().to_string(), ..order };
    stand_in.books().keys.insert(other.key.clone(), (Form::new(), (200, Value::Null)));
    assert!(matches!(provider.charge(&other).await, Err(Error::Unclear { .. })));
    assert!(matches!(provider.cancel(&other.key).await, Err(Error::Nonsense(_))));
}

/// What Stripe will not do for a reason it names is an answer, not a doubt; what it would take for another amount is not sent.
#[tokio::test]
async fn what_stripe_refuses_for_good_is_declined() {
    let stand_in = StandIn::default();
    let provider = stand_in.start().await;
    let refused = Order { method: Some("pm_used".to_owned()), ..order(booking()) };
    let charged = provider.charge(&refused).await.unwrap();
    assert_eq!(charged, Charged::Declined { reason: "payment_method_unactivated".to_owned() });
    let ariary = Order { amount: Money::new(50_000, Currency::MGA).unwrap(), ..order(booking()) };
    let charged = provider.charge(&ariary).await.unwrap();
    assert_eq!(charged, Charged::Declined { reason: "currency_not_supported".to_owned() });
    assert_eq!(stand_in.kept(), (0, 0));
}

/// A refund may fail at the bank long after it was accepted: somebody has to be told.
#[tokio::test]
async fn a_refund_that_fails_later_is_noticed() {
    let stand_in = StandIn::default();
    let calls = Calls::start(desk(stand_in.start().await)).await;
    let desk = desk(stand_in.start().await);
    let booking = booking();
    desk.charge(&charge_request(booking)).await.unwrap();
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    let before = DISAGREEMENTS.get();
    assert_eq!(calls.call(&format!("evt_{booking}_refunded"), "charge.refunded", booking, SECRET).await, 200);
    assert_eq!(DISAGREEMENTS.get(), before, "they agree");

    stand_in.books().intents[0].refunded = false;
    assert_eq!(calls.call(&format!("evt_{booking}_failed"), "refund.failed", booking, SECRET).await, 200);
    assert_eq!(DISAGREEMENTS.get(), before + 1);
}

#[tokio::test]
async fn who_has_no_payment_method_is_declined() {
    // Nobody is asked.
    let url = Url::parse("http://127.0.0.1:1").unwrap();
    let provider = Stripe::new(&url, Settings { secret_key: "sk_test_1".into(), method: None }).unwrap();
    let charged = provider.charge(&order(booking())).await.unwrap();
    assert_eq!(charged, Charged::Declined { reason: "no_payment_method".to_owned() });
}

/// Stripe's calls, heard by a worker.
struct Calls {
    at: SocketAddr,
    client: Client,
    stop: CancellationToken,
}

impl Calls {
    async fn start(desk: Desk<Stripe>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let secret = SecretString::from(SECRET);
        tokio::spawn(events::hear(listener, secret, Arc::new(desk), database("PAYMENT"), stop.clone()));
        Self { at, client: Client::new(), stop }
    }

    async fn call(&self, id: &str, what: &str, booking: BookingId, secret: &str) -> u16 {
        let object = json!({ "object": "payment_intent", "metadata": { "booking": booking.to_string() } });
        let body = json!({ "id": id, "object": "event", "type": what, "data": { "object": object } }).to_string();
        let time = chrono::Utc::now().timestamp();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        let signature = format!("t={time},v1={:x}", mac.finalize().into_bytes());
        let call = self.client.post(format!("http://{}/stripe/events", self.at)).header("stripe-signature", signature);
        call.body(body).send().await.unwrap().status().as_u16()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Calls and asking reach the same state, whichever is first, in any order, and however often.
#[tokio::test]
async fn stripes_calls_and_our_asking_reach_the_same_state_whichever_wins() {
    for call_first in [true, false] {
        let stand_in = StandIn::default();
        let provider = stand_in.start().await;
        let calls = Calls::start(desk(provider)).await;
        let desk = desk(stand_in.start().await);
        let booking = booking();
        let id = |what: &str| format!("evt_{booking}_{what}");
        // Too early: nobody has asked for anything yet.
        assert_eq!(calls.call(&id("early"), "payment_intent.succeeded", booking, SECRET).await, 200);

        stand_in.books().lose_answer = true;
        desk.charge(&charge_request(booking)).await.expect_err("the answer was lost");
        if call_first {
            assert_eq!(calls.call(&id("forged"), "payment_intent.succeeded", booking, "whsec_of_somebody").await, 400);
            assert_eq!(state(booking).await, "intended", "a forged call is not believed");
            for _ in 0..3 {
                assert_eq!(calls.call(&id("paid"), "payment_intent.succeeded", booking, SECRET).await, 200);
            }
            assert_eq!(state(booking).await, "captured");
        }
        assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Captured);
        assert_eq!(calls.call(&id("paid"), "payment_intent.succeeded", booking, SECRET).await, 200);
        assert_eq!((state(booking).await.as_str(), stand_in.kept()), ("captured", (3000, 1)));

        stand_in.books().lose_answer = true;
        desk.refund(&Due::of(booking)).await.expect_err("the answer was lost");
        if call_first {
            // The last of the story comes before the one before it.
            assert_eq!(calls.call(&id("refunded"), "charge.refunded", booking, SECRET).await, 200);
            assert_eq!(calls.call(&id("again"), "payment_intent.succeeded", booking, SECRET).await, 200);
            assert_eq!(state(booking).await, "refunded");
        }
        assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
        assert_eq!(calls.call(&id("refunded"), "charge.refunded", booking, SECRET).await, 200);
        assert_eq!((state(booking).await.as_str(), stand_in.kept()), ("refunded", (0, 1)));
    }
}

/// Stripe's own mock knows every parameter of every request, and answers 400 to what it does not know.
#[tokio::test]
async fn our_requests_are_as_stripe_wants_them() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut mock = Command::new(tool("stripe-mock").unwrap());
    mock.args(["-http-port", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _mock = mock.spawn().unwrap();
    let provider = stripe(&Url::parse(&format!("http://127.0.0.1:{port}")).unwrap());
    let order = order(booking());
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < until, "stripe-mock does not listen");
    }

    // It keeps no books: it answers every request with an example of the right shape.
    let charged = provider.charge(&order).await;
    assert!(
        matches!(charged, Ok(Charged::Captured(_)) | Err(Error::Nonsense("status of a confirmed payment intent"))),
        "{charged:?}"
    );
    let found = provider.find(&order.key).await;
    assert!(found.is_ok(), "{found:?}");
    let cancelled = provider.cancel(&order.key).await;
    assert!(cancelled.is_ok(), "{cancelled:?}");
    let captured =
        workers::payment::provider::Captured { reference: "pi_1".to_owned(), amount: order.amount, refunded: false };
    assert_eq!(provider.refund(&order.key, &captured).await.unwrap(), workers::payment::provider::Refunded::Done);
}
