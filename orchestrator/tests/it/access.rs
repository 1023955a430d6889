//! Who may do what: no token, the wrong role, somebody else's booking, forged tokens.

use crate::world::World;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use orchestrator::gateway::{Access, auth::Role, routes};
use reqwest::Method;
use serde_json::{Value, json};

/// A path of a route's shape.
fn path(shape: &str) -> String {
    shape.replace("{}", "1")
}

#[tokio::test]
async fn every_route_is_closed_without_a_token() {
    let world = World::new();
    for route in routes() {
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let reply = world.send(world.request(method, &path(route.path))).await;

        reply.assert_problem(401, "unauthenticated");
        assert_eq!(reply.headers["www-authenticate"], "Bearer", "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn every_route_with_roles_is_closed_to_the_others() {
    let world = World::new();
    for route in routes() {
        let Access::Any(roles) = route.access else { continue };
        for role in [Role::Member, Role::Admin, Role::Operator].into_iter().filter(|role| !roles.contains(role)) {
            let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
            let request = world.request(method, &path(route.path));

            world.send(request.bearer_auth(world.person(&[role]).token)).await.assert_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn somebody_elses_rental_does_not_exist_for_a_member() {
    let world = World::new();
    let stranger = World::new();
    let rental = world.lent(world.book().await).await;

    for view in ["/ebook/rents", "/ebook/payments", "/ebook/dashboards", "/bookings"] {
        stranger.get(&stranger.member, &format!("{view}/{rental}")).await.assert_problem(404, "no_such_booking");
    }
    stranger.bring_back(&rental).await.assert_problem(404, "no_such_booking");
    stranger.cancel(&rental).await.assert_problem(404, "no_such_booking");
    let listed = stranger.get(&stranger.member, "/bookings").await.body;
    assert_eq!(listed["bookings"], json!([]));
    // Asking for somebody else's by name changes nothing.
    let listed = stranger.get(&stranger.member, &format!("/bookings?customer={}", world.member.subject)).await.body;
    assert_eq!(listed["bookings"], json!([]));
    let book = world.booking(&rental).await["item"].clone();
    let book = stranger.get(&stranger.member, &format!("/ebook/books/{book}")).await.body;
    assert_eq!((&book["status"], &book["userId"]), (&json!("APPROVED"), &Value::Null));
}

#[tokio::test]
async fn an_administrator_reads_every_rental_but_returns_only_their_own() {
    let world = World::new();
    let rental = world.lent(world.book().await).await;
    let both = world.person(&[Role::Admin, Role::Member]);

    world.get(&both, &format!("/ebook/rents/{rental}")).await.assert_status(200);
    world.patch(&both, &format!("/ebook/rents/return/{rental}")).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn nobody_decides_on_their_own_request() {
    let world = World::new();
    let book = world.book().await;
    let rental = world.paid(book).await;
    let judge = world.person_named(&world.member.subject, &[Role::Admin]);

    world.patch(&judge, &format!("/ebook/books/approve/{book}")).await.assert_problem(403, "own_request");

    assert_eq!(world.booking(&rental).await["stage"], "paid");
}

#[tokio::test]
async fn forged_expired_and_unsigned_tokens_are_refused() {
    let world = World::new();
    let secret = world.setting("HOLDFAST_JWT_SECRET").as_bytes().to_vec();
    let now = chrono::Utc::now().timestamp();
    let good = json!({ "sub": "x", "roles": ["member"], "iss": "holdfast", "aud": "holdfast", "exp": now + 600 });
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    };
    let sign = |algorithm, claims: &Value, secret: &[u8]| {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let genuine = sign(Algorithm::HS256, &good, &secret);
    let [_, claims, signature] = genuine.split('.').collect::<Vec<_>>()[..] else { panic!("{genuine}") };
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let refused = [
        ("signed with another secret", sign(Algorithm::HS256, &good, b"another-secret-of-the-right-length!!")),
        ("signed with another algorithm", sign(Algorithm::HS512, &good, &secret)),
        ("expired", sign(Algorithm::HS256, &with(json!({ "exp": now - 60 })), &secret)),
        ("without expiry", sign(Algorithm::HS256, &with(json!({ "exp": null })), &secret)),
        ("not valid yet", sign(Algorithm::HS256, &with(json!({ "nbf": now + 600 })), &secret)),
        ("of another issuer", sign(Algorithm::HS256, &with(json!({ "iss": "somebody" })), &secret)),
        ("for another audience", sign(Algorithm::HS256, &with(json!({ "aud": "somebody" })), &secret)),
        ("without audience", sign(Algorithm::HS256, &with(json!({ "aud": null })), &secret)),
        ("without subject", sign(Algorithm::HS256, &with(json!({ "sub": null })), &secret)),
        ("of an impossible subject", sign(Algorithm::HS256, &with(json!({ "sub": "a b\n" })), &secret)),
        ("without algorithm", format!("{none}.{claims}.")),
        ("without algorithm but with a signature", format!("{none}.{claims}.{signature}")),
        ("without signature", genuine.rsplit_once('.').unwrap().0.to_owned()),
        ("nonsense", "nonsense".to_owned()),
    ];

    let ask = |token: String| world.send(world.request(Method::GET, "/ebook/rents").bearer_auth(token));
    for (what, token) in refused {
        let reply = ask(token).await;
        assert_eq!(reply.status.as_u16(), 401, "a token {what}: {reply:?}");
    }
    ask(genuine).await.assert_status(200);
}
