//! Parcel delivery: its scenario script call by call, and what it must and must not do.

use crate::{
    play,
    world::{Reply, World},
};
use orchestrator::host;
use serde_json::json;
use workflows::saga::Limits;

async fn asked(world: &World) -> String {
    let body = json!({ "memberId": "100", "qty": 5 });
    let reply = world.post(&world.member, "/parcel/requests", body).await.assert_status(201);
    assert_eq!((&reply.body["status"], &reply.body["qty"]), (&json!("Registered"), &json!(5)));
    world.at_stage(&reply.id(), "paid").await;
    reply.id()
}

async fn report(world: &World, id: &str, status: &str) -> Reply {
    let body = json!({
        "courierName": "Lee", "memberId": "10", "requestId": "2", "location": "Seoul City", "status": status,
    });
    world.put(&world.courier, &format!("/parcel/deliveries/{id}"), body).await
}

async fn points(world: &World) -> i64 {
    let points = world.get(&world.member, "/parcel/points").await.assert_status(200).body;
    points["points"][0]["point"].as_i64().unwrap_or_default()
}

/// TK-N2: the script, call by call; a hundred points once, however often the end is told.
#[tokio::test]
async fn the_script_of_the_parcel_runs_as_written() {
    let world = World::new();
    // 1.
    let id = asked(&world).await;
    let payment = world.get(&world.member, &format!("/parcel/payments/{id}")).await.assert_status(200).body;
    assert_eq!((&payment["status"], &payment["price"]), (&json!("Paid"), &json!(15_000)));
    let delivery = world.get(&world.member, &format!("/parcel/deliveries/{id}")).await.assert_status(200).body;
    assert_eq!(delivery["status"], "BeforeChecked");
    // 2.
    let finished = report(&world, &id, "Finish").await.assert_status(200);
    assert_eq!((&finished.body["status"], &finished.body["courierName"]), (&json!("Finish"), &json!("Lee")));
    assert_eq!(finished.body["location"], "Seoul City");
    // Whose parcel it is is ours to know.
    assert_eq!(finished.body["memberId"], world.member.subject.as_str());
    // 3.
    world.eventually("credited", async || points(&world).await, |points| *points == 100).await;
    for _ in 0..3 {
        report(&world, &id, "Finish").await.assert_status(200);
    }
    report(&world, &id, "PickedUp").await.assert_problem(409, "too_late");
    let second = asked(&world).await;
    report(&world, &second, "Finish").await.assert_status(200);
    world.eventually("credited again", async || points(&world).await, |points| *points == 200).await;
    world.assert_promises(&id).await;
}

/// A courier says where the parcel is, as often as they like; before the pick-up it can be cancelled, after it not.
#[tokio::test]
async fn a_parcel_is_cancelled_before_it_is_picked_up_and_not_after() {
    let world = World::new();
    let cancel = async |id: &str| {
        world.change(&world.member, &format!("/parcel/requests/{id}"), json!({ "status": "ReqCanceled" })).await
    };
    let first = asked(&world).await;
    cancel(&first).await.assert_status(200);
    report(&world, &first, "Finish").await.assert_problem(409, "too_late");
    let payment = world.get(&world.member, &format!("/parcel/payments/{first}")).await.body;
    assert_eq!(payment["status"], "PayCanceled");
    world.assert_promises(&first).await;

    let second = asked(&world).await;
    report(&world, &second, "PickedUp").await.assert_status(200);
    cancel(&second).await.assert_problem(409, "too_late");
    let other = world.person(&[orchestrator::gateway::auth::Role::Courier]);
    let body = json!({ "location": "Elsewhere", "status": "Finish" });
    world.put(&other, &format!("/parcel/deliveries/{second}"), body).await.assert_problem(403, "forbidden");
    let body = json!({ "location": "Busan", "status": "PickedUp" });
    let moved = world.put(&world.courier, &format!("/parcel/deliveries/{second}"), body).await.assert_status(200);
    assert_eq!((&moved.body["location"], &moved.body["courierName"]), (&json!("Busan"), &json!("Lee")));
    report(&world, &second, "Finish").await.assert_status(200);
    world.assert_promises(&second).await;
    world.eventually("credited", async || points(&world).await, |points| *points == 100).await;
}

/// X9: the price is ours, the courier's paths are the courier's, and what is declined is never carried.
#[tokio::test]
async fn nobody_but_a_courier_moves_a_parcel_and_nobody_names_its_price() {
    let world = World::new();
    for bad in [json!({ "qty": 0 }), json!({ "qty": 101 }), json!({}), json!({ "qty": "many" })] {
        world.post(&world.member, "/parcel/requests", bad).await.assert_problem(400, "invalid_field");
    }
    let body = json!({ "qty": 1, "price": 1, "status": "Finish", "paymentMethod": "declined" });
    let refused = world.book_and_wait(&world.member, "/parcel/requests", body).await;
    refused.assert_problem(402, "payment_declined");
    let id = asked(&world).await;
    let path = format!("/parcel/deliveries/{id}");
    for who in [&world.member, &world.librarian, &world.teacher] {
        world.put(who, &path, json!({ "status": "Finish" })).await.assert_problem(403, "forbidden");
    }
    world.put(&world.courier, &path, json!({ "status": "Lost" })).await.assert_problem(400, "invalid_field");
    let own = world.person_named(&world.member.subject, &[orchestrator::gateway::auth::Role::Courier]);
    world.put(&own, &path, json!({ "status": "Finish" })).await.assert_problem(403, "own_request");
    assert_eq!(points(&world).await, 0);
}

/// A parcel hears two words by one name. To repeat the first is neither the second nor something new: it has had its effect.
#[tokio::test]
async fn to_report_a_pickup_again_is_answered_by_what_is_there() {
    let world = World::new();
    let kind = host::kind("parcel").unwrap();
    let limits = Limits { near: true, ..Limits::default() };
    let id = world.begin_of("parcel", play::opening(&world, kind, 3_000, limits).await).await;
    play::play_to(&world, kind, &id, "picked_up").await;

    let again = world.post(&world.courier, "/inbox/pick_up", json!({ "bookings": [id] })).await.assert_status(200);

    let expected = json!({ "booking": id, "status": 200, "stage": "picked_up", "version": 3 });
    assert_eq!(again.body["outcomes"][0], expected);
}
