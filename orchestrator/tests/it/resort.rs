//! The resort: its scenario scripts call by call, and what it must and must not do.

use crate::world::{Kind, Person, Reply, World};
use dev::simulator::books::Status;
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use serde_json::{Value, json};
use std::time::Duration;
use workflows::{
    booking::{BookingId, Item},
    saga::{Limits, Opening},
};

async fn resort(world: &World, name: &str) -> i64 {
    let body = json!({
        "resortName": name, "resortType": "Hotel", "resortPrice": "100000", "resortStatus": "Available",
        "resortPeriod": "7/23~25",
    });
    world.registered(&world.librarian, "/resort/resorts", body).await
}

async fn reserve(world: &World, who: &Person, resort: i64) -> Reply {
    world.post(who, "/resort/reservations", json!({ "resortId": resort.to_string(), "memberName": "MK" })).await
}

async fn pay(world: &World, id: &str) -> Reply {
    world.change(&world.member, &format!("/resort/payments/{id}"), json!({ "reservStatus": "Paid" })).await
}

async fn send(world: &World, id: &str) -> Reply {
    world.change(&world.sender, &format!("/resort/vouchers/{id}"), json!({ "voucherStatus": "Send" })).await
}

async fn cancel(world: &World, id: &str) -> Reply {
    world.change(&world.member, &format!("/resort/reservations/{id}"), json!({ "resortStatus": "Cancelled" })).await
}

/// The three statuses of the customer's page: reservation, payment, voucher.
async fn page(world: &World, id: &str) -> [Value; 3] {
    let page = world.get(&world.member, &format!("/resort/myPages/{id}")).await.assert_status(200).body;
    ["resortStatus", "reservStatus", "voucherStatus"].map(|name| page[name].clone())
}

async fn status_of(world: &World, resort: i64) -> Value {
    world.get(&world.member, &format!("/resort/resorts/{resort}")).await.body["resortStatus"].clone()
}

/// RS-F1 to RS-F10, RS-W3, RS-W11: script A, call by call.
#[tokio::test]
async fn the_script_of_the_resort_runs_as_written() {
    let world = World::new();
    // A1.
    let number = resort(&world, "Jeju").await;
    let listed = world.get(&world.member, &format!("/resort/resorts?cursor={}", number - 1)).await.body;
    assert_eq!(
        (&listed["resorts"][0]["resortName"], &listed["resorts"][0]["resortStatus"]),
        (&json!("Jeju"), &json!("Available"))
    );
    // A2.
    let reservation = reserve(&world, &world.member, number).await.assert_status(201);
    let id = reservation.id();
    let copied = ["resortStatus", "resortName", "resortType", "resortPeriod", "resortPrice", "memberName"];
    let copied = copied.map(|name| reservation.body[name].clone());
    assert_eq!(
        copied,
        [json!("Confirmed"), json!("Jeju"), json!("Hotel"), json!("7/23~25"), json!(100_000), json!("MK")]
    );
    // A3, A4.
    assert_eq!(status_of(&world, number).await, "Not Available");
    assert_eq!(page(&world, &id).await, [json!("Confirmed"), json!("Waiting for payment"), Value::Null]);
    // A5, A6.
    assert_eq!(pay(&world, &id).await.assert_status(200).body["reservStatus"], "Paid");
    world.at_stage(&id, "issued").await;
    assert_eq!(page(&world, &id).await, [json!("Confirmed"), json!("Paid"), json!("Approved")]);
    // A7, A8.
    assert_eq!(send(&world, &id).await.assert_status(200).body["voucherStatus"], "Send");
    assert_eq!(page(&world, &id).await, [json!("Confirmed"), json!("Paid"), json!("Send")]);
    let voucher = world.get(&world.member, &format!("/resort/vouchers/{id}")).await.assert_status(200).body;
    assert!(voucher["voucherCode"].as_str().unwrap().len() >= 20, "{voucher}");
    // A9.
    assert_eq!(cancel(&world, &id).await.assert_status(200).body["resortStatus"], "Cancelled");
    // A10 to A13.
    let vouchers = world.get(&world.member, "/resort/vouchers").await.body;
    let voucher = &vouchers["vouchers"][0];
    assert_eq!((&voucher["voucherStatus"], &voucher["voucherCode"]), (&json!("Canceled"), &Value::Null));
    let payments = world.get(&world.member, "/resort/payments").await.body;
    assert_eq!(payments["payments"][0]["reservStatus"], "Canceled");
    assert!(payments["payments"][0]["refundedDate"].is_string(), "{payments}");
    assert_eq!(status_of(&world, number).await, "Available");
    assert_eq!(page(&world, &id).await, [json!("Cancelled"), json!("Canceled"), json!("Canceled")]);
    world.assert_promises(&id).await;
}

/// RS-N1, RS-W1, RS-W9, RS-W10, INV-7: one resort for one period is confirmed once, and a refusal is clear; then the next one has it.
#[tokio::test]
async fn of_many_who_want_one_resort_exactly_one_is_confirmed() {
    let world = World::new();
    let number = resort(&world, "Jeju").await;
    let people: Vec<_> = (0..20).map(|_| world.person(&[Role::Member])).collect();

    let replies = join_all(people.iter().map(|who| reserve(&world, who, number))).await;

    let confirmed: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(confirmed.len(), 1);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        refused.assert_problem(409, "item_taken");
    }
    let winner = people.iter().zip(&replies).find(|(_, reply)| reply.status == 201).unwrap().0;
    let id = confirmed[0].id();
    let path = format!("/resort/reservations/{id}");
    world.change(winner, &path, json!({ "resortStatus": "Cancelled" })).await.assert_status(200);
    assert!(world.booking(&id).await["times"]["refunded"].is_null(), "nothing was charged");
    let next = reserve(&world, &world.member, number).await.assert_status(201);
    // The old one's cancellation, once more, frees nothing of the new one's.
    world.change(winner, &path, json!({ "resortStatus": "Cancelled" })).await.assert_status(200);
    assert_eq!(world.hold_state(&next.id()).await.as_deref(), Some("held"));
}

/// One resort is sold for several periods; overlapping ones exclude each other, touching ones do not.
#[tokio::test]
async fn one_resort_is_sold_for_several_periods() {
    let world = World::new();
    let number = resort(&world, "Jeju").await;
    let ask = async |days: &str| {
        let body = json!({ "resortId": number, "resortPeriod": days, "resortYear": 2031 });
        world.post(&world.person(&[Role::Member]), "/resort/reservations", body).await
    };
    ask("8/1~3").await.assert_status(201);
    ask("8/3~5").await.assert_status(201);
    for taken in ["8/1~3", "8/2~4", "7/31~8/2", "8/4~6"] {
        ask(taken).await.assert_problem(409, "item_taken");
    }
    ask("8/5~7").await.assert_status(201);
    // The days it is offered for are free all the while.
    assert_eq!(status_of(&world, number).await, "Available");
    for bad in ["", "8/5", "13/1~2", "8/5~5", "soon", "8/10~20"] {
        ask(bad).await.assert_problem(400, "invalid_field");
    }
    let over = json!({ "resortId": number, "resortPeriod": "7/23~25", "resortYear": 2001 });
    world.post(&world.member, "/resort/reservations", over).await.assert_problem(400, "invalid_field");
}

/// RS-F3: who does not pay in time has it no more, and is reminded before. Nothing is charged.
#[tokio::test]
async fn a_reservation_that_is_not_paid_in_time_is_given_back() {
    let world = World::new();
    let number = resort(&world, "Jeju").await;
    let limits = Limits { payment: Duration::from_millis(600), ..Limits::default() };
    let item = Item { system: "resort".to_owned(), number };
    let id = world
        .begin_of(
            "resort",
            Opening::new(BookingId(uuid::Uuid::now_v7()), world.member.subject.parse().unwrap(), item, limits),
        )
        .await;

    let booking = world.ended(&id).await;

    assert_eq!(booking["reason"], "not_paid_in_time");
    pay(&world, &id).await.assert_problem(409, "too_late");
    assert_eq!(status_of(&world, number).await, "Available");
    assert!(world.provider(&id).await.is_empty());
    let told = world.eventually("told", async || world.messages(&id).await, |told| told.len() == 3).await;
    assert_eq!(told, ["confirmed", "reminder", "undone"]);
    world.assert_agrees(&id).await;
}

/// RS-F5, RS-F6, RS-F7, RS-F8, RS-W4, RS-W5, RS-W6, RS-W7, INV-2, INV-3: in every state a cancellation leaves no good voucher and no money.
#[tokio::test]
async fn a_cancellation_in_every_state_disables_the_voucher_and_gives_the_money_back() {
    for until in ["confirmed", "issued", "sent"] {
        let world = World::new();
        let number = resort(&world, "Jeju").await;
        let id = reserve(&world, &world.member, number).await.assert_status(201).id();
        send(&world, &id).await.assert_problem(409, "not_yet");
        if until != "confirmed" {
            pay(&world, &id).await.assert_status(200);
            pay(&world, &id).await.assert_status(200);
            world.at_stage(&id, "issued").await;
        }
        if until == "sent" {
            send(&world, &id).await.assert_status(200);
            send(&world, &id).await.assert_status(200);
        }

        cancel(&world, &id).await.assert_status(200);

        pay(&world, &id).await.assert_problem(409, "too_late");
        send(&world, &id).await.assert_problem(409, "too_late");
        let state = world.voucher_state(&id).await;
        assert_eq!(state.as_deref(), (until != "confirmed").then_some("disabled"), "{until}");
        assert_eq!(status_of(&world, number).await, "Available");
        world.assert_promises(&id).await;
    }
}

/// RS-W6, INV-2: whoever still has a good voucher has paid for it.
#[tokio::test]
async fn the_money_stays_until_the_voucher_is_disabled() {
    let world = World::new();
    let number = resort(&world, "Jeju").await;
    let id = reserve(&world, &world.member, number).await.assert_status(201).id();
    pay(&world, &id).await.assert_status(200);
    world.at_stage(&id, "issued").await;
    let refusal = json!({ "answer": "refused", "reason": "refused_on_demand" });
    world.worker_fault(&id, "fulfilment.disable", None, Kind::Answer(refusal)).await;

    cancel(&world, &id).await.assert_status(202);

    let stuck = world.at_stage(&id, "stuck").await;
    assert_eq!(stuck["stuck"]["step"], "fulfilment.disable");
    assert_eq!(world.provider(&id).await[0].status, Status::Captured);
    world.lift(&id).await;
    world.intervene(&id, "retry", json!({ "reason": "it works again" })).await;
    world.ended(&id).await;
    assert_eq!(world.voucher_state(&id).await.as_deref(), Some("disabled"));
    world.assert_promises(&id).await;
}

/// RS-W8: a code that nobody can guess, shown to its customer and its sender alone.
#[tokio::test]
async fn a_voucher_is_shown_to_its_customer_and_its_sender_alone() {
    let world = World::new();
    let id = reserve(&world, &world.member, resort(&world, "Jeju").await).await.assert_status(201).id();
    let path = format!("/resort/vouchers/{id}");
    world.get(&world.member, &path).await.assert_problem(404, "no_voucher");
    pay(&world, &id).await.assert_status(200);
    world.at_stage(&id, "issued").await;

    let code = world.get(&world.member, &path).await.assert_status(200).body["voucherCode"].clone();

    assert!(code.as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric()));
    assert_eq!(world.get(&world.sender, &path).await.body["voucherCode"], code);
    assert_eq!(world.get(&world.librarian, &path).await.body["voucherCode"], Value::Null);
    let stranger = world.person(&[Role::Member]);
    world.get(&stranger, &path).await.assert_problem(404, "no_such_booking");
    for (who, expected) in [(&world.member, "forbidden"), (&stranger, "forbidden"), (&world.librarian, "forbidden")] {
        world.change(who, &path, json!({ "voucherStatus": "Send" })).await.assert_problem(403, expected);
    }
    // Somebody else pays for nobody.
    let payment = format!("/resort/payments/{id}");
    world.change(&stranger, &payment, json!({ "reservStatus": "Paid" })).await.assert_problem(404, "no_such_booking");
    assert!(!world.history(&id).await.contains(code.as_str().unwrap()), "the code is in no history");
}

/// RS-W2: only the word that cancels cancels.
#[tokio::test]
async fn any_other_change_of_a_reservation_is_refused() {
    let world = World::new();
    let id = reserve(&world, &world.member, resort(&world, "Jeju").await).await.assert_status(201).id();
    for body in
        [json!({ "memberName": "X" }), json!({ "resortStatus": "Available" }), json!({}), json!({ "resortPrice": 1 })]
    {
        let reply = world.change(&world.member, &format!("/resort/reservations/{id}"), body).await;
        reply.assert_problem(400, "invalid_field");
    }
    assert_eq!(page(&world, &id).await[0], "Confirmed");
}

/// A repeat under a key is answered as the first time, also when the same could not be asked for any more.
#[tokio::test]
async fn a_repeat_is_answered_when_the_days_are_not_offered_any_more() {
    let world = World::new();
    let number = resort(&world, "Jeju").await;
    let ask = async |key: &str| {
        let request = world.request(reqwest::Method::POST, "/resort/reservations").bearer_auth(&world.member.token);
        let body = json!({ "resortId": number, "resortPeriod": "8/1~3", "resortYear": 2031 });
        world.send(request.header("idempotency-key", key).json(&body)).await
    };
    let first = ask("one").await.assert_status(201);
    let longer = json!({ "resortPeriod": "7/23~27" });
    world.change(&world.librarian, &format!("/resort/resorts/{number}"), longer).await.assert_status(200);

    ask("two").await.assert_problem(400, "invalid_field");
    assert_eq!(ask("one").await.assert_status(201).id(), first.id());
}
