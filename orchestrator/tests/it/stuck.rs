//! Stuck: an undo that cannot finish is shown, goes on trying, and ends when it can. `moves.rs` has what operators do.

use crate::world::World;
use dev::simulator::faults::Fault;
use serde_json::json;
use std::time::Duration;
use temporalio_client::WorkflowCancelOptions;
use workflows::saga::Limits;

/// P4, EB-W7: while the refund is refused the book stays with its booking.
#[tokio::test]
async fn a_refused_refund_is_shown_as_stuck_keeps_the_book_and_ends_on_retry() {
    let world = World::new();
    world.fault(Fault { refuse_refunds: true, times: Some(5), ..Fault::default() }).await;
    let book = world.book().await;
    let rental = world.paid(book).await;

    let reply = world.reject(book).await.assert_status(202);

    assert_eq!(reply.body["status"], "PAID", "a book whose refund is open is not free");
    let stuck = world.until(&rental, "stuck", |booking| booking["stage"] == "stuck").await;
    assert_eq!(stuck["stuck"]["step"], "payment.refund");
    assert_eq!((&stuck["stuck"]["reason"], &stuck["waiting_for"]), (&json!("refund_refused"), &json!("operator")));
    // EB-W7, also at the catalog itself: the hold stays until the money is back.
    world.assert_agrees(&rental).await;
    World::new().rent(book).await.assert_problem(409, "book_already_rented");
    let listed = world.get(&world.operator, "/stuck").await.assert_status(200).body;
    assert!(listed["bookings"].as_array().unwrap().iter().any(|one| one["id"] == rental.as_str()), "{listed}");

    let retry = format!("/stuck/{rental}/retry");
    world
        .eventually(
            "retried with success",
            async || world.post(&world.operator, &retry, json!({ "reason": "it works again" })).await.status.as_u16(),
            |status| matches!(status, 200 | 409),
        )
        .await;

    let booking = world.ended(&rental).await;
    assert_eq!((&booking["reason"], &booking["stuck"]), (&json!("rejected"), &json!(null)));
    world.assert_agrees(&rental).await;
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    world.post(&world.operator, &retry, json!({ "reason": "again" })).await.assert_problem(409, "not_stuck");
}

/// P4: "request cancellation" in Temporal's web UI neither stops a stuck booking nor makes it race.
#[tokio::test]
async fn a_stuck_booking_whose_workflow_is_cancelled_goes_on_trying_at_its_own_pace() {
    let world = World::new();
    world.fault(Fault { refuse_refunds: true, times: Some(3), ..Fault::default() }).await;
    let book = world.book().await;
    let limits =
        Limits { decision: Duration::from_millis(50), pause_max: Duration::from_hours(1), ..Limits::default() };
    let rental = world.start(book, limits).await;
    world.until(&rental, "stuck", |booking| booking["stage"] == "stuck").await;

    world.workflow(&rental).await.cancel(WorkflowCancelOptions::default()).await.unwrap();

    let retry = format!("/stuck/{rental}/retry");
    let told =
        async || world.post(&world.operator, &retry, json!({ "reason": "it works again" })).await.status.as_u16();
    world.eventually("retried with success", told, |status| matches!(status, 200 | 409)).await;
    assert_eq!(world.ended(&rental).await["reason"], "not_decided_in_time");
    world.assert_agrees(&rental).await;
    let events = world.events(&rental).await.len();
    assert!(events < 200, "{events} events: it did not wait between its attempts");
}
