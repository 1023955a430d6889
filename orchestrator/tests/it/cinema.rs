//! The cinema: its scenario scripts call by call, and what it must and must not do.

use crate::world::{Person, World};
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use serde_json::{Value, json};

async fn movie(world: &World, price: i64, capacity: i64) -> i64 {
    let body = json!({ "desc": "Beautiful Movie~", "price": price, "capacity": capacity });
    world.registered(&world.manager, "/cinema/movies", body).await
}

/// The customer has a seat, and it is paid for.
async fn reserved(world: &World, movie: i64) -> String {
    let body = json!({ "movieId": movie, "status": "reqReserve" });
    let reply = world.book_and_wait(&world.member, "/cinema/reservations", body).await.assert_status(201);
    assert_eq!(reply.body["status"], "reserved", "{reply:?}");
    reply.id()
}

async fn cancel(world: &World, who: &Person, id: &str) -> crate::world::Reply {
    world.change(who, &format!("/cinema/reservations/{id}"), json!({ "status": "reqCancel" })).await
}

/// CN-F1, CN-F2, CN-F3, CN-F5, CN-F8, CN-N4: script A, call by call.
#[tokio::test]
async fn the_script_of_the_cinema_runs_as_written() {
    let world = World::new();
    // A1, A2: without a price it is free.
    let first = world.post(&world.manager, "/cinema/movies", json!({ "desc": "Beautiful Movie~" })).await;
    let first = first.assert_status(201);
    assert_eq!((&first.body["status"], &first.body["reviewCnt"]), (&json!("available"), &json!(0)));
    assert_eq!(first.body["lastAction"], "register");
    let number = first.body["movieId"].as_i64().unwrap();
    world.registered(&world.manager, "/cinema/movies", json!({ "desc": "Happy Story!" })).await;
    // A3.
    let views = world.get(&world.member, &format!("/cinema/movieviews?cursor={}", number - 1)).await.assert_status(200);
    assert_eq!(views.body["movieviews"][0]["desc"], "Beautiful Movie~");
    assert_eq!(views.body["movieviews"][0]["movieStatus"], "available");

    // A4.
    let body = json!({ "movieId": number.to_string(), "status": "reqReserve" });
    let asked = world.post(&world.member, "/cinema/reservations", body).await.assert_status(201);
    let id = asked.id();
    world.at_stage(&id, "reserved").await;
    // A5.
    let listed = world.get(&world.member, "/cinema/reservations").await.assert_status(200).body;
    assert_eq!(
        (&listed["reservations"][0]["rsvId"], &listed["reservations"][0]["status"]),
        (&json!(id), &json!("reserved"))
    );
    assert_eq!(listed["reservations"][0]["payId"], id.as_str());
    let view = world.get(&world.member, &format!("/cinema/movieviews/{number}")).await.body;
    assert_eq!(
        (&view["movieStatus"], &view["rsvStatus"], &view["payStatus"]),
        (&json!("reserved"), &json!("reserved"), &json!("paid"))
    );

    // A6.
    let cancelled = cancel(&world, &world.member, &id).await.assert_status(200);
    assert_eq!(cancelled.body["status"], "cancelled");
    // A7.
    let payment = world.get(&world.member, &format!("/cinema/payments/{id}")).await.body;
    assert_eq!(payment["status"], "cancelled");
    let view = world.get(&world.member, &format!("/cinema/movieviews/{number}")).await.body;
    assert_eq!(
        (&view["movieStatus"], &view["rsvStatus"], &view["payStatus"]),
        (&json!("available"), &json!("cancelled"), &json!("cancelled"))
    );
    assert_eq!(view["lastAction"], "cancelled");
    world.assert_promises(&id).await;
}

/// CN-F4, CN-F6, CN-N5, CN-W8, INV-8: one message per change, to the one who booked.
#[tokio::test]
async fn confirmation_and_cancellation_are_told_once_each() {
    let world = World::new();
    let id = reserved(&world, movie(&world, 12_000, 1).await).await;
    cancel(&world, &world.member, &id).await.assert_status(200);
    cancel(&world, &world.member, &id).await.assert_status(200);
    world.assert_promises(&id).await;

    let told = world.get(&world.member, "/cinema/messages").await.assert_status(200).body;
    let stages: Vec<_> =
        told["messages"].as_array().unwrap().iter().map(|one| one["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["reserved", "undone"]);
    assert!(told["messages"][1]["content"].as_str().unwrap().contains("refunded"), "{told}");
    let stranger = World::new();
    let others = stranger.get(&stranger.member, "/cinema/messages").await.assert_status(200).body;
    assert_eq!(others["messages"], json!([]));
}

/// CN-N1, CN-W7, CN-W10: what is not paid is not reserved, and its seat is free again.
#[tokio::test]
async fn an_unpaid_reservation_does_not_come_into_being() {
    let world = World::new();
    let movie = movie(&world, 40_200, 1).await;

    let body = json!({ "movieId": movie, "price": 0, "status": "reserved" });
    let refused = world.book_and_wait(&world.member, "/cinema/reservations", body).await;

    refused.assert_problem(402, "payment_declined");
    let id = refused.body["booking"].as_str().unwrap();
    assert!(world.booking(id).await["times"]["reserved"].is_null());
    world.assert_promises(id).await;
    let shown = world.get(&world.member, &format!("/cinema/movies/{movie}")).await.body;
    assert_eq!(shown["status"], "available");
}

/// CN-W1, CN-W2, INV-1, X11: a movie has as many seats as its capacity says, and cancelling one frees that one.
#[tokio::test]
async fn no_seat_is_sold_twice_and_an_old_cancellation_frees_no_newer_seat() {
    let world = World::new();
    let movie = movie(&world, 9_000, 3).await;
    let people: Vec<_> = (0..12).map(|_| world.person(&[Role::Member])).collect();

    let asked = people.iter().map(|who| world.post(who, "/cinema/reservations", json!({ "movieId": movie })));
    let replies = join_all(asked).await;

    let won: Vec<_> = replies.iter().filter(|reply| reply.status == 201).map(crate::world::Reply::id).collect();
    assert_eq!(won.len(), 3, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.assert_problem(409, "item_taken");
    }
    let shown = world.get(&world.manager, &format!("/cinema/movies/{movie}")).await.body;
    assert_eq!((&shown["free"], &shown["status"]), (&json!(0), &json!("reserved")));

    let first = won[0].clone();
    let owner = people.iter().zip(&replies).find(|(_, reply)| reply.body["id"] == first.as_str()).unwrap().0;
    world.at_stage(&first, "reserved").await;
    cancel(&world, owner, &first).await.assert_status(200);
    let next = world.person(&[Role::Member]);
    let again = world.post(&next, "/cinema/reservations", json!({ "movieId": movie })).await.assert_status(201);
    cancel(&world, owner, &first).await.assert_status(200);
    let late = world.person(&[Role::Member]);
    world.post(&late, "/cinema/reservations", json!({ "movieId": movie })).await.assert_problem(409, "item_taken");
    assert_eq!(world.hold_state(&again.id()).await.as_deref(), Some("held"));
}

/// CN-F7, CN-W6: only who has watched a movie reviews it, once for each time.
#[tokio::test]
async fn only_who_has_watched_a_movie_may_review_it() {
    let world = World::new();
    let movie = movie(&world, 9_000, 2).await;
    let review = json!({ "movieId": movie.to_string(), "content": "I laughed." });
    let say = async |who: &Person| world.post(who, "/cinema/reviews", review.clone()).await;
    say(&world.member).await.assert_problem(403, "not_attended");
    let id = reserved(&world, movie).await;
    say(&world.member).await.assert_problem(403, "not_attended");

    let watched = json!({ "status": "watched" });
    let path = format!("/cinema/reservations/{id}");
    world.change(&world.member, &path, watched.clone()).await.assert_problem(403, "forbidden");
    world.change(&world.manager, &path, watched).await.assert_status(200);

    say(&world.member).await.assert_status(201);
    say(&world.member).await.assert_status(201);
    say(&world.person(&[Role::Member])).await.assert_problem(403, "not_attended");
    let shown = world.get(&world.member, &format!("/cinema/movies/{movie}")).await.body;
    assert_eq!((&shown["reviewCnt"], &shown["lastAction"]), (&json!(1), &json!("review")));
    let said = world.get(&world.member, &format!("/cinema/reviews?movieId={movie}")).await.assert_status(200).body;
    assert_eq!(said["reviews"][0]["content"], "I laughed.");
    assert!(said["reviews"][0]["userId"].is_null(), "who said it is private: {said}");
    cancel(&world, &world.member, &id).await.assert_problem(409, "too_late");
    world.assert_promises(&id).await;
}

/// CN-F1: a movie with a live reservation stays listed.
#[tokio::test]
async fn a_movie_is_edited_and_removed_but_not_while_it_is_reserved() {
    let world = World::new();
    let movie = movie(&world, 9_000, 1).await;
    let path = format!("/cinema/movies/{movie}");
    let id = reserved(&world, movie).await;
    world.delete(&world.manager, &path).await.assert_problem(409, "item_in_use");

    let edited =
        world.change(&world.manager, &path, json!({ "desc": "Happy Story!", "price": 1 })).await.assert_status(200);
    assert_eq!((&edited.body["desc"], &edited.body["price"]), (&json!("Happy Story!"), &json!(1)));
    // The reservation keeps what it was made with.
    let kept = world.get(&world.member, &format!("/cinema/reservations/{id}")).await.body;
    assert_eq!((&kept["desc"], &kept["price"]), (&json!("Beautiful Movie~"), &json!(9_000)));

    cancel(&world, &world.member, &id).await.assert_status(200);
    world.delete(&world.manager, &path).await.assert_status(204);
    world.get(&world.member, &path).await.assert_problem(404, "unknown_item");
    let body = json!({ "movieId": movie });
    world.post(&world.member, "/cinema/reservations", body).await.assert_problem(404, "unknown_item");
    world.delete(&world.manager, &path).await.assert_problem(404, "unknown_item");
}

/// CN-W3, CN-W4, CN-W10: a cancellation is the customer's own, in any state, and a late answer brings nothing back.
#[tokio::test]
async fn a_reservation_is_cancelled_by_its_customer_in_any_state() {
    let world = World::new();
    world
        .fault(dev::simulator::faults::Fault {
            operation: Some(dev::simulator::faults::Operation::Charge),
            delay_ms: Some((600, 600)),
            ..Default::default()
        })
        .await;
    let body = json!({ "movieId": movie(&world, 9_000, 1).await });
    let id = world.post(&world.member, "/cinema/reservations", body).await.assert_status(201).id();
    let stranger = world.person(&[Role::Member]);
    cancel(&world, &stranger, &id).await.assert_problem(404, "no_such_booking");
    cancel(&world, &world.manager, &id).await.assert_problem(403, "forbidden");

    // While the provider is still thinking about the charge.
    assert!(cancel(&world, &world.member, &id).await.status.is_success());

    let booking = world.ended(&id).await;
    assert_eq!(booking["reason"], "cancelled");
    world.assert_promises(&id).await;
    let shown = world.get(&world.member, &format!("/cinema/reservations/{id}")).await.body;
    assert_eq!(shown["status"], "cancelled");
}

/// CN-W5: a movie's view shows all of the caller's reservations, and nobody else's.
#[tokio::test]
async fn the_view_of_a_movie_keeps_earlier_reservations() {
    let world = World::new();
    let movie = movie(&world, 9_000, 5).await;
    let first = reserved(&world, movie).await;
    cancel(&world, &world.member, &first).await.assert_status(200);
    let second = reserved(&world, movie).await;

    let view = world.get(&world.member, &format!("/cinema/movieviews/{movie}")).await.body;

    let ids = |view: &Value| {
        view["reservations"].as_array().unwrap().iter().map(|one| one["rsvId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&view), [json!(second), json!(first)]);
    assert_eq!((&view["rsvId"], &view["movieStatus"]), (&json!(second), &json!("available")));
    let stranger = World::new();
    assert!(ids(&stranger.get(&stranger.member, &format!("/cinema/movieviews/{movie}")).await.body).is_empty());
    assert_eq!(ids(&world.get(&world.manager, &format!("/cinema/movieviews/{movie}")).await.body).len(), 2);
}
