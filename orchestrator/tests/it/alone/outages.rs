//! Outages: parts of the system are stopped and started again. On a stack of its own.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::{
    addresses::Addresses,
    stack::{Part, Stack},
};
use reqwest::Method;
use serde_json::json;

const SHORT_ROAD: &str = "HOLDFAST_SHORT_ROAD";

/// EB-N2, EB-N4 and the scripts C and D, on one stack after the other's end: starting one takes longer than the scripts.
#[tokio::test]
async fn requests_approvals_returns_and_reads_go_on_while_a_worker_is_down() {
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = World::at(&own.stack.addresses);
    parts_down(&mut own.stack, &world).await;
    roads_changed(&mut own.stack, &world).await;
}

/// The same where workers are asked through their queues alone.
#[tokio::test]
async fn all_that_goes_on_over_the_long_road_too() {
    let settings = |usual: Addresses| usual.with("HOLDFAST_ANSWER_SECONDS", "1").with(SHORT_ROAD, "false");
    let mut own = OwnStack::with(Part::APART, settings).await;
    let world = World::at(&own.stack.addresses);
    parts_down(&mut own.stack, &world).await;
}

async fn parts_down(stack: &mut Stack, world: &World) {
    script_c_payment_down(stack, world).await;
    script_d_catalog_down(stack, world).await;
    notification_down(stack, world).await;
    temporal_down(stack, world).await;
    everything_restarted(stack, world).await;
}

/// Held at once, charged when payment is back; a second request for the same book is refused meanwhile.
async fn script_c_payment_down(stack: &mut Stack, world: &World) {
    let book = world.book().await;
    stack.stop(Part::Payment);

    let rental = world.rent(book).await.assert_status(201).id();
    world.rent(book).await.assert_problem(409, "book_already_rented");
    world.approve(book).await.assert_problem(409, "not_paid_yet");

    stack.run(Part::Payment).await.unwrap();
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.assert_agrees(&rental).await;
}

/// Pending at once, held and charged when the catalog is back. Meanwhile every read, approval and return is answered.
async fn script_d_catalog_down(stack: &mut Stack, world: &World) {
    let (book, waiting, returning) = (world.book().await, world.book().await, world.book().await);
    let (paid, lent) = (world.paid(waiting).await, world.lent(returning).await);
    stack.kill(Part::Catalog);

    let reply = world.rent(book).await.assert_status(202);
    let rental = reply.id();
    assert_eq!(reply.headers["location"], format!("/ebook/rents/{rental}"));
    let read = world.get(&world.member, &format!("/ebook/rents/{rental}")).await.assert_status(200);
    assert_eq!((&read.body["status"], &read.body["stage"]), (&json!("RENTED"), &json!("requested")));
    stack.kill(Part::Payment);
    stack.kill(Part::Notification);
    for view in ["rents", "payments", "dashboards"] {
        world.get(&world.member, &format!("/ebook/{view}")).await.assert_status(200);
    }
    stack.run(Part::Payment).await.unwrap();
    stack.run(Part::Notification).await.unwrap();
    world.approve(waiting).await.assert_status(200);
    world.bring_back(&lent).await.assert_status(202);
    world.get(&world.member, &format!("/ebook/books/{book}")).await.assert_problem(503, "unavailable");

    stack.run(Part::Catalog).await.unwrap();
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.ended(&lent).await;
    for id in [&rental, &paid, &lent] {
        world.assert_agrees(id).await;
    }
}

/// Messages are sent later, once, and no booking waits for them. Nor do they wait for their booking to end.
async fn notification_down(stack: &mut Stack, world: &World) {
    stack.kill(Part::Notification);
    let book = world.book().await;
    let rental = world.lent(book).await;
    world.bring_back(&rental).await.assert_status(200);
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    let waiting = world.paid(world.book().await).await;
    let lent = world.lent(world.book().await).await;

    stack.run(Part::Notification).await.unwrap();

    for (id, messages) in [(&rental, 3), (&waiting, 1), (&lent, 2)] {
        let told = world.eventually("told", async || world.messages(id).await, |told| told.len() >= messages).await;
        assert_eq!(told.len(), messages, "{told:?}");
    }
}

/// Nobody is told that a rental was begun, or that it was not: the same request again finds out.
async fn temporal_down(stack: &mut Stack, world: &World) {
    let book = world.book().await;
    let rent = || {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
        world.send(request.header("idempotency-key", "until-it-is-known").json(&json!({ "bookId": book })))
    };
    stack.kill(Part::Temporal);
    let unknown = rent().await;
    unknown.assert_problem(503, "outcome_unknown");
    assert!(unknown.body["booking"].is_string(), "{unknown:?}");

    stack.run(Part::Temporal).await.unwrap();
    let known = world.eventually("known", rent, |reply| matches!(reply.status.as_u16(), 201 | 202)).await;
    assert_eq!(known.id(), unknown.body["booking"]);
    world.until(&known.id(), "paid", |booking| booking["stage"] == "paid").await;
    world.assert_agrees(&known.id()).await;
}

/// State survives: everything is killed and started again in the middle of a rental.
async fn everything_restarted(stack: &mut Stack, world: &World) {
    let book = world.book().await;
    let rental = world.paid(book).await;
    for part in Part::APART.iter().rev() {
        stack.kill(*part);
    }
    for part in Part::APART {
        stack.run(*part).await.unwrap();
    }

    assert_eq!(world.booking(&rental).await["stage"], "paid");
    world.eventually("approved", async || world.approve(book).await.status.as_u16(), |status| *status == 200).await;
    world.bring_back(&rental).await;
    world.ended(&rental).await;
    world.assert_agrees(&rental).await;
}

/// Open bookings keep the roads that they began with, also in the middle of a step; new ones take those of the settings.
async fn roads_changed(stack: &mut Stack, world: &World) {
    let mut asked_by_queue = Vec::new();
    for road in ["false", "true"] {
        let (held_up, waiting) = (world.book().await, world.book().await);
        let paid = world.paid(waiting).await;
        stack.stop(Part::Catalog);
        let asked = world.rent(held_up).await.assert_status(202).id();
        stack.stop(Part::Orchestrator);
        stack.addresses.also.insert(SHORT_ROAD.to_owned(), road.to_owned());
        stack.run(Part::Orchestrator).await.unwrap();
        stack.run(Part::Catalog).await.unwrap();

        world.until(&asked, "paid", |booking| booking["stage"] == "paid").await;
        world.approve(held_up).await.assert_status(200);
        world.approve(waiting).await.assert_status(200);
        let new = world.lent(world.book().await).await;
        for id in [&asked, &paid, &new] {
            world.bring_back(id).await;
            world.ended(id).await;
            world.assert_agrees(id).await;
        }
        let events = world.events(&new).await;
        asked_by_queue.push(events.iter().filter(|event| *event == "ActivityTaskScheduled").count());
    }
    assert!(
        asked_by_queue[0] > asked_by_queue[1],
        "calls through queues, without the short road and with it: {asked_by_queue:?}"
    );
}
