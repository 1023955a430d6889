//! Whole bookings of each system, over HTTP: whoever's turn it is says the first thing that they may say, in the inbox.

use crate::{
    Plan,
    candidate::{ANSWERED_WITHIN, Candidate, Field},
    rentals::RENTALS_IN_FLIGHT,
};
use anyhow::{Context, bail, ensure};
use chrono::{TimeDelta, Utc};
use dev::{
    bench::{
        cpu_ms_each,
        load::closed,
        report::{Better, Section},
    },
    demo::token,
};
use orchestrator::host::{self, Kind};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use workflows::booking::Party;

pub const COMMAND: &str = "make bench ONLY=systems";
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// A stylist has one customer at a time.
const STYLISTS: usize = 20;

/// By party.
type Tokens = HashMap<&'static str, String>;

pub fn section() -> Section {
    Section::new(
        "Whole bookings of every system",
        "From the request to the last word of the story, each word over HTTP by whoever's turn it is, 30 bookings at a time.",
        COMMAND,
    )
}

/// Some bookings of every system, each with its own item.
pub async fn measure(field: &Field, plan: &Plan, section: &mut Section) -> anyhow::Result<()> {
    field.prepare(Candidate::Holdfast).await?;
    let mut tokens = Tokens::new();
    for party in Party::ALL {
        tokens.insert(party.as_str(), token(&field.stack.borrow().addresses, party.as_str(), role_of(*party))?);
    }
    for kind in host::SAGAS {
        let asks = asks(field, kind, plan.rentals / 2, &tokens).await?;
        let (count, before, began) = (asks.len(), field.used(Candidate::Holdfast), Instant::now());
        let told = closed(RENTALS_IN_FLIGHT, asks, async |(path, body)| story(field, kind, &path, body, &tokens).await);
        told.await.into_iter().try_for_each(|(_, told)| told)?;
        let took = began.elapsed().as_secs_f64();
        let cpu: f64 = cpu_ms_each(&before, &field.used(Candidate::Holdfast), count).values().sum();
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        section.add(kind.system, "whole bookings each second", "1/s", Better::More, count as f64 / took);
        section.add(kind.system, "processor time each, all", "ms", Better::Less, cpu);
    }
    Ok(())
}

const fn role_of(party: Party) -> &'static str {
    match party {
        Party::Customer => "member",
        Party::Administrator => "admin",
        Party::Manager | Party::Shop => "manager",
        Party::Teacher => "teacher",
        Party::Courier => "courier",
        Party::Sender => "sender",
        Party::Operator => "operator",
    }
}

/// Requests for bookings that do not stand in each other's way.
async fn asks(field: &Field, kind: &Kind, count: usize, tokens: &Tokens) -> anyhow::Result<Vec<(String, Value)>> {
    // What is registered, and under which name it is asked for; nothing where nothing is chosen.
    let (path, new, ask, wanted) = match kind.system {
        "ebook" => ("/ebook/books", json!({ "bookName": "Hello, JAVA", "rentalFee": 3000 }), "/ebook/rents", "bookId"),
        "resort" => {
            let new = json!({ "resortName": "Jeju", "resortPrice": 100_000, "resortPeriod": "7/23~25" });
            ("/resort/resorts", new, "/resort/reservations", "resortId")
        }
        "cinema" => ("/cinema/movies", json!({ "desc": "A film", "price": 12_000 }), "/cinema/reservations", "movieId"),
        "matching" => ("", Value::Null, "/matching/matches", ""),
        "salon" => ("/salon/hrSystems", json!({ "stylistName": "Mina" }), "/salon/reservationSystems", "stylist"),
        "parcel" => ("", Value::Null, "/parcel/requests", ""),
        other => anyhow::bail!("{other}: how is it asked for?"),
    };
    let registrar =
        if kind.system == "ebook" || kind.system == "resort" { Party::Administrator } else { Party::Manager };
    let registered = match kind.system {
        "salon" => STYLISTS,
        _ if path.is_empty() => 0,
        _ => count,
    };
    let mut items = Vec::new();
    for _ in 0..registered {
        let made = field.ask(Method::POST, path, &tokens[registrar.as_str()], Some(new.clone())).await?;
        let number = ["id", "movieId", "stylistId"].iter().find_map(|name| made[*name].as_i64());
        items.push(number.context("it has no number")?);
    }
    Ok((0..count)
        .map(|number| {
            let body = match kind.system {
                "matching" => json!({ "price": 50_000 }),
                "parcel" => json!({ "qty": 5 }),
                "salon" => {
                    let slots = i64::try_from(number / STYLISTS).unwrap_or_default();
                    let time = Utc::now() + TimeDelta::days(1) + TimeDelta::hours(slots);
                    json!({ "time": time.format("%Y-%m-%dT%H:00").to_string(), wanted: items[number % STYLISTS].to_string() })
                }
                _ => json!({ wanted: items[number] }),
            };
            (ask.to_owned(), body)
        })
        .collect())
}

async fn story(field: &Field, kind: &Kind, path: &str, body: Value, tokens: &Tokens) -> anyhow::Result<()> {
    let begun = field.ask(Method::POST, path, &tokens[Party::Customer.as_str()], Some(body)).await?;
    let id = begun["id"].as_str().context("a booking without an id")?;
    for turn in kind.turns.into_iter().flatten() {
        until(field, id, turn.stage).await?;
        let mut body = json!({ "bookings": [id] });
        for needed in turn.says[0].needs {
            body[*needed] = json!("as agreed");
        }
        say(field, turn.says[0].word, &tokens[turn.party.as_str()], body).await?;
    }
    until(field, id, "").await
}

/// Says a word to one booking; as people do, again while it is not known whether it was heard.
async fn say(field: &Field, word: &str, token: &str, body: Value) -> anyhow::Result<()> {
    let until = Instant::now() + ANSWERED_WITHIN;
    loop {
        let said = field.ask(Method::POST, &format!("/inbox/{word}"), token, Some(body.clone())).await?;
        match said["outcomes"][0]["status"].as_u64() {
            Some(200 | 202) => return Ok(()),
            Some(503) if Instant::now() < until => tokio::time::sleep(LOOKED_AGAIN_AFTER).await,
            _ => bail!("{word}: {said}"),
        }
    }
}

/// Waits for a stage, or for the end.
async fn until(field: &Field, id: &str, stage: &str) -> anyhow::Result<()> {
    let until = Instant::now() + ANSWERED_WITHIN;
    loop {
        let booking = field.ask(Method::GET, &format!("/bookings/{id}"), &field.librarian, None).await?;
        if booking["stage"] == stage || (stage.is_empty() && booking["ending"] == "completed") {
            return Ok(());
        }
        ensure!(booking["ending"].is_null(), "it ended before it was {stage}: {booking}");
        ensure!(Instant::now() < until, "it is {}, and not {stage}", booking["stage"]);
        tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
    }
}
