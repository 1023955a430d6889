//! Teacher matching: its scenario scripts call by call, and what it must and must not do.

use crate::world::{Person, Reply, World};
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use serde_json::{Value, json};

async fn ask(world: &World, reference: &str, price: i64) -> Reply {
    let body = json!({ "id": reference, "price": price.to_string(), "status": "matchRequest" });
    world.post(&world.member, "/matching/matches", body).await
}

/// A request that teachers can see.
async fn listed(world: &World) -> String {
    let id = ask(world, "5000", 50_000).await.assert_status(201).id();
    world.at_stage(&id, "listed").await;
    id
}

async fn visit(world: &World, who: &Person, id: &str, teacher: &str) -> Reply {
    let body = json!({ "matchId": id, "teacher": teacher, "visitDate": "21/01/21" });
    world.post(who, "/matching/visits", body).await
}

async fn cancel(world: &World, id: &str) -> Reply {
    world.change(&world.member, &format!("/matching/matches/{id}"), json!({ "status": "cancel" })).await
}

async fn is_listed(world: &World, id: &str) -> bool {
    let open = world.get(&world.teacher, "/matching/visitReqLists?limit=100").await.assert_status(200).body;
    open["visitReqLists"].as_array().unwrap().iter().any(|one| one["id"] == id)
}

/// MT-F1 to MT-F4, MT-F7, MT-F8, MT-N3, MT-N5, MT-W4: script A, call by call, with the student's own number.
#[tokio::test]
async fn the_script_of_the_matching_runs_as_written() {
    let world = World::new();
    // A1: the page exists from the request on.
    let asked = ask(&world, "5000", 50_000).await.assert_status(201);
    let id = asked.id();
    assert_eq!((&asked.body["status"], &asked.body["reference"]), (&json!("matchRequest"), &json!("5000")));
    assert_eq!(asked.body["price"], 50_000);
    world.at_stage(&id, "listed").await;
    // A2, A3.
    assert_eq!(
        world.get(&world.member, "/matching/matches/5000").await.assert_status(200).body["status"],
        "matchRequest"
    );
    let payment = world.get(&world.member, "/matching/payments/5000").await.assert_status(200).body;
    assert_eq!((&payment["paymentAction"], &payment["matchId"]), (&json!("Approved"), &json!(id)));
    // A4.
    assert!(is_listed(&world, &id).await);
    // A5.
    let visit = visit(&world, &world.teacher, &id, "TEACHER").await.assert_status(201);
    assert_eq!((&visit.body["teacher"], &visit.body["status"]), (&json!("TEACHER"), &json!("VisitAssigned")));
    // What is taken is not open any more.
    assert!(!is_listed(&world, &id).await);
    // A6.
    let page = world.get(&world.member, "/matching/myPages/5000").await.assert_status(200).body;
    assert_eq!(
        (&page["status"], &page["teacher"], &page["visitDate"]),
        (&json!("VisitAssigned"), &json!("TEACHER"), &json!("21/01/21"))
    );
    let visits = world.get(&world.teacher, "/matching/visits").await.assert_status(200).body;
    assert!(visits["visits"].as_array().unwrap().iter().any(|one| one["matchId"] == id.as_str()), "{visits}");

    let other = world.person(&[Role::Teacher]);
    let finished = json!({ "status": "classFinished" });
    world.change(&other, &format!("/matching/visits/{id}"), finished).await.assert_problem(403, "forbidden");
    world
        .change(&world.teacher, &format!("/matching/visits/{id}"), json!({ "status": "classFinished" }))
        .await
        .assert_status(200);
    cancel(&world, &id).await.assert_problem(409, "too_late");
    world.assert_promises(&id).await;
}

/// MT-F5, MT-F6, MT-F9, MT-N4, MT-W5, MT-W8: script B, before and after the assignment; every change is on record.
#[tokio::test]
async fn a_student_cancels_before_and_after_the_assignment() {
    for assigned in [false, true] {
        let world = World::new();
        let id = listed(&world).await;
        if assigned {
            visit(&world, &world.teacher, &id, "TEACHER").await.assert_status(201);
        }

        let reply = cancel(&world, &id).await.assert_status(200);

        assert_eq!(reply.body["status"], "VisitCanceled");
        assert_eq!(world.get(&world.member, "/matching/payments/5000").await.body["paymentAction"], "Cancel");
        let page = world.get(&world.member, "/matching/myPages/5000").await.body;
        assert_eq!(page["status"], "VisitCanceled");
        let mut expected =
            vec!["MatchRequested", "PaymentApproved", "VisitAssigned", "PaymentCanceled", "VisitCanceled"];
        expected.retain(|event| assigned || *event != "VisitAssigned");
        let recorded: Vec<_> =
            page["transitions"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
        assert_eq!(recorded, expected);
        assert!(!is_listed(&world, &id).await);
        visit(&world, &world.teacher, &id, "LATE").await.assert_problem(409, "too_late");
        world.assert_promises(&id).await;
    }
}

/// MT-F4, MT-W3: the first teacher has it, the others hear that they were late, and nothing is overwritten.
#[tokio::test]
async fn of_many_teachers_exactly_one_has_the_request() {
    let world = World::new();
    let id = listed(&world).await;
    let teachers: Vec<_> = (0..10).map(|_| world.person(&[Role::Teacher])).collect();

    let replies = join_all(teachers.iter().map(|who| visit(&world, who, &id, &who.subject))).await;

    let won: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    for late in replies.iter().filter(|reply| reply.status != 201) {
        late.assert_problem(409, "already_assigned");
    }
    let page = world.get(&world.member, "/matching/myPages/5000").await.body;
    assert_eq!(page["teacher"], won[0].body["teacher"]);
}

/// MT-N1, MT-W2: what is not paid is never listed, and nobody can take it.
#[tokio::test]
async fn a_request_that_is_not_paid_is_never_listed() {
    let world = World::new();
    let refused = world.book_and_wait(&world.member, "/matching/matches", json!({ "price": 40_200 })).await;
    refused.assert_problem(402, "payment_declined");
    let id = refused.body["booking"].as_str().unwrap();
    assert!(!is_listed(&world, id).await);
    visit(&world, &world.teacher, id, "TEACHER").await.assert_problem(409, "too_late");
    visit(&world, &world.teacher, &uuid::Uuid::now_v7().to_string(), "TEACHER")
        .await
        .assert_problem(404, "no_such_booking");
    world.assert_promises(id).await;
}

/// MT-W1: a student's own number is theirs alone; to send it again overwrites nothing.
#[tokio::test]
async fn a_reference_stands_for_one_request_of_its_student() {
    let world = World::new();
    let first = ask(&world, "600", 50_000).await.assert_status(201);
    let again = ask(&world, "600", 50_000).await.assert_status(201);
    assert_eq!(first.id(), again.id());
    ask(&world, "600", 1_000).await.assert_problem(422, "idempotency_key_reused");
    assert_eq!(world.get(&world.member, "/matching/matches/600").await.body["price"], 50_000);

    let other = World::new();
    other.get(&other.member, "/matching/matches/600").await.assert_problem(404, "no_such_booking");
    let theirs = ask(&other, "600", 7_000).await.assert_status(201);
    assert_ne!(theirs.id(), first.id());
}

/// Matching is the one system where the caller names the price, within bounds. MT-F1: and no teacher.
#[tokio::test]
async fn an_offer_has_bounds() {
    let world = World::new();
    for bad in [json!(0), json!(999), json!(-5), json!("x"), json!(10_000_001), Value::Null] {
        let reply = world.post(&world.member, "/matching/matches", json!({ "price": bad })).await;
        reply.assert_problem(400, "invalid_field");
    }
    let body = json!({ "price": 50_000, "teacher": "Smith", "status": "VisitAssigned" });
    let asked = world.post(&world.member, "/matching/matches", body).await.assert_status(201);
    let page = world.get(&world.member, &format!("/matching/myPages/{}", asked.id())).await.body;
    assert_eq!(page["teacher"], Value::Null);
    // Teachers see what is offered, not by whom.
    world.at_stage(&asked.id(), "listed").await;
    let open = world.get(&world.teacher, "/matching/visitReqLists").await.body;
    assert!(!open.to_string().contains(&world.member.subject), "{open}");
}
