//! What has gone wrong in other products of this kind, each by its name. `docs/requirements.md` lists them all, with those
//! that other suites show.

use crate::world::{Kind, World};
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use workflows::saga::Limits;

/// A step that takes longer is given up, in the tests that are about that.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);

fn impatient() -> Limits {
    Limits { step: GIVEN_UP_AFTER, ..Limits::default() }
}

fn at(stage: &'static str) -> impl Fn(&Value) -> bool {
    move |booking| booking["stage"] == stage
}

async fn approve(world: &World, book: i64, rental: &str) {
    world.decide(book, rental, "approve").await.assert_status(200);
}

/// The undo of one booking is run again when its book and its member have moved on to others.
#[tokio::test]
async fn the_undo_of_a_failed_attempt_does_not_touch_its_siblings_success() {
    let world = World::new();
    let book = world.book().await;
    // On the long road: what is asked for once more is asked for long after.
    let failed = world.start(book, Limits::default()).await;
    world.until(&failed, "paid", at("paid")).await;
    let sibling = world.paid(world.book().await).await;
    for undo in ["payment.refund", "catalog.release"] {
        world.worker_fault(&failed, undo, Some(1), Kind::GoneAfter).await;
    }
    world.decide(book, &failed, "reject").await.assert_status(202);
    world
        .eventually("free", async || world.hold_state(&failed).await, |state| state.as_deref() == Some("released"))
        .await;

    // Past the gateway, which still shows the book as taken: the release is about to be asked for once more.
    let next = world.start(book, Limits::default()).await;
    world.until(&next, "paid", at("paid")).await;
    assert_eq!(world.booking(&failed).await["ending"], Value::Null, "its release is still to be repeated");

    assert_eq!(world.ended(&failed).await["reason"], "rejected");
    for id in [&sibling, &next] {
        assert_eq!(world.booking(id).await["stage"], "paid");
        world.assert_promises(id).await;
    }
    world.assert_promises(&failed).await;
}

#[tokio::test]
async fn a_payment_that_arrives_after_the_hold_has_lapsed_takes_no_money() {
    let world = World::new();
    let book = world.book().await;
    let opening = world.opening(book, impatient());
    let late = opening.booking.to_string();
    world.worker_fault(&late, "payment.charge", None, Kind::HoldBefore).await;
    world.begin(opening).await;
    assert_eq!(world.ended(&late).await["reason"], "no_answer_in_time");
    let next = World::new();
    let sold = next.paid(book).await;

    world.lift(&late).await;
    world.eventually("arrived", async || world.met(&late).await.1, |running| *running == 0).await;

    world.assert_promises(&late).await;
    assert!(world.provider(&late).await.iter().all(|charge| charge.reference.is_none()), "nothing was taken");
    next.assert_promises(&sold).await;
}

#[tokio::test]
async fn of_two_approvers_at_once_the_first_counts_and_the_second_hears_of_it() {
    let world = World::new();
    let (one, other) = (world.person(&[Role::Admin]), world.person(&[Role::Admin]));
    for (decisions, codes) in [(["approve", "approve"], [200, 200]), (["approve", "reject"], [200, 409])] {
        let book = world.book().await;
        let rental = world.paid(book).await;
        let decide = [(&one, decisions[0]), (&other, decisions[1])].map(|(who, decision)| {
            let path = format!("/ebook/books/{decision}/{book}");
            let request = world.request(Method::PATCH, &path).bearer_auth(&who.token);
            world.send(request.json(&json!({ "rentId": rental })))
        });

        let replies = join_all(decide).await;

        let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, codes, "{decisions:?}: {replies:?}");
        if let Some(refused) = replies.iter().find(|reply| reply.status == 409) {
            refused.assert_problem(409, "decided_otherwise");
        }
        let over = |booking: &Value| booking["stage"] == "approved" || booking["ending"].is_string();
        world.until(&rental, "decided", over).await;
        world.assert_promises(&rental).await;
    }
}

#[tokio::test]
async fn a_decision_before_the_wait_begins_is_refused_and_does_not_count_later() {
    let world = World::new();
    let book = world.book().await;
    let opening = world.opening(book, Limits::default());
    let id = opening.booking.to_string();
    world.worker_fault(&id, "payment.charge", None, Kind::HoldBefore).await;
    world.begin(opening).await;
    world.until(&id, "held", at("held")).await;

    for decision in ["approve", "reject"] {
        world.decide(book, &id, decision).await.assert_problem(409, "not_paid_yet");
    }
    world.lift(&id).await;

    let booking = world.until(&id, "paid", at("paid")).await;
    assert_eq!((&booking["waiting_for"], &booking["ending"]), (&json!("administrator"), &Value::Null));
    approve(&world, book, &id).await;
    world.bring_back(&id).await.assert_status(200);
    world.assert_promises(&id).await;
}

/// The charge is made, and its worker is gone before it can say so, again and again: its undo was known before it began.
#[tokio::test]
async fn an_undo_is_registered_before_its_step_so_that_a_lost_charge_goes_back() {
    let world = World::new();
    let opening = world.opening(world.book().await, impatient());
    let id = opening.booking.to_string();
    world.worker_fault(&id, "payment.charge", None, Kind::GoneAfter).await;
    world.begin(opening).await;

    let booking = world.ended(&id).await;

    assert_eq!(booking["reason"], "no_answer_in_time");
    assert!(booking["times"]["refunded"].is_string() && booking["times"]["paid"].is_null(), "{booking:#}");
    world.assert_promises(&id).await;
}

/// The hold is there, although nobody ever heard of it.
#[tokio::test]
async fn a_step_that_never_completed_is_undone_too() {
    let world = World::new();
    let book = world.book().await;
    let opening = world.opening(book, impatient());
    let id = opening.booking.to_string();
    world.worker_fault(&id, "catalog.hold", None, Kind::GoneAfter).await;
    world.begin(opening).await;

    let booking = world.ended(&id).await;

    assert!(booking["times"]["released"].is_string() && booking["times"]["held"].is_null(), "{booking:#}");
    world.assert_promises(&id).await;
    assert_eq!(world.rent(book).await.status, 201);
}

/// The price is the one the book was held at, however often that was asked for, and whatever it costs by then.
#[tokio::test]
async fn a_price_that_changes_between_two_attempts_is_not_computed_twice() {
    let world = World::new();
    let book = world.book_at(3000).await;
    let opening = world.opening(book, Limits::default());
    let id = opening.booking.to_string();
    world.worker_fault(&id, "catalog.hold", Some(1), Kind::GoneAfter).await;
    world.begin(opening).await;
    world.eventually("held", async || world.hold_state(&id).await, |state| state.as_deref() == Some("held")).await;

    let request = world.request(Method::PATCH, &format!("/ebook/books/{book}")).bearer_auth(&world.librarian.token);
    world.send(request.json(&json!({ "rentalFee": 9000 }))).await.assert_status(200);

    let booking = world.until(&id, "paid", at("paid")).await;
    assert_eq!(booking["price"]["amount_minor"], 3000);
    assert_eq!(world.provider(&id).await[0].amount_minor, 3000);
    world.assert_promises(&id).await;
}
