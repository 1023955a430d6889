//! People: steady load, by those who look at their bookings and those who rent, who write down every answer that they get.

use crate::world::World;
use orchestrator::gateway::auth::Role;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

/// As often as they look.
const LOOKS: Duration = Duration::from_millis(500);
/// What was not answered is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const STAGE_WITHIN: Duration = Duration::from_mins(1);

/// A request, and what came of it.
pub struct Asked {
    pub took: Duration,
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, or a refusal that means something.
    Answered,
    /// Sent away, to come back later: the text says why.
    SentAway(String),
    /// Nobody answered.
    Nothing(String),
}

/// What all clients have seen.
#[derive(Default)]
pub struct Seen {
    asked: Mutex<Vec<Asked>>,
    over: AtomicBool,
}

impl Seen {
    /// Asks, and writes down what came of it. `None`: no answer.
    async fn ask(&self, request: RequestBuilder) -> Option<(u16, Value)> {
        let at = Instant::now();
        let answer = match request.send().await {
            Ok(answer) => {
                let status = answer.status();
                answer.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        let (outcome, answer) = match answer {
            Ok((status, text)) if status.is_server_error() => (Outcome::SentAway(format!("{status}: {text}")), None),
            Ok((status, text)) => {
                (Outcome::Answered, Some((status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))))
            }
            Err(error) => (Outcome::Nothing(format!("{error:?}")), None),
        };
        self.asked.lock().unwrap().push(Asked { took: at.elapsed(), outcome });
        answer
    }

    /// Tells everybody to come to an end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// What was asked since the last look.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Asks again until there is an answer. What was done already, before the answer was lost, is done.
    async fn insist(&self, request: impl Fn() -> RequestBuilder) -> Value {
        let end = Instant::now() + STAGE_WITHIN;
        loop {
            if let Some((status, body)) = self.ask(request()).await {
                assert!((200..300).contains(&status) || status == 409, "{status} {body}");
                return body;
            }
            assert!(Instant::now() < end, "never answered");
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// One of so many looks at their bookings until it is over.
pub async fn read(world: &World, seen: &Seen, number: u32, of: u32) {
    let member = world.person(&[Role::Member]);
    sleep(LOOKS * number / of).await;
    let mut look = interval(LOOKS);
    while !seen.is_over() {
        look.tick().await;
        seen.ask(world.request(Method::GET, "/bookings?limit=5").bearer_auth(&member.token)).await;
    }
}

/// Rents one book after the other until it is over, each to its end. Gives back the rentals.
pub async fn rent(world: &World, seen: &Seen) -> Vec<String> {
    let mut rentals = Vec::new();
    while !seen.is_over() {
        rentals.push(rent_once(world, seen).await);
    }
    rentals
}

/// Rents a book of one's own, to its end.
pub async fn rent_once(world: &World, seen: &Seen) -> String {
    let (member, librarian) = (&world.member.token, &world.librarian.token);
    let new = json!({ "bookName": "Hello, JAVA", "rentalFee": 3000 });
    let made = seen.insist(|| world.request(Method::POST, "/ebook/books").bearer_auth(librarian).json(&new)).await;
    let book = made["id"].as_i64().unwrap();
    let key = Uuid::now_v7().to_string();
    let rental = seen.insist(|| {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(member);
        request.header("idempotency-key", &key).json(&json!({ "bookId": book }))
    });
    let rental = rental.await["id"].as_str().unwrap().to_owned();
    until(world, seen, &rental, "paid").await;
    let approve = format!("/ebook/books/approve/{book}");
    seen.insist(|| world.request(Method::PATCH, &approve).bearer_auth(librarian)).await;
    until(world, seen, &rental, "approved").await;
    let back = format!("/ebook/rents/return/{rental}");
    seen.insist(|| world.request(Method::PATCH, &back).bearer_auth(member)).await;
    until(world, seen, &rental, "returned").await;
    rental
}

async fn until(world: &World, seen: &Seen, rental: &str, stage: &str) {
    let end = Instant::now() + STAGE_WITHIN;
    let look = || world.request(Method::GET, &format!("/bookings/{rental}")).bearer_auth(&world.member.token);
    while seen.insist(look).await["stage"] != stage {
        assert!(Instant::now() < end, "{rental} is never {stage}");
        sleep(AGAIN_AFTER).await;
    }
}
