//! The feed of bookings as other services use it (MT-N6): the table without gaps, and signed webhooks.

use crate::{
    ebook::read_events,
    play::{self, Until},
    world::World,
};
use futures::future::join_all;
use orchestrator::{board::FeedPlace, host, webhooks};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};
use tokio::net::TcpListener;
use uuid::Uuid;
use warp::{Filter, http::HeaderMap};
use workflows::saga::Limits;

/// X13: a reader that follows the table never misses a change, and never sees a booking's versions out of order, also when
/// transactions commit in another order than they began in.
#[tokio::test]
async fn a_change_that_commits_late_is_not_stepped_over() {
    let world = World::new();
    let db = world.database().await;
    let url = world.setting("HOLDFAST_ADMIN_DATABASE_URL");
    let (mut slow, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let insert = "insert into board.history (booking, version, system, stage, customer, at) \
                  values ($1, 1, 'test', 'requested', 'somebody', now()) returning seq";
    let page = async |after: FeedPlace| -> Vec<(FeedPlace, Uuid)> {
        let select = "select tx, seq, booking from board.feed where (written_by, seq) > ($1::bigint::text::xid8, $2) \
                      and system = 'test' and customer = 'somebody' order by written_by, seq";
        let rows = db.query(select, &[&after.tx, &after.seq]).await.unwrap();
        rows.iter().map(|row| (FeedPlace { tx: row.get(0), seq: row.get(1) }, row.get(2))).collect()
    };
    let start = page(FeedPlace::default()).await.last().map(|(place, _)| *place).unwrap_or_default();
    let bookings: [Uuid; 4] = std::array::from_fn(|_| Uuid::now_v7());

    // The slow one gets its transaction first and its number last, and commits last.
    let late = slow.transaction().await.unwrap();
    late.query_one("select pg_current_xact_id()::text", &[]).await.unwrap();
    db.query_one(insert, &[&bookings[0]]).await.unwrap();
    late.query_one(insert, &[&bookings[1]]).await.unwrap();
    db.query_one(insert, &[&bookings[2]]).await.unwrap();
    let before = page(start).await;
    late.commit().await.unwrap();
    db.query_one(insert, &[&bookings[3]]).await.unwrap();

    let everything = async || {
        let mut seen = before.clone();
        seen.extend(page(seen.last().map_or(start, |(place, _)| *place)).await);
        seen
    };
    let seen = world.eventually("all of them", everything, |seen| seen.len() >= 4).await;
    let mut known: Vec<Uuid> = seen.iter().map(|(_, booking)| *booking).collect();
    assert!(seen.is_sorted_by_key(|(place, _)| *place), "{seen:?}");
    known.sort();
    let mut expected = bookings.to_vec();
    expected.sort();
    assert_eq!(known, expected, "each once, whatever was read before the late one committed: {before:?}");
}

/// Those who follow live are told from memory, and those who come back with an old place from the table first: both hear what is
/// in the table, all of it and in its order, while many change it.
#[tokio::test]
async fn who_follows_live_and_who_comes_back_hear_what_is_in_the_table() {
    const RENTALS: usize = 10;
    let world = World::new();
    let follow = async |name: &str, place: &str| {
        let request = world.request(Method::GET, "/bookings/feed").bearer_auth(&world.librarian.token);
        request.query(&[("system", "ebook")]).query(&[(name, place)]).send().await.unwrap()
    };
    let live = follow("cursor", "now").await;
    let rentals = join_all((0..RENTALS).map(async |_| world.lent(world.book().await).await)).await;
    let told: Vec<(String, Value)> = read_events(live, 3 * RENTALS).await;
    let later = read_events(follow("cursor", &told[0].0).await, told.len() - 1).await;
    assert_eq!(later, told[1..]);

    let ends = |at: usize| told[at].0.parse::<FeedPlace>().unwrap();
    let (first, last) = (ends(0), ends(told.len() - 1));
    let select = "select booking, version from board.feed where system = 'ebook' \
                  and (written_by, seq) >= ($1::bigint::text::xid8, $2) \
                  and (written_by, seq) <= ($3::bigint::text::xid8, $4) order by written_by, seq";
    let places: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&first.tx, &first.seq, &last.tx, &last.seq];
    let written = world.database().await.query(select, &places).await.unwrap();
    let written: Vec<(String, i64)> =
        written.iter().map(|row| (row.get::<_, Uuid>(0).to_string(), row.get::<_, i32>(1).into())).collect();
    let heard = |(_, change): &(String, Value)| {
        (change["booking"].as_str().unwrap().to_owned(), change["version"].as_i64().unwrap())
    };
    assert_eq!(told.iter().map(heard).collect::<Vec<_>>(), written);
    assert!(rentals.iter().any(|rental| written.iter().any(|(booking, _)| booking == rental)));
}

/// Who comes back after a long time is told page after page, and nothing between two pages is left out.
#[tokio::test]
async fn a_reader_far_behind_is_told_everything() {
    const CHANGES: i32 = 250;
    let world = World::new();
    let insert = "insert into board.history (booking, version, system, stage, customer, at) \
                  select gen_random_uuid(), number, 'test', 'requested', $1, now() from generate_series(1, $2) number";
    world.database().await.execute(insert, &[&world.member.subject, &CHANGES]).await.unwrap();
    let request = world.request(Method::GET, "/bookings/feed").bearer_auth(&world.member.token);
    let told = read_events(request.send().await.unwrap(), 250).await;
    let versions: Vec<_> = told.iter().filter_map(|(_, change)| change["version"].as_i64()).collect();
    assert_eq!(versions, (1..=i64::from(CHANGES)).collect::<Vec<_>>());
}

/// A service subscribes with rights to the feed and to nothing else of the board.
#[tokio::test]
async fn who_may_read_the_feed_may_read_nothing_else_of_the_board() {
    let world = World::new();
    let url = world.setting("HOLDFAST_FULFILMENT_DATABASE_URL");
    let (reader, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    reader.query("select * from board.feed limit 1", &[]).await.unwrap();
    for table in ["board.bookings", "board.history", "board.receivers", "catalog.items", "payment.charges"] {
        assert!(reader.query(&format!("select * from {table} limit 1"), &[]).await.is_err(), "{table}");
    }
}

/// What a receiver was sent.
#[derive(Clone, Debug)]
struct Call {
    id: String,
    body: Value,
}

/// A receiver that checks signatures, and answers as it is told to.
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    secret: Arc<Mutex<String>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    async fn start() -> Self {
        let (status, secret, calls) =
            (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(String::new())), Arc::default());
        let (answer, key, heard) = (status.clone(), secret.clone(), Arc::clone(&calls));
        let route = warp::post().and(warp::header::headers_cloned()).and(warp::body::bytes()).map(
            move |headers: HeaderMap, body: bytes::Bytes| {
                let text = String::from_utf8(body.to_vec()).unwrap();
                let header = |name: &str| headers[name].to_str().unwrap().to_owned();
                let id = header("webhook-id");
                let timestamp = header("webhook-timestamp").parse().unwrap();
                let expected = webhooks::signature(&key.lock().unwrap().clone().into(), &id, timestamp, &text);
                assert_eq!(header("webhook-signature"), expected);
                assert!((chrono::Utc::now().timestamp() - timestamp).abs() < 60);
                let calls: &Mutex<Vec<Call>> = &heard;
                calls.lock().unwrap().push(Call { id, body: serde_json::from_str(&text).unwrap() });
                warp::reply::with_status("", warp::http::StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap())
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(warp::serve(route).incoming(listener).run());
        Self { url, status, secret, calls }
    }

    fn of(&self, booking: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.body["data"]["booking"] == booking).cloned().collect()
    }
}

/// MT-N6: a new service is added by subscription alone. It is told every change of every booking, in order, signed; again
/// while it fails, and again from a place on when somebody asks for that.
#[tokio::test]
async fn a_receiver_is_told_every_change_in_order_until_it_takes_it() {
    let world = World::new();
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url, "system": "cinema" });
    let made = world.post(&world.operator, "/webhooks", body).await.assert_status(201).body;
    receiver.secret.lock().unwrap().push_str(made["secret"].as_str().unwrap());
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let listed = world.get(&world.operator, "/webhooks").await.assert_status(200).body;
    assert!(!listed.to_string().contains(made["secret"].as_str().unwrap()), "a secret is shown once");

    receiver.status.store(503, Ordering::SeqCst);
    let kind = host::kind("cinema").unwrap();
    let id = world.begin_of("cinema", play::opening(&world, kind, 3_000, Limits::default()).await).await;
    play::play(&world, kind, &id, Until::Completed).await;
    world.ended(&id).await;
    let failed = async || receiver.calls.lock().unwrap().len();
    world.eventually("told in vain", failed, |calls| *calls >= 2).await;
    receiver.status.store(200, Ordering::SeqCst);
    world.post(&world.operator, &format!("{path}/replay"), json!({})).await.assert_status(200);

    let stages = ["requested", "held", "reserved", "watched", "watched, and over"];
    let told = async || {
        // The same change twice has the same id: by that it is known.
        let calls: BTreeMap<String, Call> = receiver.of(&id).into_iter().map(|call| (call.id.clone(), call)).collect();
        calls.len()
    };
    world.eventually("told all of it", told, |told| *told == stages.len()).await;
    let mut order: Vec<i64> =
        receiver.of(&id).iter().map(|call| call.body["data"]["version"].as_i64().unwrap()).collect();
    order.dedup();
    assert_eq!(order, [1, 2, 3, 4, 5]);
    let last = receiver.of(&id).last().cloned().unwrap();
    assert_eq!(last.body["type"], "booking.watched");
    let log = world.get(&world.operator, &format!("{path}/deliveries?limit=100")).await.assert_status(200).body;
    let outcomes: Vec<_> =
        log["deliveries"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert!(outcomes.contains(&"failed") && outcomes.contains(&"delivered"), "{outcomes:?}");

    // Once more from a place on.
    let before = receiver.of(&id).len();
    let from = receiver.of(&id)[0].body["data"]["place"].clone();
    world.post(&world.operator, &format!("{path}/replay"), json!({ "from": from })).await.assert_status(200);
    world.eventually("told again", async || receiver.of(&id).len(), |calls| *calls >= before + 3).await;

    world.delete(&world.operator, &path).await.assert_status(204);
    world.delete(&world.operator, &path).await.assert_problem(404, "no_such_receiver");
    let own = world.get(&world.member, "/webhooks").await;
    own.assert_problem(403, "forbidden");
}

/// What is signed goes nowhere that was not registered, and nowhere in the clear.
#[tokio::test]
async fn a_receiver_has_a_url_that_can_be_trusted() {
    let world = World::new();
    for url in ["http://example.com/x", "ftp://example.com", "https://user:pass@example.com", "x", ""] {
        world.post(&world.operator, "/webhooks", json!({ "url": url })).await.assert_problem(400, "invalid_field");
    }
    for body in
        [json!({ "url": "https://example.com", "system": "x" }), json!({ "url": "https://example.com", "from": "x" })]
    {
        world.post(&world.operator, "/webhooks", body).await.assert_problem(400, "invalid_field");
    }
}
