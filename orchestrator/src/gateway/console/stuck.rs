//! Stuck: bookings that need an operator, the moves there are, and what each would do. And the provider's switch.

use super::{
    super::{Gateway, inside::Ask, problem::Problem},
    Visit,
    frame::{self, Frame, Line, Moment, left, moment, money, words},
    inbox::Told,
    lists, see_other,
};
use askama::Template;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::{http::Method, reply::Response};

#[derive(Template)]
#[template(path = "stuck.html")]
struct Page {
    frame: Frame,
    count: i64,
    entries: Vec<Entry>,
    next: Option<String>,
    weather: Option<Weather>,
    moves: Vec<Done>,
}

struct Entry {
    line: Line,
    step: String,
    cause: String,
    at_risk: Option<String>,
    at_risk_minor: String,
    age: Option<String>,
    attempts: Option<i64>,
    moves: Vec<Move>,
    /// What the move that was tried out would do.
    foreseen: Option<String>,
}

struct Move {
    name: String,
    label: String,
    about: &'static str,
}

struct Weather {
    state: String,
    paused: bool,
    by: String,
    reason: String,
    retry_seconds: Option<i64>,
}

struct Done {
    at: Option<Moment>,
    by: String,
    what: String,
    booking: String,
    reason: String,
    outcome: String,
}

fn about(name: &str) -> &'static str {
    match name {
        "retry" => "Ask for it again now.",
        "resolve" => "It was done by hand: the worker looks there before it believes it.",
        "write-off" => "Give the money up: it is written off in the books.",
        "skip" => "Go on without it: no money and no unit is touched.",
        _ => "",
    }
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    page(gateway, visit, None).await
}

async fn page(gateway: &Arc<Gateway>, visit: &Visit, foreseen: Option<(&str, String)>) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let stuck = Ask::get(caller, "/stuck").query("cursor", visit.asked("cursor")).fetch(gateway).await?;
    let audit = Ask::get(caller, "/audit").query("limit", "10").fetch(gateway).await?;
    // The rest of the page is of use without it.
    let weather = Ask::get(caller, "/provider").answer(gateway).await;
    let entries = stuck["bookings"].as_array().into_iter().flatten().map(|booking| {
        let of = &booking["stuck"];
        let moves = of["moves"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Entry {
            line: Line::of(booking, gateway.zone),
            step: of["step"].as_str().unwrap_or_default().to_owned(),
            cause: of["reason"].as_str().map_or_else(|| "nobody has answered".to_owned(), words),
            at_risk: money(&of["at_risk"]),
            at_risk_minor: of["at_risk"]["amount_minor"].as_i64().map(|minor| minor.to_string()).unwrap_or_default(),
            age: booking["age_seconds"].as_i64().map(left),
            attempts: booking["attempts"].as_i64(),
            moves: moves.map(|name| Move { name: name.to_owned(), label: words(name), about: about(name) }).collect(),
            foreseen: foreseen.as_ref().filter(|(id, _)| booking["id"] == *id).map(|(_, what)| what.clone()),
        }
    });
    let moves = audit["interventions"].as_array().into_iter().flatten().map(|one| {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        Done {
            at: moment(&one["at"], gateway.zone),
            by: text("by"),
            what: format!("{} at {}", words(&text("move")), text("step")),
            booking: text("booking"),
            reason: text("reason"),
            outcome: one["outcome"]["outcome"].as_str().map_or_else(|| "not known yet".to_owned(), words),
        }
    });
    let weather = weather.status.is_success().then(|| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = &weather.body;
        Weather {
            state: words(&text(&of["state"])),
            paused: of["pause"].is_object(),
            by: text(&of["pause"]["by"]),
            reason: text(&of["pause"]["reason"]),
            retry_seconds: of["retry_seconds"].as_i64(),
        }
    });
    let page = Page {
        frame: Frame::of(gateway, visit, "Stuck"),
        count: stuck["count"].as_i64().unwrap_or_default(),
        entries: entries.collect(),
        next: lists::next(&stuck),
        weather,
        moves: moves.collect(),
    };
    frame::render(&page)
}

/// Makes a move, or only says what it would do.
pub(super) async fn intervene(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let (booking, kind) = (visit.parameter(0), visit.parameter(1));
    let mut body = json!({ "reason": visit.said("reason") });
    match kind {
        "resolve" => body["reference"] = json!(visit.said("reference")),
        "write-off" => body["amount"] = json!(visit.said("amount")),
        _ => {}
    }
    let dry = visit.form.contains_key("dry_run");
    let path = format!("/stuck/{booking}/{kind}");
    let ask = Ask::new(caller, Method::POST, path).body(body).key(visit.said("once"));
    let ask = if dry { ask.query("dry_run", "true") } else { ask };
    let answer = ask.answer(gateway).await;
    if dry {
        let foreseen = if answer.status.is_success() {
            let amount = money(&answer.body["amount"]).map_or_else(String::new, |amount| format!(" ({amount})"));
            let word = |name: &str| answer.body[name].as_str().map(words).unwrap_or_default();
            format!("{}: money {}{amount}, unit {}. Nothing was done.", words(kind), word("money"), word("hold"))
        } else {
            answer.why()
        };
        return page(gateway, visit, Some((booking, foreseen))).await;
    }
    if answer.status.is_success() {
        return Ok(see_other(&Told::of(kind, &answer).on("/console/stuck")));
    }
    page(gateway, visit, Some((booking, answer.why()))).await
}

/// Turns the switch of the payment provider.
pub(super) async fn turn(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let paused = visit.said("paused") == "true";
    let body = json!({ "paused": paused, "reason": visit.said("reason") });
    let answer = Ask::new(caller, Method::PUT, "/provider").body(body).answer(gateway).await;
    let done = if paused { "paused" } else { "resumed" };
    Ok(see_other(&Told::of(done, &answer).on("/console/stuck")))
}
