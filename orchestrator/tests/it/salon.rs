//! The hair salon: its scenario script call by call, and what it must and must not do.

use crate::world::{Person, Reply, World};
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use serde_json::{Value, json};
use uuid::Uuid;

async fn stylist(world: &World) -> (i64, String) {
    let name = format!("Kim {}", Uuid::now_v7().simple());
    (world.registered(&world.manager, "/salon/hrSystems", json!({ "stylistName": name })).await, name)
}

async fn ask(world: &World, who: &Person, time: &str) -> Reply {
    world.post(who, "/salon/reservationSystems", json!({ "userName": "Lee", "time": time })).await
}

async fn answer(world: &World, id: &str, body: Value) -> Reply {
    world.change(&world.manager, &format!("/salon/hairShopManagementSystems/{id}"), body).await
}

async fn status(world: &World, id: &str) -> Value {
    world.get(&world.manager, &format!("/salon/reservationSystems/{id}")).await.body["status"].clone()
}

/// HS-F1 to HS-F7, HS-N4, HS-W1, HS-W2, HS-W4, HS-W5, HS-W8: the script, call by call.
#[tokio::test]
async fn the_script_of_the_salon_runs_as_written() {
    let world = World::new();
    // A1.
    let (_, kim) = stylist(&world).await;
    // A2: accepted, and in the shop's list once.
    let asked = ask(&world, &world.member, "10:00").await.assert_status(201);
    let id = asked.body["reserveId"].as_str().unwrap().to_owned();
    assert_eq!((&asked.body["status"], &asked.body["userName"]), (&json!("REQUESTED"), &json!("Lee")));
    world.at_stage(&id, "offered").await;
    let tasks = world.get(&world.manager, "/salon/hairShopManagementSystems?limit=100").await.assert_status(200).body;
    let ours =
        tasks["hairShopManagementSystems"].as_array().unwrap().iter().filter(|one| one["reserveId"] == id.as_str());
    assert_eq!(ours.count(), 1);
    // A3.
    let fixed = answer(&world, &id, json!({ "stylist": kim, "reserveTime": "10:00" })).await.assert_status(200);
    assert_eq!((&fixed.body["status"], &fixed.body["stylist"]), (&json!("CONFIRMED"), &json!(kim)));
    answer(&world, &id, json!({ "stylist": kim, "reserveTime": "10:00" })).await.assert_status(200);
    // A4.
    let live = async || {
        let view = world.get(&world.manager, "/salon/reservationStatuses?limit=100").await.assert_status(200).body;
        view["reservationStatuses"].as_array().unwrap().iter().find(|one| one["viewReverveId"] == id.as_str()).cloned()
    };
    assert_eq!(live().await.unwrap()["time"], "10:00");
    // A5: the time is free again, and the view row is gone.
    world.delete(&world.member, &format!("/salon/reservationSystems/{id}")).await.assert_status(204);
    assert_eq!(status(&world, &id).await, "CANCELED");
    assert_eq!(live().await, None);
    world.assert_promises(&id).await;
    let told = world.get(&world.member, "/salon/messages").await.assert_status(200).body;
    let stages: Vec<_> =
        told["messages"].as_array().unwrap().iter().map(|one| one["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["requested", "confirmed", "undone"]);
}

/// HS-N1, HS-W3, HS-W6, INV-1: one stylist at one time is one customer's; other times and touching ones are free.
#[tokio::test]
async fn one_stylist_at_one_time_is_confirmed_once() {
    let world = World::new();
    let (kim, _) = stylist(&world).await;
    let customers: Vec<_> = (0..6).map(|_| world.person(&[Role::Member])).collect();
    let asked = join_all(customers.iter().map(|who| ask(&world, who, "2031-05-05T10:00"))).await;
    let ids: Vec<_> = asked.into_iter().map(|reply| reply.assert_status(201).id()).collect();
    for id in &ids {
        world.at_stage(id, "offered").await;
    }

    let answers = join_all(ids.iter().map(|id| answer(&world, id, json!({ "stylist": kim.to_string() })))).await;

    let confirmed =
        ids.iter().zip(&answers).filter(|(_, reply)| reply.status == 200 && reply.body["status"] == "CONFIRMED");
    assert_eq!(confirmed.count(), 1, "{answers:?}");
    // Who lost the race at the hold is rejected and told; who was refused before it still waits for the shop.
    for (id, reply) in ids.iter().zip(&answers).filter(|(_, reply)| reply.body["status"] != "CONFIRMED") {
        if reply.body["code"] == "item_taken" && status(&world, id).await == "REQUESTED" {
            answer(&world, id, json!({ "status": "REJECTED" })).await.assert_status(200);
        }
        world.ended(id).await;
        assert_eq!(status(&world, id).await, "REJECTED");
        world.assert_promises(id).await;
    }
    let next = ask(&world, &world.member, "2031-05-05T11:00").await.assert_status(201).id();
    world.at_stage(&next, "offered").await;
    answer(&world, &next, json!({ "stylist": kim.to_string() })).await.assert_status(200);
}

/// HS-F4, HS-F5, INV-7: a cancelled time is bookable again, and only by its own customer cancelled.
#[tokio::test]
async fn a_cancelled_time_is_free_for_the_next_customer() {
    let world = World::new();
    let (kim, _) = stylist(&world).await;
    let confirmed = async |who: &Person| {
        let id = ask(&world, who, "2031-06-06T10:00").await.assert_status(201).id();
        world.at_stage(&id, "offered").await;
        answer(&world, &id, json!({ "stylist": kim.to_string() })).await.assert_status(200);
        id
    };
    let first = confirmed(&world.member).await;
    let path = format!("/salon/reservationSystems/{first}");
    let stranger = world.person(&[Role::Member]);
    world.delete(&stranger, &path).await.assert_problem(404, "no_such_booking");
    world.delete(&world.member, &path).await.assert_status(204);
    world.delete(&world.member, &path).await.assert_status(204);

    let second = confirmed(&stranger).await;

    world.delete(&world.member, &path).await.assert_status(204);
    assert_eq!(status(&world, &second).await, "CONFIRMED");
    // The shop keeps a stylist who is booked.
    world.delete(&world.manager, &format!("/salon/hrSystems/{kim}")).await.assert_problem(409, "item_in_use");
    answer(&world, &second, json!({ "status": "SERVED" })).await.assert_status(200);
    assert_eq!(status(&world, &second).await, "SERVED");
    world.delete(&stranger, &format!("/salon/reservationSystems/{second}")).await.assert_problem(409, "too_late");
    world.assert_promises(&second).await;
}

/// The shop decides once; a wish counts where nobody is named; strangers and unknown names are refused.
#[tokio::test]
async fn the_shop_answers_once_and_clearly() {
    let world = World::new();
    let (kim, name) = stylist(&world).await;
    let body = json!({ "userName": "Lee", "time": "2031-07-07T10:00", "stylist": name });
    let id = world.post(&world.member, "/salon/reservationSystems", body).await.assert_status(201).id();
    world.at_stage(&id, "offered").await;
    answer(&world, &id, json!({ "stylist": "Nobody" })).await.assert_problem(404, "unknown_item");
    answer(&world, &id, json!({ "reserveTime": "11:00" })).await.assert_problem(400, "invalid_field");
    answer(&world, &id, json!({ "colour": "red" })).await.assert_problem(400, "invalid_field");
    let own = world.person_named(&world.member.subject, &[Role::Manager]);
    let path = format!("/salon/hairShopManagementSystems/{id}");
    world.change(&own, &path, json!({})).await.assert_problem(403, "own_request");

    let fixed = answer(&world, &id, json!({})).await.assert_status(200);

    assert_eq!(fixed.body["stylistId"], kim);
    answer(&world, &id, json!({ "status": "REJECTED" })).await.assert_problem(409, "decided_otherwise");
    let nobody = ask(&world, &world.member, "2031-07-08T10:00").await.assert_status(201).id();
    world.at_stage(&nobody, "offered").await;
    answer(&world, &nobody, json!({})).await.assert_problem(409, "stylist_needed");
    answer(&world, &nobody, json!({ "status": "REJECTED" })).await.assert_status(200);
    assert_eq!(status(&world, &nobody).await, "REJECTED");
    world.assert_promises(&nobody).await;
}
