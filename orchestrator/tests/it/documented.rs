//! What is documented of many routes alike, asked of each of them.

use crate::world::{Person, Reply, World};
use dev::simulator::faults::Fault;
use futures::{StreamExt, stream};
use orchestrator::gateway::{Access, Route, auth::Role, openapi, problem::Code, routes};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// How many requests wait at the same time.
const AT_ONCE: usize = 8;
const LIST_OF_REVIEWS: &str = "/cinema/reviews";

fn everybody(world: &World) -> Person {
    world.person(Role::ALL)
}

fn method(route: &Route) -> Method {
    Method::from_bytes(route.method.as_str().as_bytes()).unwrap()
}

/// The body that the document shows as an example.
fn example(route: &Route) -> Value {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
    operation["requestBody"]["content"]["application/json"]["example"].clone()
}

fn at(route: &Route, part: &str) -> String {
    let parts = route.path.split('/').map(|here| if here.starts_with('{') { part } else { here });
    parts.collect::<Vec<_>>().join("/")
}

async fn ask(world: &World, who: &Person, route: &Route, path: &str, tag: Option<&str>) -> Reply {
    let mut request = world.request(method(route), path).bearer_auth(&who.token);
    if route.path.starts_with("/salon/hair") && !route.body.is_empty() {
        // The example's time is not the one that was asked for.
        request = request.json(&json!({ "status": "REJECTED" }));
    } else if !route.body.is_empty() {
        request = request.json(&example(route));
    }
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    world.send(request).await
}

/// A promise that would not be kept is not given.
#[tokio::test]
async fn a_version_is_not_asked_for_where_none_is_compared() {
    let world = World::new();
    let said = world.request(Method::POST, "/inbox/approve").bearer_auth(&world.librarian.token);
    let body = json!({ "bookings": ["018f0000-0000-7000-8000-000000000000"] });
    world.send(said.header("if-match", "\"1\"").json(&body)).await.assert_problem(400, "invalid_field");
}

#[tokio::test]
async fn every_list_is_shown_and_takes_a_limit() {
    let world = World::new();
    let all = everybody(&world);
    let lists = routes()
        .filter(|route| route.method.as_str() == "GET" && !route.path.contains('{') && route.path != "/bookings/feed");
    for route in lists {
        let query = if route.path == LIST_OF_REVIEWS { "?movieId=1&" } else { "?" };
        let limit =
            if ["/today", "/provider", "/me/contact", "/webhooks"].contains(&route.path) { "" } else { "limit=1" };
        world.get(&all, &format!("{}{query}{limit}", route.path)).await.assert_status(200);
    }
}

/// An unknown id is an unknown booking, whatever is asked of it; an unknown number is an unknown item.
#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new();
    let all = everybody(&world);
    for route in routes() {
        let codes: Vec<Code> = route.codes();
        let (part, code) = if route.path.contains("{item}") {
            let unknown = codes.iter().find(|code| [Code::UnknownBook, Code::UnknownItem].contains(code));
            ("999999999", *unknown.unwrap())
        } else if route.path.contains("{letter}") {
            ("999999999", Code::NoSuchLetter)
        } else if route.path.contains("{receiver}") && codes.contains(&Code::NoSuchReceiver) {
            ("0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42", Code::NoSuchReceiver)
        } else if codes.contains(&Code::NoSuchBooking) && route.path.contains('{') {
            ("0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42", Code::NoSuchBooking)
        } else {
            continue;
        };
        let path = at(route, part).replace(&format!("{part}/{part}"), &format!("{part}/retry"));
        let path = path.replace("{}", part);
        let mut request = world.request(method(route), &path).bearer_auth(&all.token);
        let decides = route.path.contains("approve") || route.path.contains("reject");
        if path.ends_with("/retry") {
            request = request.json(&json!({ "reason": "gone" }));
        } else if !route.body.is_empty() && !decides {
            request = request.json(&example(route));
        }
        world.send(request).await.assert_problem(404, code.text());
    }
}

/// A live booking of each system, and who asked for it.
async fn live(world: &World) -> Vec<(&'static str, String)> {
    let keeper = everybody(world);
    let registered = async |path: &str, body: Value| world.registered(&keeper, path, body).await;
    let book = registered("/ebook/books", json!({ "bookName": "Dune", "rentalFee": 3000 })).await;
    let resort =
        registered("/resort/resorts", json!({ "resortName": "x", "resortPeriod": "7/23~25", "resortPrice": 100 }))
            .await;
    let movie = registered("/cinema/movies", json!({ "desc": "x", "price": 100 })).await;
    registered("/salon/hrSystems", json!({ "stylistName": format!("s-{}", Uuid::now_v7().simple()) })).await;
    let asked = [
        ("ebook", "/ebook/rents", json!({ "bookId": book })),
        ("resort", "/resort/reservations", json!({ "resortId": resort })),
        ("cinema", "/cinema/reservations", json!({ "movieId": movie })),
        ("matching", "/matching/matches", json!({ "price": 5000 })),
        ("salon", "/salon/reservationSystems", json!({ "time": "10:00" })),
        ("parcel", "/parcel/requests", json!({ "qty": 1 })),
    ];
    let mut live = Vec::new();
    for (system, path, body) in asked {
        live.push((system, world.book_and_wait(&world.member, path, body).await.assert_status(201).body));
    }
    live.iter().map(|(system, body)| (*system, body["id"].as_str().unwrap().to_owned())).collect()
}

/// Reads wait for a version and say when it has not come; who has it already is not told again; who decides on another
/// version is refused.
#[tokio::test]
async fn every_view_of_a_booking_knows_its_version() {
    let world = World::new();
    let live = live(&world).await;
    let staff = world.person(&[Role::Admin, Role::Manager, Role::Teacher, Role::Courier, Role::Sender, Role::Operator]);
    let asked = live.iter().flat_map(|(system, id)| {
        let of_system = routes().filter(move |route| {
            route.path.starts_with(&format!("/{system}/"))
                || *system == "ebook" && route.path.starts_with("/bookings/{booking}")
        });
        of_system
            .filter(|route| route.path.contains("{booking}") || route.path.contains("{match}"))
            .map(move |route| (route, id))
    });
    let asked = asked.map(|(route, id)| {
        let (world, staff) = (&world, &staff);
        async move {
            let path = at(route, id);
            let member = matches!(route.access, Access::SignedIn) || route.access == Access::Any(&[Role::Member]);
            // Cancelled by whose it is, moved on by the others.
            let who = if member { &world.member } else { staff };
            let who = if route.path.starts_with("/salon/hair") { staff } else { who };
            if route.method.as_str() != "GET" {
                if route.codes().contains(&Code::VersionDiffers) && !route.path.starts_with("/cinema") {
                    ask(world, who, route, &path, Some("\"999\"")).await.assert_problem(412, "version_differs");
                    ask(world, who, route, &path, Some("999")).await.assert_problem(400, "invalid_field");
                }
                return;
            }
            world.get(who, &format!("{path}?version=999")).await.assert_problem(409, "version_not_reached");
            world.get(who, &format!("{path}?version=x")).await.assert_problem(400, "invalid_field");
            let shown = world.get(who, &format!("{path}?version=1")).await;
            if route.path == "/resort/vouchers/{booking}" {
                return shown.assert_problem(404, "no_voucher");
            }
            let shown = shown.assert_status(200);
            let Some(tag) = shown.headers.get("etag") else { return };
            let known = world.request(Method::GET, &path).bearer_auth(&who.token).header("if-none-match", tag);
            let known = world.send(known).await.assert_status(304);
            assert_eq!((known.headers.get("etag"), &known.body), (Some(tag), &Value::Null), "{path}");
        }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// Nobody can take off the catalogue what somebody has, and everybody what nobody has.
#[tokio::test]
async fn what_is_booked_stays_in_the_catalogue() {
    let world = World::new();
    let keeper = everybody(&world);
    for (shelf, new, order, wanted) in [
        ("/ebook/books", json!({ "bookName": "Dune", "rentalFee": 3000 }), "/ebook/rents", "bookId"),
        (
            "/resort/resorts",
            json!({ "resortName": "x", "resortPeriod": "7/23~25", "resortPrice": 100 }),
            "/resort/reservations",
            "resortId",
        ),
        ("/cinema/movies", json!({ "desc": "x" }), "/cinema/reservations", "movieId"),
    ] {
        let item = world.registered(&keeper, shelf, new.clone()).await;
        world.book_and_wait(&world.member, order, json!({ wanted: item })).await.assert_status(201);
        world.delete(&keeper, &format!("{shelf}/{item}")).await.assert_problem(409, "item_in_use");
        let free = world.registered(&keeper, shelf, new).await;
        world.delete(&keeper, &format!("{shelf}/{free}")).await.assert_status(204);
    }
}

/// The uniform way in takes every system's fields and refuses as that system does.
#[tokio::test]
async fn the_uniform_way_in_refuses_like_the_systems() {
    let world = World::new();
    let (book, again) = (world.book().await, world.person(&[Role::Member]));
    let ask = async |who: &Person, body: Value| world.post(who, "/bookings", body).await;
    let made = ask(&world.member, json!({ "system": "ebook", "bookId": book })).await.assert_status(201);
    ask(&again, json!({ "system": "ebook", "bookId": book })).await.assert_problem(409, "book_already_rented");
    ask(&again, json!({ "system": "ebook", "bookId": 999_999_999 })).await.assert_problem(404, "unknown_book");
    ask(&again, json!({ "system": "cinema", "movieId": 999_999_999 })).await.assert_problem(404, "unknown_item");
    ask(&again, json!({ "system": "nothing" })).await.assert_problem(400, "invalid_field");
    let movie = world.registered(&world.manager, "/cinema/movies", json!({ "desc": "x" })).await;
    ask(&world.member, json!({ "system": "cinema", "movieId": movie })).await.assert_status(201);
    ask(&again, json!({ "system": "cinema", "movieId": movie })).await.assert_problem(409, "item_taken");
    // Taken back by whose it is, and nobody else.
    let path = format!("/bookings/{}/cancel", made.id());
    world.post(&again, &path, json!({})).await.assert_problem(404, "no_such_booking");
    let cancelled = world.post(&world.member, &path, json!({})).await;
    assert!([200, 202].contains(&cancelled.status.as_u16()), "{cancelled:?}");
    world.ended(&made.id()).await;
    world.post(&world.member, &path, json!({})).await.assert_status(200);
    let both = world.person_named(&world.member.subject, &[Role::Admin, Role::Member]);
    let elses = world.rent(world.book().await).await.id();
    let other = world.person(&[Role::Admin, Role::Member]);
    world.post(&other, &format!("/bookings/{elses}/cancel"), json!({})).await.assert_problem(403, "forbidden");
    world.post(&both, &format!("/bookings/{elses}/cancel"), json!({})).await;
}

/// A rejection carries its reason to the customer's pages; an assignment is checked before it is made.
#[tokio::test]
async fn words_may_come_with_more() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;
    let said = json!({ "bookings": [rental], "because": "The book is damaged." });
    let outcome = world.post(&world.librarian, "/inbox/reject", said).await.assert_status(200).body;
    assert_eq!(outcome["outcomes"][0]["status"], 200, "{outcome}");
    let ended = world.ended(&rental).await;
    assert_eq!((&ended["reason"], &ended["details"]["because"]), (&json!("rejected"), &json!("The book is damaged.")));
    let wrong = world.post(&world.librarian, "/inbox/approve", json!({ "bookings": [rental] })).await.body;
    // Its saga may have ended a moment ago, and answers nobody any more.
    let code = wrong["outcomes"][0]["code"].as_str().unwrap();
    assert!(["decided_otherwise", "too_late"].contains(&code), "{wrong}");
    let nothing = world.post(&world.librarian, "/inbox/deliver", json!({ "bookings": [rental] })).await.body;
    assert_eq!(nothing["outcomes"][0]["code"], "not_said", "{nothing}");

    let stylist = format!("s-{}", Uuid::now_v7().simple());
    let number = world.registered(&world.manager, "/salon/hrSystems", json!({ "stylistName": stylist })).await;
    let time = "2031-07-01T10:00";
    let ask = async || {
        let asked = world.book_and_wait(&world.member, "/salon/reservationSystems", json!({ "time": time })).await;
        asked.assert_status(201).id()
    };
    let (first, second) = (ask().await, ask().await);
    let assign = async |id: &str, stylist: i64| {
        let said = json!({ "bookings": [id], "stylist": stylist });
        world.post(&world.manager, "/inbox/assign", said).await.assert_status(200).body["outcomes"][0].clone()
    };
    assert_eq!(assign(&first, 999_999_999).await["code"], "unknown_item");
    assert_eq!(assign(&first, number).await["status"], 200);
    world.at_stage(&first, "confirmed").await;
    assert_eq!(assign(&second, number).await["code"], "item_taken");
    let path = format!("/salon/hairShopManagementSystems/{second}");
    world.change(&world.manager, &path, json!({ "stylist": stylist })).await.assert_problem(409, "item_taken");
    world.change(&world.manager, &path, json!({ "status": "SERVED" })).await.assert_problem(409, "not_yet");
    world.change(&world.manager, &path, json!({ "stylist": "nobody" })).await.assert_problem(404, "unknown_item");
    let wish = json!({ "time": time, "stylist": "nobody" });
    world.post(&world.member, "/salon/reservationSystems", wish).await.assert_problem(404, "unknown_item");
    world.delete(&world.manager, &format!("/salon/hrSystems/{number}")).await.assert_problem(409, "item_in_use");
    let free =
        world.registered(&world.manager, "/salon/hrSystems", json!({ "stylistName": format!("{stylist}-2") })).await;
    world.delete(&world.manager, &format!("/salon/hrSystems/{free}")).await.assert_status(204);
}

/// Decisions by book, refused one by one.
#[tokio::test]
async fn a_rejection_is_refused_as_an_approval_is() {
    let world = World::new();
    let book = world.book().await;
    let reject = |book: i64| format!("/ebook/books/reject/{book}");
    world.patch(&world.librarian, &reject(999_999_999)).await.assert_problem(404, "unknown_book");
    world.patch(&world.librarian, &reject(book)).await.assert_problem(409, "nothing_to_decide");
    world.paid(book).await;
    let judge = world.person_named(&world.member.subject, &[Role::Admin, Role::Teacher]);
    world.patch(&judge, &reject(book)).await.assert_problem(403, "own_request");
    let asked = world.book_and_wait(&world.member, "/matching/matches", json!({ "price": 5000 })).await;
    let visit = json!({ "matchId": asked.id(), "teacher": "I", "visitDate": "now" });
    world.post(&judge, "/matching/visits", visit).await.assert_problem(403, "own_request");
}

/// Whoever waits for a booking that is taken back meanwhile hears that.
#[tokio::test]
async fn a_wait_ends_when_the_booking_is_turned_back() {
    let world = World::new();
    let book = world.book().await;
    world.fault(Fault { delay_ms: Some((2000, 2000)), ..Fault::default() }).await;
    let waits = world.book_and_wait(&world.member, "/ebook/rents", json!({ "bookId": book }));
    let cancels = async {
        let mine = async || world.get(&world.member, "/bookings").await.body["bookings"][0]["id"].clone();
        let id = world.eventually("asked for", mine, Value::is_string).await;
        world.cancel(id.as_str().unwrap()).await
    };
    let (waited, _) = futures::join!(waits, cancels);
    waited.assert_problem(409, "turned_back");
    assert_eq!(waited.body["reason"], "cancelled");
}

/// The switch of the provider, contacts, and a letter that is sent again.
#[tokio::test]
async fn people_and_operators_change_what_is_theirs() {
    let world = World::new();
    let contact = json!({ "mail": "ada@example.com", "phone": null, "language": "ko" });
    world.put(&world.member, "/me/contact", contact.clone()).await.assert_status(200);
    assert_eq!(world.get(&world.member, "/me/contact").await.assert_status(200).body, contact);

    let weather = world.get(&world.operator, "/provider").await.assert_status(200).body;
    assert_eq!((&weather["state"], &weather["pause"]), (&json!("closed"), &Value::Null));
    for wrong in [json!({}), json!({ "paused": true }), json!({ "paused": 1, "reason": "x" })] {
        world.put(&world.operator, "/provider", wrong).await.assert_problem(400, "invalid_field");
    }
    let on = json!({ "paused": false, "reason": "It was never off." });
    world.put(&world.operator, "/provider", on).await.assert_status(200);

    let rental = world.paid(world.book().await).await;
    world.eventually("told", async || world.messages(&rental).await.len(), |told| *told > 0).await;
    let messages = world.get(&world.member, &format!("/bookings/{rental}/messages")).await.assert_status(200).body;
    let letter = messages["messages"][0]["msgId"].as_i64().unwrap();
    let dead = format!("update notification.messages set state = 'dead' where message = {letter}");
    world.database().await.batch_execute(&dead).await.unwrap();
    let path = format!("/messages/dead/{letter}/resend");
    let sent =
        world.send(world.request(Method::POST, &path).bearer_auth(&world.operator.token)).await.assert_status(200);
    assert_eq!(sent.body["message"], letter);
    let postings = world.get(&world.member, &format!("/bookings/{rental}/postings")).await.assert_status(200).body;
    let sides: Vec<_> = postings["postings"].as_array().unwrap().iter().map(|one| &one["amount_minor"]).collect();
    assert_eq!(sides, [-3000, 3000]);
}
