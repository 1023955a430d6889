//! Every way a rental can end, played for real; its history must replay on the code that made it.
//!
//! With `HOLDFAST_RECORD=<folder>` the histories are kept there as JSON, for `workflows/tests/it/replay.rs`.

use crate::{
    play::{self, Until},
    world::World,
};
use dev::simulator::faults::{Before, Fault, Operation};
use orchestrator::{host, upgrade};
use reqwest::Method;
use serde_json::json;
use std::{path::Path, time::Duration};
use temporalio_client::WorkflowFetchHistoryOptions;
use temporalio_common::data_converters::DataConverter;
use workflows::saga::Limits;

#[tokio::test]
async fn every_ending_of_a_rental_replays() {
    let world = World::new();

    let book = world.book().await;
    let returned = world.lent(book).await;
    world.bring_back(&returned).await.assert_status(200);
    check(&world, "signalled", &returned).await;

    let book = world.book().await;
    let rejected = world.paid(book).await;
    world.reject(book).await.assert_status(200);
    check(&world, "rejected", &rejected).await;

    let cancelled = world.paid(world.book().await).await;
    world.cancel(&cancelled).await.assert_status(200);
    check(&world, "cancelled", &cancelled).await;

    let undecided =
        world.start(world.book().await, Limits { decision: Duration::from_millis(50), ..Limits::default() });
    check(&world, "undecided", &undecided.await).await;

    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    let body = json!({ "bookId": world.book().await, "paymentMethod": "declined" });
    let declined = world.send(request.header("prefer", "wait=30").json(&body)).await;
    check(&world, "declined", declined.body["booking"].as_str().unwrap()).await;

    let book = world.book().await;
    world.paid(book).await;
    let taken = world.start(book, Limits::default()).await;
    check(&world, "taken", &taken).await;

    // A charge that is never answered within its limit: unknown, so it is undone.
    world.fault(Fault { operation: Some(Operation::Charge), before: Some(Before::Error), ..Fault::default() }).await;
    let limits = Limits { step: Duration::from_secs(2), ..Limits::default() };
    let unanswered = world.start(world.book().await, limits).await;
    check(&world, "unanswered", &unanswered).await;

    let stuck = World::new();
    let book = stuck.book().await;
    let rental = stuck.paid(book).await;
    stuck.fault(Fault { refuse_refunds: true, times: Some(1), ..Fault::default() }).await;
    assert!(stuck.reject(book).await.status.is_success());
    check(&stuck, "stuck", &rental).await;
}

/// Every system, to the end and cancelled at the last moment, by what it declares, on both roads to the workers.
#[tokio::test]
async fn every_system_replays_to_its_end_and_back() {
    let world = World::new();
    for kind in host::SAGAS {
        for (near, road) in [(false, "-long"), (true, "-together")] {
            for (until, ending) in [(Until::Completed, "completed"), (Until::Cancelled, "cancelled")] {
                let limits = Limits { near, ..Limits::default() };
                let opening = play::opening(&world, kind, 3_000, limits).await;
                let id = world.begin_of(kind.system, opening).await;
                play::play(&world, kind, &id, until).await;
                check_of(&world, &format!("{}{road}", kind.system), ending, &id).await;
            }
        }
    }
}

async fn check(world: &World, ending: &str, id: &str) {
    check_of(world, "rental", ending, id).await;
}

async fn check_of(world: &World, name: &str, ending: &str, id: &str) {
    world.ended(id).await;
    world.assert_agrees(id).await;
    let handle = world.workflow(id).await;
    world
        .eventually(
            "closed",
            async || handle.describe(temporalio_client::WorkflowDescribeOptions::default()).await.unwrap().close_time(),
            Option::is_some,
        )
        .await;
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::default()).to_json().await.unwrap();
    if let Some(folder) = std::env::var_os("HOLDFAST_RECORD") {
        std::fs::write(Path::new(&folder).join(format!("{name}-{ending}.json")), &history).unwrap();
    }

    let replayed = upgrade::replay(host::replayer(DataConverter::default()).unwrap(), &history).await;

    assert!(replayed.is_ok(), "{ending}: {replayed:?}");
}

/// A history that the build has no story for is named with its event and step.
#[tokio::test]
async fn a_history_that_diverges_is_named_with_its_event_and_step() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/tests/histories/0.1.0/rental-returned.json");
    let history = std::fs::read_to_string(path).unwrap();
    // Another build would have charged before it held.
    let swapped = history
        .replace("catalog.hold", "another")
        .replace("payment.charge", "catalog.hold")
        .replace("another", "payment.charge");
    let replayed = upgrade::replay(host::replayer(DataConverter::default()).unwrap(), swapped.as_bytes()).await;
    let what = replayed.expect_err("it replayed");
    assert!(what.contains("at event ") && what.contains("step payment.charge"), "{what}");
}
