//! Bad input: a problem document that names the field, and nothing started.

use crate::world::{Reply, World};
use reqwest::Method;
use serde_json::json;

async fn post_raw(world: &World, kind: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    world.send(request.header("content-type", kind).body(body)).await
}

/// Nothing has been started for the member of this test.
async fn assert_nothing_started(world: &World) {
    let bookings = world.get(&world.member, "/bookings").await.body;
    assert_eq!(bookings["bookings"], json!([]));
    let temporal = world.temporal().await;
    let query = format!("BookingCustomer = '{}'", world.member.subject);
    let count = temporal.count_workflows(&query, temporalio_client::WorkflowCountOptions::default()).await.unwrap();
    assert_eq!(count.count(), 0);
}

#[tokio::test]
async fn a_field_that_is_missing_or_wrong_is_named() {
    let world = World::new();
    let book = world.book().await;
    let long = "x".repeat(300);
    let wrong = [
        (json!({}), "bookId"),
        (json!({ "bookId": null }), "bookId"),
        (json!({ "bookId": "one" }), "bookId"),
        (json!({ "bookId": -1 }), "bookId"),
        (json!({ "bookId": 0 }), "bookId"),
        (json!({ "bookId": 1.5 }), "bookId"),
        (json!({ "bookId": "9223372036854775808" }), "bookId"),
        (json!({ "bookId": [1] }), "bookId"),
        (json!({ "bookId": { "id": 1 } }), "bookId"),
        (json!({ "bookId": book, "paymentMethod": 7 }), "paymentMethod"),
        (json!({ "bookId": book, "paymentMethod": "" }), "paymentMethod"),
        (json!({ "bookId": book, "paymentMethod": "a\u{0}b" }), "paymentMethod"),
        (json!({ "bookId": book, "paymentMethod": long }), "paymentMethod"),
    ];
    for (body, field) in wrong {
        let reply = world.post(&world.member, "/ebook/rents", body.clone()).await;

        reply.assert_problem(400, "invalid_field");
        assert_eq!(reply.body["field"], field, "{body}");
        assert!(reply.body["expected"].is_string(), "{body}");
    }
    assert_nothing_started(&world).await;
}

#[tokio::test]
async fn a_book_cannot_be_registered_with_a_wrong_field() {
    let world = World::new();
    let wrong = [
        (json!({ "rentalFee": 1 }), "bookName"),
        (json!({ "bookName": "x" }), "rentalFee"),
        (json!({ "bookName": "x", "rentalFee": "-1" }), "rentalFee"),
        (json!({ "bookName": "x", "rentalFee": "cheap" }), "rentalFee"),
        (json!({ "bookName": "x", "rentalFee": 100_000_000_001_i64 }), "rentalFee"),
        (json!({ "bookName": "x", "rentalFee": 1, "currency": "???" }), "currency"),
        (json!({ "bookName": "x".repeat(201), "rentalFee": 1 }), "bookName"),
        (json!({ "bookName": "x\u{0}", "rentalFee": 1 }), "bookName"),
        (json!({ "bookName": "  ", "rentalFee": 1 }), "bookName"),
        (json!({ "bookName": "x\u{202e}y", "rentalFee": 1 }), "bookName"),
    ];
    for (body, field) in wrong {
        let reply = world.post(&world.librarian, "/ebook/books", body.clone()).await;

        reply.assert_problem(400, "invalid_field");
        assert_eq!(reply.body["field"], field, "{body}");
    }
}

#[tokio::test]
async fn an_unknown_book_is_not_found_and_nothing_is_started() {
    let world = World::new();

    world.rent(i64::MAX).await.assert_problem(404, "unknown_book");

    for path in ["/ebook/books/9223372036854775807", "/ebook/books/nine", "/ebook/books/-1"] {
        world.get(&world.member, path).await.assert_problem(404, "unknown_book");
    }
    assert_nothing_started(&world).await;
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let world = World::new();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let deep_object = format!("{}1{}", r#"{"bookId":"#.repeat(500), "}".repeat(500));
    let malformed: [&[u8]; 8] = [
        b"",
        b"{",
        b"[1]",
        b"\"bookId\"",
        b"{\"bookId\":1}}",
        b"{\"bookId\":\"\xff\xfe\"}",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for body in malformed {
        post_raw(&world, "application/json", body.to_vec()).await.assert_problem(400, "malformed_body");
    }
    assert_nothing_started(&world).await;
}

#[tokio::test]
async fn a_body_of_another_type_or_too_large_is_refused() {
    let world = World::new();
    let good = r#"{"bookId":1}"#;

    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        post_raw(&world, kind, good).await.assert_problem(415, "unsupported_media_type");
    }
    let large = format!("{{\"bookId\":1,\"padding\":\"{}\"}}", "x".repeat(70_000));
    post_raw(&world, "application/json", large).await.assert_problem(413, "body_too_large");
    assert_nothing_started(&world).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let world = World::new();

    for path in ["/ebook", "/ebook/films", "/ebook/books/1/pages", "/bookings/", "//bookings", "/%00"] {
        world.get(&world.member, path).await.assert_problem(404, "no_such_path");
    }
    let reply = world.send(world.request(Method::DELETE, "/ebook/rents").bearer_auth(&world.member.token)).await;
    reply.assert_problem(405, "method_not_allowed");
    assert_eq!(reply.headers["allow"], "GET, POST");
}

#[tokio::test]
async fn wrong_ids_cursors_and_headers_are_refused() {
    let world = World::new();

    for id in ["1", "not-a-uuid", "00000000-0000-0000-0000-000000000000"] {
        world.get(&world.member, &format!("/bookings/{id}")).await.assert_problem(404, "no_such_booking");
    }
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=-1"] {
        let reply = world.get(&world.member, &format!("/bookings?{query}")).await;
        reply.assert_problem(400, "invalid_field");
        assert_eq!(reply.body["field"], query.split('=').next().unwrap());
    }
    let reply = world.get(&world.member, "/bookings?stage=%00").await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("stage")));
    for key in ["", "two words", &"k".repeat(201)] {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
        let reply = world.send(request.header("idempotency-key", key).json(&json!({ "bookId": 1 }))).await;
        reply.assert_problem(400, "invalid_field");
        assert_eq!(reply.body["field"], "Idempotency-Key");
    }
    let request = world.request(Method::POST, "/bookings").bearer_auth(&world.member.token);
    let reply = world.send(request.json(&json!({ "system": "spaceship", "bookId": 1 }))).await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("system")));
}
