//! Idempotency keys: the same request twice is one booking and one answer.

use crate::world::{Person, Reply, World};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

async fn rent_with_key(world: &World, who: &Person, key: &str, body: Value) -> Reply {
    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&who.token).header("idempotency-key", key);
    world.send(request.json(&body)).await
}

#[tokio::test]
async fn the_same_key_and_body_is_the_same_booking_and_answer_also_in_parallel_and_after_the_end() {
    let world = World::new();
    let book = world.book().await;
    let body = json!({ "bookId": book });

    let replies = join_all((0..8).map(|_| rent_with_key(&world, &world.member, "k", body.clone()))).await;

    let rental = replies[0].id();
    for reply in &replies {
        assert_eq!((reply.status.as_u16(), reply.id()), (201, rental.clone()), "{reply:?}");
    }
    assert_eq!(world.provider(&rental).await.len().max(1), 1);
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.approve(book).await.assert_status(200);
    world.bring_back(&rental).await.assert_status(200);
    let again = rent_with_key(&world, &world.member, "k", body).await.assert_status(201);
    assert_eq!(again.id(), rental);
    world.assert_agrees(&rental).await;
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused_and_starts_nothing() {
    let world = World::new();
    let (book, other) = (world.book().await, world.book().await);
    rent_with_key(&world, &world.member, "k", json!({ "bookId": book })).await.assert_status(201);

    let reply = rent_with_key(&world, &world.member, "k", json!({ "bookId": other })).await;

    reply.assert_problem(422, "idempotency_key_reused");
    assert_eq!(world.book_status(other).await, "POSSIBLE");
    // The layout and order of a body are not its content.
    let same = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    let same = same.header("idempotency-key", "k").header("content-type", "application/json");
    world.send(same.body(format!("{{ \"bookId\" :\n {book} }}"))).await.assert_status(201);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller() {
    let world = World::new();
    let somebody = World::new().member;
    let (book, other) = (world.book().await, world.book().await);

    let mine = rent_with_key(&world, &world.member, "k", json!({ "bookId": book })).await.assert_status(201);
    let theirs = rent_with_key(&world, &somebody, "k", json!({ "bookId": other })).await.assert_status(201);

    assert_ne!(mine.id(), theirs.id());
}

#[tokio::test]
async fn a_refusal_from_the_board_is_not_remembered() {
    let world = World::new();
    let rival = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;

    rent_with_key(&rival, &rival.member, "k", json!({ "bookId": book }))
        .await
        .assert_problem(409, "book_already_rented");
    world.cancel(&rental).await.assert_status(200);

    rent_with_key(&rival, &rival.member, "k", json!({ "bookId": book })).await.assert_status(201);
}
