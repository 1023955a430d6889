//! P4: the moves of an operator. Each needs a reason, can be looked at before it is made, may be repeated, is written down,
//! and loses no money and no unit.

use crate::world::{Kind, World};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::{process::Command, time::Duration};
use temporalio_client::WorkflowTerminateOptions;
use uuid::Uuid;
use workflows::saga::Limits;

fn because(why: &str) -> Value {
    json!({ "reason": why })
}

#[tokio::test]
async fn a_refund_made_by_hand_counts_once_the_providers_books_say_so() {
    let world = World::new();
    let (book, id) = world.stuck().await;
    let resolve = json!({ "reason": "refunded at the console", "reference": "re_77" });

    // P1: an operator's word is not enough.
    let reply = world.intervene(&id, "resolve", resolve.clone()).await.assert_status(200);
    assert_eq!(reply.body["outcome"], json!({ "outcome": "refused", "reason": "not_refunded_at_provider" }));
    assert_eq!(reply.body["stuck"]["reason"], "refund_refused", "why the refund itself cannot be made");
    world.assert_agrees(&id).await;

    world.refund_by_hand(&id).await;
    world.intervene(&id, "resolve", resolve).await.assert_status(200);

    let booking = world.ended(&id).await;
    assert_eq!((&booking["reason"], &booking["stuck"]), (&json!("rejected"), &Value::Null));
    assert!(booking["times"]["refunded"].is_string(), "{booking:#}");
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    world.assert_promises(&id).await;
    let audit = world.audit(&id).await;
    assert_eq!(audit.len(), 2);
    assert_eq!(
        (&audit[0]["move"], &audit[0]["by"], &audit[0]["reason"], &audit[0]["details"]["reference"]),
        (&json!("resolve"), &json!(world.operator.subject), &json!("refunded at the console"), &json!("re_77")),
    );
    assert_eq!(audit[1]["before"]["at_risk"]["amount_minor"], 3000);
    assert_eq!(audit[1]["after"], audit[1]["before"], "nothing came of it");
    assert_eq!((&audit[0]["outcome"]["outcome"], &audit[0]["step"]), (&json!("done"), &json!("payment.refund")));
}

/// What an operator said counts once: after that the refund is asked for as before.
#[tokio::test]
async fn a_resolve_that_is_not_believed_does_not_stand_in_the_way_of_the_refund() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    let resolve = json!({ "reason": "I think it was", "reference": "re_1" });
    let reply = world.intervene(&id, "resolve", resolve).await.assert_status(200);
    assert_eq!(reply.body["outcome"]["reason"], "not_refunded_at_provider");

    world.no_faults().await;

    assert!(world.ended(&id).await["times"]["refunded"].is_string());
    world.assert_promises(&id).await;
}

#[tokio::test]
async fn a_write_off_needs_the_whole_amount_frees_the_book_and_is_in_the_ledger() {
    let world = World::new();
    let (book, id) = world.stuck().await;
    let write_off = |amount: i64| json!({ "reason": "the account is closed", "amount": amount });

    world.intervene(&id, "write-off", write_off(2999)).await.assert_problem(409, "amount_differs");
    world.intervene(&id, "write-off", write_off(3000)).await.assert_status(200);

    let booking = world.ended(&id).await;
    assert!(booking["times"]["written_off"].is_string() && booking["times"]["refunded"].is_null(), "{booking:#}");
    assert_eq!(world.book_status(book).await, "POSSIBLE");
    world.assert_promises(&id).await;
    assert_eq!(world.audit(&id).await[0]["details"]["amount"]["amount_minor"], 3000);
    // It is over: nobody gives it back now, or gives it up again.
    world.no_faults().await;
    world.intervene(&id, "write-off", write_off(3000)).await.assert_problem(409, "not_stuck");
    world.intervene(&id, "retry", because("again")).await.assert_problem(409, "not_stuck");
    world.assert_promises(&id).await;
}

/// P1 and P3: what must not be left out cannot be.
#[tokio::test]
async fn only_a_step_that_touches_neither_money_nor_unit_can_be_skipped() {
    let world = World::new();
    let (_, stuck) = world.stuck().await;
    world.intervene(&stuck, "skip", because("never mind")).await.assert_problem(409, "move_not_allowed");

    let patience = Duration::from_millis(300);
    let limits = Limits { round: Duration::from_secs(1), undo_patience: patience, ..Limits::default() };
    let book = world.book().await;
    let opening = world.opening(book, limits.clone());
    let id = opening.booking.to_string();
    world.worker_fault(&id, "catalog.confirm", None, Kind::FailBefore).await;
    world.begin(opening).await;
    world.until(&id, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    let booking = world.until(&id, "stuck", |booking| booking["stage"] == "stuck").await;
    assert_eq!(booking["stuck"], json!({ "step": "catalog.confirm", "moves": ["retry", "skip"] }));

    world
        .intervene(&id, "write-off", json!({ "reason": "-", "amount": 3000 }))
        .await
        .assert_problem(409, "move_not_allowed");
    world.intervene(&id, "skip", because("it is lent all the same")).await.assert_status(200);

    let booking = world.until(&id, "approved", |booking| booking["stage"] == "approved").await;
    assert_eq!((&booking["stuck"], &booking["waiting_for"]), (&Value::Null, &json!("customer")));
    world.bring_back(&id).await.assert_status(200);
    world.assert_promises(&id).await;

    // What a worker has refused is not left out: going on would be going on without it.
    let book = world.book().await;
    let refused = world.opening(book, limits);
    let id = refused.booking.to_string();
    let answer = json!({ "answer": "refused", "reason": "hold_released" });
    world.worker_fault(&id, "catalog.confirm", None, Kind::Answer(answer)).await;
    world.begin(refused).await;
    world.until(&id, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    let booking = world.until(&id, "stuck", |booking| booking["stage"] == "stuck").await;
    assert_eq!(booking["stuck"]["moves"], json!(["retry"]));
    world.intervene(&id, "skip", because("never mind")).await.assert_problem(409, "move_not_allowed");
    world.lift(&id).await;
    world.intervene(&id, "retry", because("mended")).await.assert_status(200);
    world.bring_back(&id).await.assert_status(200);
    world.assert_promises(&id).await;
}

#[tokio::test]
async fn a_dry_run_says_what_a_move_would_do_and_does_nothing() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    let before = world.booking(&id).await;
    let amount = json!({ "amount_minor": 3000, "currency": "KRW" });

    for (kind, body, money) in [
        ("retry", because("look"), "refund_tried_again"),
        ("resolve", json!({ "reason": "look", "reference": "re_1" }), "refunded_if_the_provider_agrees"),
        ("write-off", json!({ "reason": "look", "amount": 3000 }), "written_off"),
    ] {
        let reply = world.intervene(&id, &format!("{kind}?dry_run=true"), body).await.assert_status(200).body;
        let expected = json!({ "move": kind, "dry_run": true, "money": money, "amount": amount, "hold": "released_after_the_money" });
        assert_eq!(reply, expected);
    }
    let skip = world.intervene(&id, "skip?dry_run=true", because("look")).await;
    skip.assert_problem(409, "move_not_allowed");
    let much = json!({ "reason": "look", "amount": 1 });
    world.intervene(&id, "write-off?dry_run=true", much).await.assert_problem(409, "amount_differs");
    world.intervene(&id, "retry?dry_run=maybe", because("look")).await.assert_problem(400, "invalid_field");
    let misspelt = world.intervene(&id, "write-off?dry-run=true", json!({ "reason": "look", "amount": 3000 })).await;
    misspelt.assert_problem(400, "invalid_field");

    // It goes on trying by itself meanwhile: that is no version.
    assert_eq!(world.booking(&id).await["version"], before["version"]);
    assert_eq!(world.audit(&id).await, Vec::<Value>::new());
    let paid = world.paid(world.book().await).await;
    world.intervene(&paid, "retry?dry_run=true", because("look")).await.assert_problem(409, "not_stuck");
}

#[tokio::test]
async fn a_move_without_a_reason_or_with_fields_of_another_is_refused_by_name() {
    let world = World::new();
    let (_, id) = world.stuck().await;

    for (kind, body, field) in [
        ("retry", json!({}), "reason"),
        ("retry", json!({ "reason": "  " }), "reason"),
        ("retry", json!({ "reason": "x", "amount": 3000 }), "amount"),
        ("resolve", json!({ "reason": "x" }), "reference"),
        ("write-off", json!({ "reason": "x" }), "amount"),
        ("write-off", json!({ "reason": "x", "amount": -3000 }), "amount"),
        ("write-off", json!({ "reason": "x".repeat(501), "amount": 3000 }), "reason"),
    ] {
        let reply = world.intervene(&id, kind, body).await;
        reply.assert_problem(400, "invalid_field");
        assert_eq!(reply.body["field"], field, "{kind}");
    }
    world.intervene(&id, "forget", because("x")).await.assert_problem(404, "no_such_path");
    world.intervene(&Uuid::now_v7().to_string(), "retry", because("x")).await.assert_problem(404, "no_such_booking");
    assert_eq!(world.audit(&id).await, Vec::<Value>::new());
}

/// Double-clicked, and repeated after a lost answer.
#[tokio::test]
async fn a_move_that_is_repeated_is_made_once() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    let path = format!("/stuck/{id}/write-off");
    let body = json!({ "reason": "the account is closed", "amount": 3000 });
    let with_key = async |body: &Value| {
        let request = world.request(Method::POST, &path).bearer_auth(&world.operator.token);
        world.send(request.header("idempotency-key", "k").json(body)).await
    };

    let replies = join_all((0..5).map(|_| with_key(&body))).await;

    assert!(replies.iter().all(|reply| matches!(reply.status.as_u16(), 200 | 202)), "{replies:?}");
    world.ended(&id).await;
    // Also when the booking has ended since.
    let again = with_key(&body).await.assert_status(200);
    assert_eq!(again.body["outcome"]["outcome"], "done");
    assert_eq!(world.audit(&id).await.len(), 1);
    let other = with_key(&json!({ "reason": "another one", "amount": 3000 })).await;
    other.assert_problem(422, "idempotency_key_reused");
    world.assert_promises(&id).await;
}

/// What is said about one step is never done to another, however late it is heard.
#[tokio::test]
async fn a_move_that_comes_too_late_for_its_step_is_not_made_and_is_on_record() {
    let world = World::new();
    let limits = Limits { round: Duration::from_secs(5), undo_patience: Duration::from_secs(1), ..Limits::default() };
    let book = world.book().await;
    let opening = world.opening(book, limits);
    let id = opening.booking.to_string();
    world.worker_fault(&id, "catalog.confirm", None, Kind::HoldBefore).await;
    world.begin(opening).await;
    world.until(&id, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    world.until(&id, "stuck", |booking| booking["stage"] == "stuck").await;
    // In the middle of the next round.
    world.eventually("asked again", async || world.met(&id).await.0, |met| *met >= 2).await;
    world.intervene(&id, "skip", because("it is lent all the same")).await.assert_status(202);

    world.lift(&id).await;

    world.until(&id, "approved", |booking| booking["stage"] == "approved").await;
    world.bring_back(&id).await.assert_status(200);
    let booking = world.ended(&id).await;
    assert!(booking["times"]["skipped"].is_null() && booking["times"]["returned"].is_string(), "{booking:#}");
    assert_eq!(world.hold_state(&id).await.as_deref(), Some("released"));
    world.assert_promises(&id).await;
    let audit = world.audit(&id).await;
    assert_eq!(audit.len(), 1);
    assert_eq!((&audit[0]["step"], &audit[0]["outcome"]["outcome"]), (&json!("catalog.confirm"), &json!("not_needed")));
}

/// Terminated between the effect of a move and its outcome: who gave the money up is on record all the same.
#[tokio::test]
async fn a_write_off_is_on_record_before_it_takes_effect() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    world.worker_fault(&id, "payment.refund", None, Kind::GoneAfter).await;
    let write_off = json!({ "reason": "the account is closed", "amount": 3000 });
    world.intervene(&id, "write-off", write_off).await.assert_status(202);
    let given_up = async || -> i64 {
        let sum = "select count(*) from payment.postings where booking = $1 and movement = 'write_off'";
        world.database().await.query_one(sum, &[&id.parse::<Uuid>().unwrap()]).await.unwrap().get(0)
    };
    world.eventually("given up", given_up, |postings| *postings == 2).await;

    let workflow = world.workflow(&id).await;
    workflow.terminate(WorkflowTerminateOptions::builder().reason("a test").build()).await.unwrap();
    world.lift(&id).await;

    let booking = world.ended(&id).await;
    assert!(booking["times"]["written_off"].is_string() && booking["times"]["refunded"].is_null(), "{booking:#}");
    world.assert_promises(&id).await;
    let audit = world.audit(&id).await;
    assert_eq!((audit.len(), &audit[0]["by"]), (1, &json!(world.operator.subject)));
}

#[tokio::test]
async fn two_operators_who_retry_a_refund_at_once_refund_it_once() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    let other = world.person(&[orchestrator::gateway::auth::Role::Operator]);
    let path = format!("/stuck/{id}/retry");
    world.no_faults().await;

    let clicks = [&world.operator, &world.operator, &other, &other].map(|who| world.post(who, &path, because("now")));
    let replies = join_all(clicks).await;

    for refused in replies.iter().filter(|reply| !reply.status.is_success()) {
        let code = refused.body["code"].as_str().unwrap();
        assert!(matches!(code, "move_pending" | "not_stuck"), "{refused:?}");
    }
    world.ended(&id).await;
    world.assert_promises(&id).await;
    assert_eq!(world.provider(&id).await.len(), 1);
}

#[tokio::test]
async fn a_bulk_retry_is_counted_first_and_reaches_only_what_was_chosen() {
    let world = World::new();
    // A cause that no other test knows.
    let cause = format!("closed-{}", Uuid::now_v7().simple());
    let refusal = json!({ "answer": "refused", "reason": cause });
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let book = world.book().await;
        let id = world.paid(book).await;
        world.worker_fault(&id, "payment.refund", None, Kind::Answer(refusal.clone())).await;
        world.reject(book).await.assert_status(202);
        world.until(&id, "stuck", |booking| booking["stage"] == "stuck").await;
        stuck.push(id);
    }
    let apart = World::new();
    let (_, other) = apart.stuck().await;
    let path = format!("/stuck/retry?step=payment.refund&cause={cause}");

    let listed = world.get(&world.operator, &format!("/stuck?cause={cause}")).await.assert_status(200).body;
    assert_eq!(listed["count"], 3);
    let first = &listed["bookings"][0];
    assert!(first["attempts"].as_i64() >= Some(1) && first["age_seconds"].as_i64() >= Some(0), "{first:#}");
    assert_eq!(first["stuck"]["moves"], json!(["retry", "resolve", "write-off"]));
    let counted = world.post(&world.operator, &format!("{path}&dry_run=true"), json!({})).await.assert_status(200).body;
    assert_eq!(counted["count"], 3);
    let wrong = world.post(&world.operator, &path, json!({ "reason": "mended", "expected": 2 })).await;
    wrong.assert_problem(409, "count_differs");

    let done =
        world.post(&world.operator, &path, json!({ "reason": "mended", "expected": 3 })).await.assert_status(202);

    assert_eq!((&done.body["count"], &done.body["retried"]), (&json!(3), &json!(3)));
    for id in &stuck {
        let retried = async || world.audit(id).await.len();
        world.eventually("retried", retried, |moves| *moves == 1).await;
        world.lift(id).await;
        world.ended(id).await;
        world.assert_promises(id).await;
    }
    assert_eq!(apart.audit(&other).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_command_line_lists_explains_and_settles() {
    let world = World::new();
    let (_, id) = world.stuck().await;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.env("HOLDFAST_URL", format!("http://{}", world.setting("HOLDFAST_HTTP")));
        let output = command.env("HOLDFAST_TOKEN", &world.operator.token).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };

    let (listed, text) = run(&["stuck", "list", "--step", "payment.refund", "--cause", "refund_refused"]);
    assert!(listed && text.contains(&id) && text.contains("may: retry, resolve, write-off"), "{text}");
    let (explained, text) = run(&["explain", &id]);
    assert!(explained, "{text}");
    for part in
        ["requested", "turned back because: rejected", "It is stuck at payment.refund", "3000 KRW", "write-off:"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let (refused, text) = run(&["stuck", "skip", &id, "--reason", "never mind"]);
    assert!(!refused && text.contains("move_not_allowed"), "{text}");
    let write_off = ["stuck", "write-off", &id, "--amount", "3000", "--reason", "the account is closed"];
    let (foreseen, text) = run(&[&write_off[..], &["--dry-run"]].concat());
    assert!(foreseen && text.contains("written_off"), "{text}");
    let (done, text) = run(&write_off);
    assert!(done, "{text}");

    world.ended(&id).await;
    let (explained, text) = run(&["explain", &id]);
    assert!(
        explained && text.contains("made the move write-off at payment.refund: the account is closed (done)"),
        "{text}"
    );
    assert!(text.contains("It has ended: undone, because: rejected."), "{text}");
    // The customer reads the same story without the names of operators.
    let story = world.get(&world.member, &format!("/bookings/{id}/story")).await.assert_status(200).body;
    assert!(story.to_string().contains("written off") && !story.to_string().contains("operator-"), "{story:#}");
    world.assert_promises(&id).await;
}
