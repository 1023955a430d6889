//! The story of a booking in plain words: what happened, what it waits for, and what may be done.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json},
    problem::Problem,
    routes::{Access, Gives, Route, SEEN},
    shape::{CURRENCY, Field, Holds, Shape},
    workers::MESSAGE,
};
use crate::board::{Change, Intervention, Interventions};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Party, Row, Stuck},
    contracts::Move,
    saga::{Snapshot, stage},
};

/// How long the story waits for the saga to say how often it has tried.
const SAGA_WITHIN: Duration = Duration::from_millis(400);
const INTERVENTIONS_MAX: i64 = 100;

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/bookings/{booking}/story",
        Access::SignedIn,
        "Tells the story of a booking in plain words.",
        |gateway, call| Box::pin(async move { explain(&gateway, &call).await }),
    )
    .gives(&[200], Gives::One(&STORY))
    .refuses(&[SEEN]),
    Route::get(
        "/bookings/{booking}/postings",
        Access::SignedIn,
        "Shows where the money of a booking went, in double entry.",
        |gateway, call| Box::pin(async move { postings(&gateway, &call).await }),
    )
    .gives(&[200], Gives::One(&POSTINGS))
    .refuses(&[SEEN]),
    Route::get(
        "/bookings/{booking}/messages",
        Access::SignedIn,
        "Lists what the customer of a booking was told.",
        |gateway, call| Box::pin(async move { messages(&gateway, &call).await }),
    )
    .lists("messages", &MESSAGE)
    .refuses(&[SEEN]),
];

/// Where the money of a booking went: both sides of each movement, oldest first.
async fn postings(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, None).await?;
    let url = format!("{}/postings/{}", gateway.payment.base, row.booking);
    let postings: Option<Value> = gateway.payment.ask(gateway.payment.client.get(url)).await?;
    Ok(json(StatusCode::OK, &json!({ "postings": postings })))
}

/// What the customer of a booking was told about it.
async fn messages(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, None).await?;
    gateway.messages(call, &row.system, Some(row.booking)).await
}

const STORY: Shape = Shape::new(
    "Story",
    &[
        Field::id("booking", "Of which booking."),
        Field::text("about", "Whose it is, and of what.", "Booking of \"Dune\" at 3000 KRW by customer ada."),
        Field::of_kind("happened", Holds::Texts, "What happened, in order.", ""),
        Field::text("now", "What it waits for.", "It waits for the administrator."),
        Field::of_kind("may", Holds::Texts, "What may be done.", ""),
    ],
);
const POSTING: Shape = Shape::new(
    "Posting",
    &[
        Field::choice("movement", "What moved it.", &["capture", "refund", "write_off"], "capture"),
        Field::choice("account", "Which side.", &["customer", "bookings", "written_off"], "customer"),
        Field::count("amount_minor", "What came to it; less than zero: what went from it.", "-3000"),
        CURRENCY,
        Field::moment("posted_at", "When."),
    ],
);
const POSTINGS: Shape = Shape::new("Postings", &[Field::list("postings", "Oldest first.", &POSTING)]);

async fn explain(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, None).await?;
    let timeline = gateway.board.timeline(row.booking).await?;
    let mut happened: Vec<_> = timeline.iter().map(|change| (change.at, reached(change))).collect();
    happened.extend(done_between(&row, &timeline));

    let operator = call.caller.is_any(&[Role::Operator]);
    if operator {
        // Who did what is between the operators.
        let wanted = Interventions { booking: Some(row.booking), limit: INTERVENTIONS_MAX, ..Interventions::default() };
        let done = gateway.board.interventions(&wanted).await?;
        let told = done.iter().map(|one| (one.at, intervened(one)));
        happened.extend(told);
    }
    happened.sort();

    let attempts = match row.stuck {
        Some(_) => timeout(SAGA_WITHIN, gateway.ask::<_, Snapshot>(&row, "state", ())).await.ok().and_then(Result::ok),
        None => None,
    };
    let happened: Vec<_> = happened.iter().map(|(at, what)| format!("{}  {what}", shown(at))).collect();
    let story = json!({
        "booking": row.booking,
        "about": about(&row),
        "happened": happened,
        "now": now(&row, attempts.map(|state| state.attempts)),
        "may": may(&row, operator),
    });
    Ok(json(StatusCode::OK, &story))
}

fn intervened(one: &Intervention) -> String {
    let word =
        |name: &str| one.outcome.as_ref().and_then(|outcome| outcome[name].as_str()).map(|word| word.replace('_', " "));
    let outcome = match (word("outcome"), word("reason")) {
        (Some(outcome), Some(reason)) => format!("{outcome}: {reason}"),
        (Some(outcome), None) => outcome,
        (None, _) => "not known yet".to_owned(),
    };
    format!("{} made the move {} at {}: {} ({outcome})", one.by, one.action, one.step, one.reason)
}

fn shown(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn about(row: &Row) -> String {
    let name = row.item_name.as_deref().map_or_else(String::new, |name| format!(" \"{name}\""));
    let price = row.price.map_or_else(String::new, |price| format!(" at {price}"));
    format!("Booking {} of {}{name}{price} by customer {}.", row.booking, row.item, row.customer)
}

fn reached(change: &Change) -> String {
    let because = change.reason.as_deref().map_or_else(String::new, |reason| format!(" because: {reason}"));
    let waits = change.waiting_for.as_deref().map_or_else(String::new, |party| format!("; it waits for the {party}"));
    match change.stage.as_str() {
        stage::REQUESTED => "requested".to_owned(),
        stage::UNDOING => format!("turned back{because}; what was done for it is being undone"),
        stage::STUCK => format!("stuck{waits}"),
        stage::UNDONE => format!("ended: undone{because}"),
        other if change.ending.is_some() => format!("{other}; ended: completed"),
        other => format!("{other}{waits}"),
    }
}

/// What was done between two stages: refunds, releases, write-offs.
fn done_between(row: &Row, timeline: &[Change]) -> Vec<(DateTime<Utc>, String)> {
    let stages: BTreeSet<_> = timeline.iter().map(|change| change.stage.as_str()).collect();
    let between = row.times.iter().filter(|(what, _)| !stages.contains(what.as_str()));
    let told = |what: &str| match what {
        "taken_over" => "its saga had ended before it: taken over".to_owned(),
        other => other.replace('_', " "),
    };
    between.map(|(what, at)| (*at, told(what))).collect()
}

fn now(row: &Row, attempts: Option<u32>) -> String {
    match (&row.ending, &row.stuck, row.waiting_for) {
        (Some(Ending::Completed), ..) => "It has ended: completed.".to_owned(),
        (Some(Ending::Undone { reason }), ..) => format!("It has ended: undone, because: {reason}."),
        (None, Some(stuck), _) => stuck_now(stuck, attempts),
        (None, None, Some(party)) => {
            let until = row.deadline_at.map_or_else(String::new, |at| format!(" until {}", shown(&at)));
            format!("It waits for the {}{until}.", party.as_str())
        }
        (None, None, None) => "It is being carried out.".to_owned(),
    }
}

fn stuck_now(stuck: &Stuck, attempts: Option<u32>) -> String {
    let why = match &stuck.reason {
        Some(reason) => format!("the worker refuses it ({reason})"),
        None => "nobody has answered".to_owned(),
    };
    let tried = attempts.map_or_else(String::new, |attempts| format!(" after {attempts} rounds of attempts"));
    let risk = stuck.at_risk.map_or_else(String::new, |amount| {
        format!(" {amount} has to go back to the customer, and the unit stays with the booking until it is dealt with.")
    });
    format!("It is stuck at {}: {why}{tried}. It goes on trying by itself.{risk}", stuck.step)
}

fn may(row: &Row, operator: bool) -> Vec<String> {
    match (&row.stuck, row.waiting_for) {
        _ if row.ending.is_some() => Vec::new(),
        (Some(stuck), _) if operator => stuck.moves.iter().map(|kind| may_move(*kind, stuck)).collect(),
        (None, Some(party)) if party != Party::Customer => vec![format!("It is the {}'s turn.", party.as_str())],
        (None, Some(Party::Customer)) => vec!["The customer may act: it is their turn.".to_owned()],
        _ => Vec::new(),
    }
}

fn may_move(kind: Move, stuck: &Stuck) -> String {
    let (step, name) = (&stuck.step, kind.as_str());
    match kind {
        Move::Retry => format!("{name}: ask for {step} again now."),
        Move::Resolve => {
            format!("{name}: say that {step} was done by hand, with its reference; the worker looks there.")
        }
        Move::WriteOff => format!("{name}: give the money up; it is written off in the books."),
        Move::Skip => format!("{name}: go on without {step}; no money and no unit is touched by that."),
    }
}
