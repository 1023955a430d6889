//! P5: a booking whose workflow is terminated, or deleted, is recovered: before its point of no return money and book go
//! back, after it the rental is carried on. Whenever that happens, and however often it is looked for.

use crate::{
    play,
    world::{Kind, World},
};
use futures::future::join_all;
use orchestrator::host::SAGAS;
use serde_json::{Value, json};

use temporalio_client::{
    NamespacedClient as _, UntypedWorkflow, WorkflowDescribeOptions, WorkflowStartOptions, WorkflowTerminateOptions,
    grpc::WorkflowService,
    schedules::{ScheduleOverlapPolicy, TriggerScheduleOptions},
    tonic::IntoRequest,
};
use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        common::v1::{Payload, WorkflowExecution},
        workflowservice::v1::DeleteWorkflowExecutionRequest,
    },
};
use tokio::time::Instant;
use uuid::Uuid;
use workflows::saga::{Limits, Opening};

/// Somebody ends a workflow in Temporal's web UI.
async fn terminate(world: &World, id: &str) {
    let workflow = world.workflow(id).await;
    workflow.terminate(WorkflowTerminateOptions::builder().reason("a test").build()).await.unwrap();
}

/// Somebody deletes it, with its history.
async fn delete(world: &World, id: &str) {
    let mut temporal = world.temporal().await.clone();
    let request = DeleteWorkflowExecutionRequest {
        namespace: temporal.namespace(),
        workflow_execution: Some(WorkflowExecution { workflow_id: format!("ebook/{id}"), run_id: String::new() }),
    };
    temporal.delete_workflow_execution(request.into_request()).await.unwrap();
}

/// Looks for lost sagas now, whatever the schedule says.
async fn search(world: &World) {
    let handle = world.temporal().await.get_schedule_handle("recovery-ended");
    handle.trigger(ScheduleOverlapPolicy::AllowAll, TriggerScheduleOptions::default()).await.unwrap();
}

fn at(stage: &'static str) -> impl Fn(&Value) -> bool {
    move |booking| booking["stage"] == stage
}

/// A rental that stops at a stage, because the worker it waits for does not get on.
async fn held_at(world: &World, activity: &str, stage: &'static str) -> String {
    let opening = world.opening(world.book().await, Limits::default());
    let id = opening.booking.to_string();
    world.worker_fault(&id, activity, None, Kind::HoldBefore).await;
    world.begin(opening).await;
    world.until(&id, stage, at(stage)).await;
    id
}

#[tokio::test]
async fn a_rental_terminated_before_its_point_of_no_return_is_undone_whatever_it_was_doing() {
    let world = World::new();
    let holding = held_at(&world, "catalog.hold", "requested").await;
    let charging = held_at(&world, "payment.charge", "held").await;
    let paid = world.paid(world.book().await).await;
    let undoing = {
        let book = world.book().await;
        let id = world.paid(book).await;
        world.worker_fault(&id, "payment.refund", None, Kind::HoldBefore).await;
        world.reject(book).await.assert_status(202);
        world.until(&id, "undoing", at("undoing")).await;
        id
    };
    let all = [&holding, &charging, &paid, &undoing];

    let terminated = Instant::now();
    for id in all {
        terminate(&world, id).await;
    }
    // What was on its way when the saga went arrives while it is being undone.
    for id in all {
        world.lift(id).await;
    }

    for (id, reason) in
        [(&holding, "interrupted"), (&charging, "interrupted"), (&paid, "interrupted"), (&undoing, "rejected")]
    {
        let booking = world.ended(id).await;
        println!("undone {:.1} s after it was terminated", terminated.elapsed().as_secs_f32());
        assert_eq!((&booking["ending"], &booking["reason"]), (&json!("undone"), &json!(reason)), "{booking:#}");
        world.assert_promises(id).await;
    }
}

/// P4 and P5: a stuck booking that is terminated is stuck again, and ends when it can.
#[tokio::test]
async fn a_stuck_rental_that_is_terminated_is_stuck_again_until_its_refund_goes_through() {
    let world = World::new();
    let (book, id) = world.stuck().await;
    let stuck = world.booking(&id).await;

    terminate(&world, &id).await;

    let version = stuck["version"].as_i64().unwrap();
    let again = |booking: &Value| booking["stage"] == "stuck" && booking["version"].as_i64() > Some(version);
    let again = world.until(&id, "stuck again", again).await;
    assert_eq!((&again["reason"], &again["stuck"]["step"]), (&json!("rejected"), &json!("payment.refund")));
    World::new().rent(book).await.assert_problem(409, "book_already_rented");
    world.no_faults().await;
    assert_eq!(world.ended(&id).await["reason"], "rejected");
    world.assert_promises(&id).await;
}

/// RS-W6, MT-W5: every system, terminated wherever it waits for somebody. Before the point of no return nothing is left of it,
/// no voucher either; after it, it is carried on to its end.
#[tokio::test]
async fn every_system_is_recovered_wherever_it_waits() {
    let cases = SAGAS.iter().flat_map(|kind| {
        let [story, forward] = kind.turns;
        let before = story.iter().map(move |turn| (kind, turn.stage, false));
        before.chain(forward.iter().map(move |turn| (kind, turn.stage, true)))
    });
    let played = cases.map(|(kind, stage, committed)| async move {
        let world = World::new();
        let id = world.begin_of(kind.system, play::opening(&world, kind, 3_000, Limits::default()).await).await;
        play::play_to(&world, kind, &id, stage).await;
        let version = world.booking(&id).await["version"].as_i64().unwrap();
        // What was on its way to the customer is told; a message that ends with its saga is lost.
        world.assert_promises(&id).await;

        terminate(&world, &id).await;
        search(&world).await;

        let taken_over = |booking: &Value| booking["version"].as_i64() > Some(version);
        world.until(&id, "taken over", taken_over).await;
        if committed {
            play::play_from(&world, kind, &id, stage).await;
        }
        let booking = world.ended(&id).await;
        let expected = if committed { json!("completed") } else { json!("undone") };
        assert_eq!(booking["ending"], expected, "{} at {stage}: {booking:#}", kind.system);
        assert!(booking["times"]["taken_over"].is_string());
        world.assert_promises(&id).await;
    });
    join_all(played).await;
}

#[tokio::test]
async fn a_lent_book_stays_lent_when_its_workflow_is_terminated_and_can_be_returned() {
    let world = World::new();
    let book = world.book().await;
    let id = world.lent(book).await;
    let before = world.booking(&id).await;

    terminate(&world, &id).await;

    let version = before["version"].as_i64().unwrap();
    world.until(&id, "carried on", |booking| booking["version"].as_i64() > Some(version)).await;
    assert_eq!(world.book_status(book).await, "APPROVED");
    world.assert_agrees(&id).await;
    // Approved it is, and nobody can take that back.
    world.approve(book).await.assert_status(200);
    world.cancel(&id).await.assert_problem(409, "too_late");
    world.bring_back(&id).await.assert_status(200);
    let after = world.booking(&id).await;
    assert_eq!((&after["ending"], &after["times"]["approved"]), (&json!("completed"), &before["times"]["approved"]));
    world.assert_promises(&id).await;
}

/// Approved, and gone before the hold was made firm; returned, and gone before that was written down.
#[tokio::test]
async fn a_rental_terminated_between_two_steps_after_its_point_of_no_return_is_carried_on_from_there() {
    let world = World::new();
    let (book, other) = (world.book().await, world.book().await);
    let approved = world.paid(book).await;
    world.worker_fault(&approved, "catalog.confirm", None, Kind::HoldBefore).await;
    world.approve(book).await.assert_status(200);
    let returned = world.lent(other).await;
    world.worker_fault(&returned, "catalog.release", None, Kind::HoldAfter).await;
    world.bring_back(&returned).await.assert_status(202);
    world
        .eventually(
            "released",
            async || world.hold_state(&returned).await,
            |state| state.as_deref() == Some("released"),
        )
        .await;

    terminate(&world, &approved).await;
    terminate(&world, &returned).await;
    world.lift(&approved).await;
    world.lift(&returned).await;

    // Nobody has to say again that it is back.
    assert_eq!(world.ended(&returned).await["ending"], "completed");
    world.assert_promises(&returned).await;
    world
        .eventually("firm", async || world.hold_state(&approved).await, |state| state.as_deref() == Some("confirmed"))
        .await;
    world.bring_back(&approved).await.assert_status(200);
    world.assert_promises(&approved).await;
}

/// As if the board had been away from the first moment on.
async fn forget_row(world: &World, id: &str) {
    for table in ["bookings", "history"] {
        let forget = format!("delete from board.{table} where booking = $1");
        world.database().await.execute(&forget, &[&id.parse::<Uuid>().unwrap()]).await.unwrap();
    }
}

#[tokio::test]
async fn a_rental_whose_workflow_was_deleted_is_recovered_from_what_is_held_and_charged() {
    let world = World::new();
    let (paid, lent) = (world.paid(world.book().await).await, world.lent(world.book().await).await);
    let version = world.booking(&lent).await["version"].as_i64().unwrap();

    for id in [&paid, &lent] {
        delete(&world, id).await;
    }

    assert_eq!(world.ended(&paid).await["reason"], "interrupted");
    world.assert_promises(&paid).await;
    world.until(&lent, "carried on", |booking| booking["version"].as_i64() > Some(version)).await;
    world.bring_back(&lent).await.assert_status(200);
    world.assert_promises(&lent).await;
}

/// All that is left is what the workers have written down: that tells which book it was, and whether it was lent.
#[tokio::test]
async fn a_deleted_rental_that_the_board_never_knew_is_recovered_and_gets_its_row() {
    let world = World::new();
    let (book, other) = (world.book().await, world.book().await);
    let (paid, lent) = (world.paid(book).await, world.lent(other).await);
    world
        .eventually("firm", async || world.hold_state(&lent).await, |state| state.as_deref() == Some("confirmed"))
        .await;

    for id in [&paid, &lent] {
        forget_row(&world, id).await;
        delete(&world, id).await;
    }

    let row = world.ended(&paid).await;
    assert_eq!(
        (&row["reason"], &row["item"], &row["item_name"]),
        (&json!("interrupted"), &json!(book), &json!("Hello, JAVA"))
    );
    world.assert_agrees(&paid).await;
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    let row = world.until(&lent, "carried on", at("approved")).await;
    assert_eq!(
        (&row["item"], &row["version"], &row["price"]["amount_minor"]),
        (&json!(other), &json!(1), &json!(3000))
    );
    assert_eq!(world.hold_state(&lent).await.as_deref(), Some("confirmed"));
}

/// Nothing is held or charged yet: only the board knows of it.
#[tokio::test]
async fn a_rental_deleted_before_it_holds_anything_does_not_stay_on_the_board_for_ever() {
    let world = World::new();
    let id = held_at(&world, "catalog.hold", "requested").await;

    delete(&world, &id).await;
    world.lift(&id).await;

    assert_eq!(world.ended(&id).await["reason"], "interrupted");
    world.assert_promises(&id).await;
}

/// Nobody can read what it began with: that keeps no other booking from being recovered.
#[tokio::test]
async fn a_lost_saga_that_nobody_can_read_stands_in_no_others_way() {
    let world = World::new();
    let id = world.paid(world.book().await).await;
    let temporal = world.temporal().await;
    for input in [r#""x""#, "{}", r#"{"opening":7}"#] {
        let strange = format!("ebook/{}", Uuid::now_v7());
        let payload = Payload {
            metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
            data: input.as_bytes().to_vec(),
            ..Payload::default()
        };
        let options = WorkflowStartOptions::new("nowhere", &strange).build();
        let input = RawValue::new(vec![payload]);
        let started = temporal.start_workflow(UntypedWorkflow::new("ebook.rental"), input, options).await.unwrap();
        started.terminate(WorkflowTerminateOptions::builder().reason("a test").build()).await.unwrap();
    }

    terminate(&world, &id).await;

    assert_eq!(world.ended(&id).await["reason"], "interrupted");
    world.assert_promises(&id).await;
}

/// Its workflow is deleted while its refund is open, and the same booking begins anew before anybody has missed it.
#[tokio::test]
async fn a_booking_that_begins_again_while_its_refund_is_open_goes_on_with_the_refund() {
    let world = World::new();
    let (book, id) = world.stuck().await;
    let again = Opening { booking: id.parse().unwrap(), ..world.opening(book, Limits::default()) };

    delete(&world, &id).await;
    let gone = async || world.workflow(&id).await.describe(WorkflowDescribeOptions::default()).await.is_err();
    world.eventually("gone", gone, |gone| *gone).await;
    world.begin_or_find(again).await;
    world.no_faults().await;

    let booking = world.ended(&id).await;
    assert!(booking["times"]["refunded"].is_string(), "{booking:#}");
    world.assert_agrees(&id).await;
}

/// The thorough search looks at a charge until it is earned, and not for ever.
#[tokio::test]
async fn the_charge_of_a_completed_rental_is_taken_off_the_list_of_what_is_open() {
    let world = World::new();
    let open = world.paid(world.book().await).await;
    let completed = world.lent(world.book().await).await;
    world.bring_back(&completed).await.assert_status(200);

    let kept = async |id: &str| -> bool {
        let query = "select kept_at is not null from payment.charges where booking = $1";
        world.database().await.query_one(query, &[&id.parse::<Uuid>().unwrap()]).await.unwrap().get(0)
    };
    world.eventually("kept", async || kept(&completed).await, |kept| *kept).await;
    assert!(!kept(&open).await, "a booking that has not ended may still have to give it back");
}

/// Searches at the same time, and the customer's own repeat of the request: one saga, one refund, and no version more than
/// one recovery makes.
#[tokio::test]
async fn to_recover_twice_changes_nothing() {
    let world = World::new();
    let id = world.paid(world.book().await).await;
    let alive = world.lent(world.book().await).await;
    let before = world.booking(&alive).await;

    terminate(&world, &id).await;
    join_all((0..5).map(|_| search(&world))).await;
    let ended = world.ended(&id).await;
    world.assert_promises(&id).await;

    terminate_if_running(&world, &id).await;
    // Another one lost and found proves that the search has been made since.
    let probe = world.paid(world.book().await).await;
    terminate(&world, &probe).await;
    join_all((0..5).map(|_| search(&world))).await;
    world.ended(&probe).await;
    assert_eq!(world.booking(&id).await, ended);
    assert_eq!(world.booking(&alive).await, before, "a living saga is left alone");
    world.assert_promises(&id).await;
}

/// Its last notice may still be on its way: the booking has ended all the same.
async fn terminate_if_running(world: &World, id: &str) {
    let workflow = world.workflow(id).await;
    drop(workflow.terminate(WorkflowTerminateOptions::builder().reason("a test").build()).await);
}
