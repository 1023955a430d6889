//! The e-book rental as its first clients use it: the scenario scripts, call by call, and each requirement.

use crate::world::World;
use dev::simulator::{
    books::Status,
    faults::{After, Before, Fault, Operation},
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use workflows::saga::Limits;

/// EB-F1, F2, F3, F4, F5, F6, F7, F10: script A.
#[tokio::test]
async fn an_approved_rental_goes_from_request_to_return() {
    let world = World::new();

    // A1: registered, with a number sent as text.
    let body = json!({ "bookName": "Hello, JAVA", "rentalFee": "3000" });
    let reply = world.post(&world.librarian, "/ebook/books", body).await.assert_status(201);
    let book = reply.body["id"].as_i64().unwrap();
    assert_eq!((&reply.body["status"], &reply.body["rentalFee"]), (&json!("POSSIBLE"), &json!(3000)));

    // A2: requested, held and paid.
    let body = json!({ "userId": "1", "bookId": book.to_string(), "bookName": "Hello, JAVA", "rentalFee": "3000" });
    let reply = world.post(&world.member, "/ebook/rents", body).await.assert_status(201);
    let rental = reply.id();
    assert_eq!(reply.headers["location"], format!("/ebook/rents/{rental}"));
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;

    // A3
    let reply = world.get(&world.member, &format!("/ebook/rents/{rental}")).await.assert_status(200);
    assert_eq!(reply.body["status"], "RENTED");
    let payment = world.get(&world.member, &format!("/ebook/payments/{rental}")).await;
    assert_eq!((&payment.body["status"], &payment.body["rentalFee"]), (&json!("PAID"), &json!(3000)));
    assert_eq!(world.book_status(book).await, "PAID");

    // A4
    let reply = world.approve(book).await.assert_status(200);
    assert_eq!((&reply.body["status"], &reply.body["rentId"]), (&json!("APPROVED"), &json!(rental)));
    let reply = world.get(&world.member, &format!("/ebook/rents/{rental}")).await;
    assert_eq!(reply.body["status"], "APPROVED");
    assert!(reply.body["rentedDate"].is_string());

    // A5, A6
    let reply = world.bring_back(&rental).await.assert_status(200);
    assert_eq!(reply.body["status"], "RETURNED");
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    for view in ["rents", "dashboards"] {
        let reply = world.get(&world.member, &format!("/ebook/{view}/{rental}")).await.assert_status(200);
        assert_eq!(reply.body["status"], "RETURNED", "{view}");
    }
    world.assert_agrees(&rental).await;
    let told = world.eventually("told", async || world.messages(&rental).await, |told| told.len() == 3).await;
    assert_eq!(told, ["paid", "approved", "returned"]);
}

/// EB-F8, EB-F9: script B. The refund is recorded before the rental shows as cancelled and the book as free (EB-W7).
#[tokio::test]
async fn a_rejected_rental_is_refunded_exactly_once_and_its_book_is_free() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;

    let reply = world.reject(book).await.assert_status(200);

    assert_eq!(reply.body["status"], "POSSIBLE");
    let dashboard = world.get(&world.member, &format!("/ebook/dashboards/{rental}")).await.body;
    assert_eq!((&dashboard["status"], &dashboard["reason"]), (&json!("CANCELED"), &json!("rejected")));
    assert!(dashboard["refundedDate"].as_str() <= dashboard["canceledDate"].as_str(), "{dashboard}");
    let payment = world.get(&world.member, &format!("/ebook/payments/{rental}")).await.body;
    assert_eq!(payment["status"], "REFUNDED");
    world.assert_agrees(&rental).await;
    assert_eq!(world.rent(book).await.status, 201, "a free book can be rented at once");
}

/// EB-W2, EB-W1: what the caller says about price, state, owner and id is not believed.
#[tokio::test]
async fn the_fee_is_the_catalogues_and_the_rental_the_callers_whatever_the_body_says() {
    let world = World::new();
    let book = world.book_at(7000).await;

    let body = json!({
        "bookId": book, "rentalFee": 0, "status": "APPROVED", "userId": "somebody-else", "bookName": "Free!", "id": 1,
    });
    let reply = world.post(&world.member, "/ebook/rents", body).await.assert_status(201);

    let rental = reply.id();
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    assert_eq!(reply.body["userId"], world.member.subject.as_str());
    assert_eq!(reply.body["bookName"], "Hello, JAVA");
    assert_eq!(reply.body["status"], "RENTED");
    assert_eq!(world.provider(&rental).await[0].amount_minor, 7000);
    world.assert_agrees(&rental).await;
}

/// EB-W3: a book that somebody has is refused, and their rental is not touched.
#[tokio::test]
async fn a_book_that_is_rented_is_refused_with_a_clear_answer() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;
    let other = World::new();

    let reply = other.rent(book).await;

    reply.assert_problem(409, "book_already_rented");
    world.approve(book).await.assert_status(200);
    world.bring_back(&rental).await.assert_status(200);
    other.rent(book).await.assert_status(201);
}

/// EB-N1: unpaid is never approved.
#[tokio::test]
async fn a_declined_card_turns_the_rental_back_and_it_can_never_be_approved() {
    let world = World::new();
    let book = world.book().await;

    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    let body = json!({ "bookId": book, "paymentMethod": "declined" });
    let reply = world.send(request.header("prefer", "wait=30").json(&body)).await;

    reply.assert_problem(402, "payment_declined");
    let rental = reply.body["booking"].as_str().unwrap();
    let booking = world.ended(rental).await;
    assert_eq!((&booking["ending"], &booking["reason"]), (&json!("undone"), &json!("payment_declined")));
    world.approve(book).await.assert_problem(409, "nothing_to_decide");
    let exact = world.request(Method::PATCH, &format!("/ebook/books/approve/{book}"));
    let exact = exact.bearer_auth(&world.librarian.token).json(&json!({ "rentId": rental }));
    world.send(exact).await.assert_problem(409, "too_late");
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    world.assert_agrees(rental).await;
}

/// EB-N1: while the charge is not known, a decision is refused.
#[tokio::test]
async fn a_rental_whose_charge_is_not_known_yet_cannot_be_approved() {
    let world = World::new();
    world.fault(Fault { operation: Some(Operation::Charge), delay_ms: Some((3000, 3000)), ..Fault::default() }).await;
    let book = world.book().await;
    let rental = world.rent(book).await.assert_status(201).id();

    world.approve(book).await.assert_problem(409, "not_paid_yet");

    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    world.assert_agrees(&rental).await;
}

/// EB-F5, EB-W6: the first decision counts; the same again is harmless, another is refused.
#[tokio::test]
async fn a_second_decision_changes_nothing() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.lent(book).await;

    world.approve(book).await.assert_status(200);
    let reply = world.reject(book).await;

    reply.assert_problem(409, "decided_otherwise");
    assert_eq!(reply.body["stage"], "approved");
    let misspelt = world.request(Method::PATCH, &format!("/ebook/books/approve/{book}"));
    let misspelt = misspelt.bearer_auth(&world.librarian.token).json(&json!({ "rentid": rental }));
    assert_eq!(world.send(misspelt).await.body["field"], "rentid");
    world.approve(i64::MAX).await.assert_problem(404, "unknown_book");
    let free = world.book().await;
    world.approve(free).await.assert_problem(409, "nothing_to_decide");
    world.assert_agrees(&rental).await;
}

/// EB-W9: only what is lent can be returned, and only by whoever has it.
#[tokio::test]
async fn only_a_lent_book_can_be_returned() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;

    world.bring_back(&rental).await.assert_problem(409, "not_lent");
    world.approve(book).await.assert_status(200);
    world.bring_back(&rental).await.assert_status(200);
    world.bring_back(&rental).await.assert_status(200);

    world.cancel(&rental).await.assert_problem(409, "too_late");
    world.assert_agrees(&rental).await;
}

/// A member may change their mind until the approval.
#[tokio::test]
async fn a_cancelled_rental_is_refunded_and_its_book_is_free() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;

    let reply = world.cancel(&rental).await.assert_status(200);

    assert_eq!((&reply.body["status"], &reply.body["reason"]), (&json!("CANCELED"), &json!("cancelled")));
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    world.assert_agrees(&rental).await;
    world.cancel(&rental).await.assert_status(200);
    let told = world.eventually("told", async || world.messages(&rental).await, |told| told.len() == 2).await;
    assert_eq!(told, ["paid", "undone"]);
}

/// A free book is lent without a word to the payment provider.
#[tokio::test]
async fn a_free_book_needs_no_payment() {
    let world = World::new();
    let book = world.book_at(0).await;

    let rental = world.paid(book).await;

    assert!(world.provider(&rental).await.is_empty());
    world.cancel(&rental).await.assert_status(200);
    let payment = world.get(&world.member, &format!("/ebook/payments/{rental}")).await.body;
    assert_eq!(payment["status"], "NONE");
    world.assert_agrees(&rental).await;
}

/// The price and its currency belong together.
#[tokio::test]
async fn a_new_price_is_in_the_books_own_currency_unless_it_says_otherwise() {
    let world = World::new();
    let new = json!({ "bookName": "Hello, JAVA", "rentalFee": 1000, "currency": "USD" });
    let book = world.post(&world.librarian, "/ebook/books", new).await.assert_status(201).body["id"].clone();
    let edit = |body: serde_json::Value| {
        let request = world.request(Method::PATCH, &format!("/ebook/books/{book}"));
        world.send(request.bearer_auth(&world.librarian.token).json(&body))
    };

    let edited = edit(json!({ "rentalFee": 1200 })).await.assert_status(200).body;

    assert_eq!((&edited["rentalFee"], &edited["currency"]), (&json!(1200), &json!("USD")));
    assert_eq!(edit(json!({ "currency": "EUR" })).await.body["field"], "rentalFee");
    assert_eq!(edit(json!({ "rentalFee": 1, "currency": "XXX" })).await.body["field"], "currency");
    assert_eq!(edit(json!({ "rentalfee": 1 })).await.body["field"], "rentalfee");
}

/// P2: the provider takes the money and its reply is lost. It is looked up, not sent again.
#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_found_and_counted_once() {
    for after in [After::DropReply, After::Error] {
        let world = World::new();
        let fault =
            Fault { operation: Some(Operation::Charge), after: Some(after), times: Some(1), ..Fault::default() };
        world.fault(fault).await;
        let book = world.book().await;

        let rental = world.paid(book).await;

        assert_eq!(world.provider(&rental).await.len(), 1);
        world.assert_agrees(&rental).await;
    }
}

/// P1, P2: cancelled while the charge is in doubt. Whether it was taken or not, nothing stays.
#[tokio::test]
async fn a_rental_cancelled_while_its_charge_is_in_doubt_keeps_no_money() {
    let doubts = [
        Fault { before: Some(Before::Error), ..Fault::default() },
        Fault { after: Some(After::Error), ..Fault::default() },
        Fault { after: Some(After::DropReply), ..Fault::default() },
    ];
    for doubt in doubts {
        let world = World::new();
        world.fault(Fault { operation: Some(Operation::Charge), times: Some(3), ..doubt.clone() }).await;
        world
            .fault(Fault {
                operation: Some(Operation::Find),
                before: Some(Before::Error),
                times: Some(3),
                ..Fault::default()
            })
            .await;
        let book = world.book().await;
        let rental = world.rent(book).await.assert_status(201).id();

        world.cancel(&rental).await;

        let booking = world.ended(&rental).await;
        assert_eq!(booking["reason"], "cancelled", "{doubt:?}");
        world.assert_agrees(&rental).await;
    }
}

/// P1: the money was taken, and nobody ever said so. The undo was recorded before the step, so it goes back.
#[tokio::test]
async fn a_charge_that_is_never_answered_is_given_back() {
    let world = World::new();
    world.fault(Fault { operation: Some(Operation::Charge), after: Some(After::Error), ..Fault::default() }).await;
    world.fault(Fault { operation: Some(Operation::Find), before: Some(Before::Error), ..Fault::default() }).await;

    let limits = Limits { step: Duration::from_secs(3), ..Limits::default() };
    let rental = world.start(world.book().await, limits).await;

    assert_eq!(world.ended(&rental).await["reason"], "no_answer_in_time");
    assert_eq!(world.provider(&rental).await[0].status, Status::Refunded);
    world.assert_agrees(&rental).await;
}

/// EB-N3: a payment provider as slow as the load tests of old had it makes nobody wait, and nothing fails.
#[tokio::test]
async fn a_slow_provider_delays_the_payment_and_nothing_else() {
    let world = World::new();
    world.fault(Fault { operation: Some(Operation::Charge), delay_ms: Some((400, 620)), ..Fault::default() }).await;
    let books = join_all((0..20).map(|_| world.book())).await;

    let replies = join_all(books.iter().map(|book| world.rent(*book))).await;

    for reply in replies {
        // Held, or on a busy machine pending; never refused.
        assert!(matches!(reply.status.as_u16(), 201 | 202), "{reply:?}");
        let rental = reply.id();
        world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
        world.assert_agrees(&rental).await;
    }
}

/// P6: whatever an answer said, the next read says it too, or something newer.
#[tokio::test]
async fn an_answer_is_never_contradicted_by_a_later_read() {
    let world = World::new();
    for _ in 0..10 {
        let book = world.book().await;
        let rental = world.rent(book).await.assert_status(201);
        let id = rental.id();
        let path = format!("/ebook/rents/{id}");
        let version = |reply: &crate::world::Reply| reply.body["version"].as_i64().unwrap();
        assert!(version(&world.get(&world.member, &path).await) >= version(&rental));
        world.until(&id, "paid", |booking| booking["stage"] == "paid").await;

        let approved = world.approve(book).await.assert_status(200);
        assert!(version(&world.get(&world.member, &path).await) >= version(&approved));
        let returned = world.bring_back(&id).await.assert_status(200);
        assert_eq!(world.get(&world.member, &path).await.body, returned.body);
        assert_eq!(world.book_status(book).await, "POSSIBLE");
    }
}

/// EB-F10, EB-N4, RS-N4, INV-9: own rentals in every state, and nobody else's.
#[tokio::test]
async fn a_member_sees_their_own_rentals_newest_first_page_by_page() {
    let world = World::new();
    let mut rentals = Vec::new();
    for _ in 0..3 {
        let book = world.book().await;
        rentals.insert(0, world.rent(book).await.assert_status(201).id());
    }

    let first = world.get(&world.member, "/ebook/rents?limit=2").await.assert_status(200).body;
    let next = first["next"].as_i64().unwrap();
    let second = world.get(&world.member, &format!("/ebook/rents?limit=2&cursor={next}")).await.body;

    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["rents"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!([ids(&first), ids(&second)].concat(), rentals);
    assert!(second["next"].is_null());
}

/// The uniform way: one path for every system, one shape, a timeline.
#[tokio::test]
async fn a_booking_can_be_started_and_followed_in_the_words_all_systems_share() {
    let world = World::new();
    let book = world.book().await;

    let body = json!({ "system": "ebook", "bookId": book });
    let reply = world.post(&world.member, "/bookings", body).await.assert_status(201);

    let id = reply.id();
    assert_eq!(reply.body["system"], "ebook");
    assert!(reply.body["times"]["held"].is_string(), "accepted is held, or more: {reply:?}");
    world.until(&id, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    let inbox = world.get(&world.member, "/inbox").await.assert_status(200).body;
    assert_eq!(inbox["bookings"][0]["id"], id.as_str());
    let booking = world.get(&world.member, &format!("/bookings/{id}")).await.assert_status(200).body;
    let stages: Vec<_> = booking["timeline"].as_array().unwrap().iter().map(|change| &change["stage"]).collect();
    assert_eq!(stages, ["requested", "held", "paid", "approved"]);
}

/// The feed tells every change once, in order, and goes on where a reader left it.
#[tokio::test]
async fn the_feed_tells_every_change_of_the_callers_bookings_in_order() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.lent(book).await;
    world.bring_back(&rental).await.assert_status(200);

    let request = || world.request(Method::GET, "/bookings/feed").bearer_auth(&world.member.token);
    let all = read_events(request().send().await.unwrap(), 5).await;
    let stages: Vec<_> = all.iter().map(|(_, change)| change["stage"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stages, ["requested", "held", "paid", "approved", "returned"]);

    let resumed = request().header("last-event-id", &all[2].0).send().await.unwrap();
    assert_eq!(read_events(resumed, 2).await, all[3..]);

    let from_now_on = request().query(&[("cursor", "now")]).send().await.unwrap();
    let next = world.lent(book).await;
    let news = read_events(from_now_on, 1).await;
    assert_eq!((&news[0].1["booking"], &news[0].1["stage"]), (&json!(next), &json!("requested")));
}

pub async fn read_events(mut response: reqwest::Response, count: usize) -> Vec<(String, serde_json::Value)> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let part = response.chunk().await.unwrap().expect("the feed goes on");
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        line.to_owned()
    };
    let events = text.split("\n\n").filter(|event| event.contains("data:"));
    events.map(|event| (field(event, "id:"), serde_json::from_str(&field(event, "data:")).unwrap())).collect()
}

/// The price of a rental at Temporal: every event is written and kept. Those of the workflow's own tasks depend on how many answers
/// arrive together, the others do not, unless a busy machine keeps a worker from answering on the short road.
#[tokio::test]
async fn the_happy_path_takes_the_events_that_the_sagas_header_names() {
    let world = World::new();
    for (near, events, tasks_max) in [(true, 21, 4), (false, 34, 12)] {
        let mut seen = Vec::new();
        for _ in 0..5 {
            let book = world.book().await;
            let rental = world.start(book, Limits { near, ..Limits::default() }).await;
            world.at_stage(&rental, "paid").await;
            world.decide(book, &rental, "approve").await.assert_status(200);
            world.bring_back(&rental).await.assert_status(200);
            let closed = |events: &Vec<String>| events.last().is_some_and(|last| last == "WorkflowExecutionCompleted");
            let written = world.eventually("closed", async || world.events(&rental).await, closed).await;
            let (tasks, story): (Vec<_>, Vec<_>) =
                written.into_iter().partition(|event| event.starts_with("WorkflowTask"));
            seen.push((story.len(), tasks.len() / 3));
            if story.len() == events && tasks.len() / 3 <= tasks_max {
                break;
            }
        }
        let (story, tasks) = seen[seen.len() - 1];
        assert!(story == events && tasks <= tasks_max, "near: {near}; events and tasks: {seen:?}");
    }
}
