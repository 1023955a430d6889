//! Who may do what: no token, the wrong role, somebody else's booking, forged tokens.

use crate::world::World;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use orchestrator::gateway::{Access, auth::Role, pages, routes};
use reqwest::Method;
use serde_json::{Value, json};

/// A path of a route's shape.
fn path(shape: &str) -> String {
    shape.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
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

/// Pages are for whoever is signed in, but for those that are listed here; and forms come from our own pages.
#[tokio::test]
async fn every_page_is_closed_to_strangers_and_every_form_to_other_places() {
    const OPEN: [&str; 8] = [
        "/",
        "/openapi.json",
        "/docs",
        "/assets/{file}",
        "/console/sign-in",
        "/console/sign-in",
        "/console/sign-in/start",
        "/console/sign-in/callback",
    ];
    let world = World::new();
    assert_eq!(pages().filter(|(_, _, open)| *open).map(|(_, path, _)| path).collect::<Vec<_>>(), OPEN);
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = |shape: &str| format!("http://{}{}", world.setting("HOLDFAST_HTTP"), path(shape));
    let cookie = format!("holdfast_session={}", world.librarian.token);
    for (method, page, open) in pages() {
        if *method == Method::POST {
            // Somebody else's page sends a form, with the cookie of whoever is signed in.
            for from in ["https://evil.example", "null", "http://rebound.example:8080"] {
                let forged = browser.post(url(page)).header("cookie", &cookie).header("origin", from);
                assert_eq!(forged.send().await.unwrap().status(), 403, "{page} from {from}");
            }
            let origin = format!("http://{}", world.setting("HOLDFAST_HTTP"));
            let unconfirmed = browser.post(url(page)).header("cookie", &cookie).header("origin", origin);
            let status = unconfirmed.header("content-length", "0").send().await.unwrap().status().as_u16();
            assert_eq!(status, if open { 200 } else { 403 }, "{page} without its word");
        } else if !open {
            let stranger = browser.get(url(page)).send().await.unwrap();
            assert_eq!(stranger.status(), 303, "{page}");
            let location = stranger.headers()["location"].to_str().unwrap();
            assert!(location.starts_with("/console/sign-in?back=%2Fconsole"), "{page}: {location}");
        }
        let shown = browser.get(url(page)).send().await.unwrap();
        let headers = shown.headers();
        if shown.status() == 200 {
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{page}: {policy}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
        }
    }
    // A token that is not one is no session.
    let forged = browser.get(url("/console")).header("cookie", "holdfast_session=x.y.z").send().await.unwrap();
    assert_eq!(forged.status(), 303);
}

/// What would be a command elsewhere is text here: in a query, a path, a header.
#[tokio::test]
async fn commands_are_text() {
    let world = World::new();
    for text in [
        "' or 1=1 --",
        "\"; drop table bookings; --",
        "%27%20or%201=1",
        "../../etc/passwd",
        "{{7*7}}",
        "${jndi:x}",
        "%0d%0aset-cookie: x=y",
    ] {
        let query = [("system", text), ("stage", text), ("waiting_for", text), ("customer", text)];
        let request = world.request(Method::GET, "/bookings").bearer_auth(&world.librarian.token).query(&query);
        assert_eq!(world.send(request).await.assert_status(200).body["bookings"], json!([]), "{text}");
        let request =
            world.request(Method::GET, "/bookings").bearer_auth(&world.librarian.token).query(&[("cursor", text)]);
        world.send(request).await.assert_problem(400, "invalid_field");
        let mut url = reqwest::Url::parse(&format!("http://{}", world.setting("HOLDFAST_HTTP"))).unwrap();
        url.path_segments_mut().unwrap().extend(["assets", text]);
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), 404, "{text}");
        assert!(!answer.headers().contains_key("set-cookie"), "{text}");
    }
    let key = world
        .request(Method::POST, "/ebook/rents")
        .bearer_auth(&world.member.token)
        .header("idempotency-key", "a b\tc");
    world.send(key.json(&json!({ "bookId": world.book().await }))).await.assert_problem(400, "invalid_field");
    world.get(&world.member, "/bookings").await.assert_status(200);
}
