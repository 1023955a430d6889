//! The door: whoever connects, dawdles, shouts or sends too much harms nobody else; and a gateway that ends answers what it has
//! begun.

use super::own_stack::OwnStack;
use crate::world::{ANSWERED_WITHIN, World};
use dev::{simulator::faults::Fault, stack::Part};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use orchestrator::gateway::auth::Role;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
    time::{Instant, timeout},
};

const IDLE: usize = 10_000;
const DAWDLERS: usize = 200;
const BURST: usize = 30;
const AT_ONCE: usize = 4;
/// Whoever dawdles is cut off within this time.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test]
async fn whoever_misbehaves_harms_nobody_else() {
    let own = OwnStack::with(Part::TOGETHER, |at| {
        at.with("HOLDFAST_REQUESTS_PER_SECOND_MAX", "10")
            .with("HOLDFAST_REQUESTS_BURST_MAX", &BURST.to_string())
            .with("HOLDFAST_REQUESTS_AT_ONCE_MAX", &AT_ONCE.to_string())
    });
    let own = own.await;
    let world = World::at(&own.stack.addresses);
    let address = world.setting("HOLDFAST_HTTP").to_owned();

    too_often(&world).await;
    too_many_at_once(&world).await;
    too_much(&world, &address).await;
    let dawdlers = dawdlers(&address).await;
    let mut slow = slow_body(&world, &address).await;
    idle(&world, &own, &address).await;
    for mut dawdler in dawdlers {
        // Told that it is too slow, or only closed.
        let closed = timeout(CUT_OFF_WITHIN, dawdler.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "a header that never ends holds a connection for ever");
    }
    let mut answer = String::new();
    timeout(CUT_OFF_WITHIN, slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
}

/// A burst is taken, what comes on top is told when to come back, and others do not notice.
async fn too_often(world: &World) {
    let loud = world.person(&[Role::Member]);
    let mut refused = 0;
    for _ in 0..3 * BURST {
        let reply = world.get(&loud, "/bookings").await;
        assert!(reply.headers.contains_key("ratelimit") && reply.headers.contains_key("ratelimit-policy"), "{reply:?}");
        if reply.status == 200 {
            continue;
        }
        reply.assert_problem(429, "rate_limited");
        assert_eq!(reply.headers["retry-after"], "1");
        refused += 1;
    }
    assert!((BURST / 2..=2 * BURST).contains(&refused), "{refused} of {} were refused", 3 * BURST);
    world.get(&world.person(&[Role::Member]), "/bookings").await.assert_status(200);
}

/// Who lets all their places be held by feeds has none for more, until one ends; others do not notice.
async fn too_many_at_once(world: &World) {
    let (greedy, other) = (world.person(&[Role::Member]), world.person(&[Role::Member]));
    let mut feeds = Vec::new();
    for _ in 0..AT_ONCE {
        let feed = world.request(Method::GET, "/bookings/feed").bearer_auth(&greedy.token).send().await.unwrap();
        assert_eq!(feed.status(), 200);
        feeds.push(feed);
    }
    let refused = world.get(&greedy, "/bookings").await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.headers["retry-after"], "1");
    world.get(&other, "/bookings").await.assert_status(200);
    feeds.pop();
    world.eventually("a place", async || world.get(&greedy, "/bookings").await.status.as_u16(), |it| *it == 200).await;
}

async fn too_much(world: &World, address: &str) {
    let member = world.person(&[Role::Member]);
    let long = "x".repeat(3000);
    world.get(&member, &format!("/bookings/{long}")).await.assert_problem(414, "path_too_long");
    world.get(&member, &format!("/bookings?stage={long}{long}")).await.assert_problem(414, "path_too_long");
    for headers in [format!("a: {}\r\n", "x".repeat(40_000)), "a: x\r\n".repeat(300)] {
        let answer = raw(address, &format!("GET /bookings HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{}", &answer[..answer.len().min(200)]);
    }
    for nonsense in ["\r\n\r\n\r\n", "GET\r\n\r\n", "\u{0}\u{1}\u{2}", "GET / HTTP/9.9\r\n\r\n"] {
        let answer = raw(address, &format!("{nonsense}GET /\r\n\r\n")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    let post = |body: String| {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&member.token);
        world.send(request.header("content-type", "application/json").body(body))
    };
    let nested = "[".repeat(30_000);
    post(format!("{{\"bookId\":{nested}")).await.assert_problem(400, "malformed_body");
    post(nested).await.assert_problem(400, "malformed_body");
    post(format!("{{\"bookId\":\"{}\"}}", "1".repeat(100_000))).await.assert_problem(413, "body_too_large");
}

async fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may close before it has read all.
    let _sent = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _read = timeout(CUT_OFF_WITHIN, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// They send a header, and never its end.
async fn dawdlers(address: &str) -> Vec<TcpStream> {
    let mut dawdlers = Vec::new();
    for _ in 0..DAWDLERS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /bookings HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        dawdlers.push(stream);
    }
    dawdlers
}

async fn slow_body(world: &World, address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = world.person(&[Role::Member]).token;
    let head = format!(
        "POST /ebook/rents HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Ten thousand connections that say nothing.
async fn idle(world: &World, own: &OwnStack, address: &str) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let many = IDLE.min(usize::try_from(hard).unwrap_or(IDLE).saturating_sub(1_000));
    let memory = || own.stack.usage(Part::Orchestrator).memory_bytes / (1024 * 1024);
    let before = memory();
    let mut idle = Vec::with_capacity(many);
    for _ in 0..many {
        idle.push(timeout(Duration::from_secs(10), TcpStream::connect(address)).await.expect("a connection").unwrap());
    }
    let member = world.person(&[Role::Member]);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        world.get(&member, "/bookings").await.assert_status(200);
        slowest = slowest.max(asked.elapsed());
    }
    println!(
        "beside {many} idle connections: slowest answer {slowest:?}, memory {before} MiB before, {} MiB now",
        memory()
    );
    assert!(slowest < ANSWERED_WITHIN, "answered after {slowest:?} beside {many} idle connections");
}

/// What has begun is answered, and nobody new gets in. Until then, whoever is one too many hears it at once.
#[tokio::test]
async fn a_gateway_that_ends_answers_what_it_has_begun() {
    let own = OwnStack::with(Part::TOGETHER, |at| {
        at.with("HOLDFAST_REQUESTS_IN_FLIGHT_MAX", "1").with("HOLDFAST_DRAIN_LEAD_SECONDS", "2")
    });
    let mut own = own.await;
    let world = World::at(&own.stack.addresses);
    let book = world.book().await;
    world.fault(Fault { delay_ms: Some((3000, 3000)), ..Fault::default() }).await;
    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    let asked = tokio::spawn(request.header("prefer", "wait=20").json(&json!({ "bookId": book })).send());
    // There is room for one request at a time: while it is under way, others are sent away at once.
    let look = async || {
        let asked = Instant::now();
        (world.get(&world.librarian, "/bookings").await, asked.elapsed())
    };
    let (busy, took) = world.eventually("under way", look, |(reply, _)| reply.status == 503).await;
    busy.assert_problem(503, "too_busy");
    assert!(took < ANSWERED_WITHIN && busy.headers.contains_key("retry-after"), "{took:?}: {busy:?}");

    let stopped = spawn_blocking(move || {
        own.stack.stop(Part::Orchestrator);
        own
    });
    // It still answers whoever comes, and tells them to look elsewhere next time.
    let told = async || {
        let reply = world.try_send(world.request(Method::GET, "/openapi.json")).await;
        reply.and_then(|reply| reply.headers.get("connection").cloned())
    };
    world.eventually("told to leave", told, |told| told.as_ref().is_some_and(|told| told == "close")).await;
    let answer = asked.await.unwrap().expect("an answer");
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["stage"], "paid", "{answer}");
    let _own = stopped.await.unwrap();
    assert!(world.try_send(world.request(Method::GET, "/openapi.json")).await.is_none(), "somebody got in");
}
