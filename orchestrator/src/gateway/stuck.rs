//! Stuck bookings: what they are, what may be done about them, and who did what.
//!
//! A move is a message to the booking's own saga, which carries it out and keeps the record. Here it is only read, checked
//! and passed on.

use super::{
    Gateway,
    auth::Role,
    bookings::{BOOKING, uniform},
    call::{Call, Fields, json, needed, next},
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Holds, Shape},
    talk::Message,
};
use crate::board::{self, Filter, Interventions};
use chrono::Utc;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::Row,
    contracts::Move,
    money::{AMOUNT_MAX_MINOR, Money},
    saga::{Action, Foresight, Intervention, Snapshot, stage},
};

const OPERATORS: Access = Access::Any(&[Role::Operator]);
/// The longest reason, and the longest reference, in characters.
const REASON_MAX: usize = 500;
const REFERENCE_MAX: usize = 100;
/// How many bookings one bulk retry reaches, and how many sagas are spoken to at the same time.
const BULK_MAX: i64 = 100;
const AT_ONCE: usize = 8;
/// Among how many of the latest interventions of a booking one is looked for that was made a moment ago.
const AT_ONCE_MAX: i64 = 10;
/// How long a list waits for the sagas to say how often they have tried.
const ATTEMPTS_WITHIN: Duration = Duration::from_millis(300);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/stuck", OPERATORS, "Lists bookings that need an operator, with what may be done.", |gateway, call| {
        Box::pin(async move { list(&gateway, &call).await })
    })
    .asks(CHOSEN)
    .gives(&[200], Gives::One(&STUCK_PAGE)),
    Route::post(
        "/stuck/retry",
        OPERATORS,
        "Asks all stuck bookings that are chosen to try again, if there are as many as you expect.",
        |gateway, call| Box::pin(async move { retry_all(&gateway, &call).await }),
    )
    .asks(CHOSEN_TO_MOVE)
    .takes(&[
        Field::count("expected", "How many that will be.", "2").needed(),
        Field::text_to(500, "reason", "Why: it is kept with the move.", "The provider is back.").needed(),
    ])
    .gives(&[202, 200], Gives::One(&RETRIED))
    .refuses(&[&[Code::CountDiffers]]),
    Route::post(
        "/stuck/{booking}/{move}",
        OPERATORS,
        "Makes a move about a stuck booking, or says what it would do.",
        |gateway, call| Box::pin(async move { intervene(&gateway, &call).await }),
    )
    .asks(&[Field::flag("dry_run", "Only say what it would do.")])
    .takes(&[
        Field::text_to(500, "reason", "Why: it is kept with the move.", "The provider refunded it by hand.").needed(),
        Field::text_to(100, "reference", "For `resolve`: what it is called where it was done.", "re_123"),
        Field::amount("amount", "For `write-off`: all that is at risk, in minor units.", "3000"),
    ])
    .gives(&[200, 202], Gives::One(&MOVED))
    .refuses(&[&[
        Code::NoSuchPath,
        Code::NoSuchBooking,
        Code::NotStuck,
        Code::MovePending,
        Code::MoveNotAllowed,
        Code::AmountDiffers,
        Code::TooManyMoves,
        Code::IdempotencyKeyReused,
    ]]),
    Route::get("/audit", OPERATORS, "Lists the moves that operators made, newest first.", |gateway, call| {
        Box::pin(async move { audit(&gateway, &call).await })
    })
    .asks(&[Field::id("booking", "Only about this booking.")])
    .lists("interventions", &INTERVENTION),
];

const CHOSEN: &[Field] = &[
    Field::text_to(20, "system", "Only of this system.", "ebook"),
    Field::text_to(60, "step", "Only at this step.", "payment.refund"),
    Field::text_to(60, "cause", "Only for this reason; `no_answer` where nobody gave one.", "card_closed"),
    Field::text_to(40, "cursor", "The `next` of the page before.", "12"),
    Field::number("limit", "How many at most, up to 100.", "50"),
];
const CHOSEN_TO_MOVE: &[Field] = &[CHOSEN[0], CHOSEN[1], CHOSEN[2], Field::flag("dry_run", "Only count them.")];
const STUCK_BOOKING: Shape = Shape::new(
    "StuckBooking",
    &[
        Field::moment("since", "Since when.").or_null(),
        Field::count("age_seconds", "For how long.", "600").or_null(),
        Field::count("attempts", "How many rounds of attempts.", "12").or_null(),
    ],
)
.and(&BOOKING);
const STUCK_PAGE: Shape = Shape::new(
    "StuckPage",
    &[
        Field::count("count", "How many there are.", "1"),
        Field::list("bookings", "The newest first.", &STUCK_BOOKING),
        Field::count("next", "The cursor of the next page.", "12").or_null(),
    ],
);
const RETRIED: Shape = Shape::new(
    "Retried",
    &[
        Field::count("count", "How many there are.", "2"),
        Field::count("retried", "How many were asked.", "2").or_null(),
        Field::flag("dry_run", "Nothing was done.").or_null(),
        Field::count("at_once_max", "How many at most.", "100").or_null(),
    ],
);
const MOVED: Shape = Shape::new(
    "Moved",
    &[Field::of_kind(
        "...",
        Holds::Anything,
        "The booking with its `outcome`, or what the move would do to money and hold.",
        "",
    )],
);
const INTERVENTION: Shape = Shape::new(
    "Intervention",
    &[
        Field::count("place", "Its place in the list.", "12"),
        Field::id("booking", "About which booking."),
        Field::moment("at", "When."),
        Field::text("step", "About which step.", "payment.refund"),
        Field::text("by", "Who.", "ops"),
        Field::text("move", "The move.", "retry"),
        Field::text_to(500, "reason", "Why.", "The provider is back."),
        Field::of_kind("details", Holds::Anything, "The reference, or the amount.", "").or_null(),
        Field::of_kind("before", Holds::Anything, "What was open before.", "").or_null(),
        Field::of_kind("outcome", Holds::Anything, "What came of it.", "").or_null(),
        Field::of_kind("after", Holds::Anything, "What was open after.", "").or_null(),
    ],
);

async fn list(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    call.only_query(&["system", "step", "cause", "cursor", "limit"])?;
    let (before, limit) = call.page()?;
    let chosen = filter(call, before, limit)?;
    let page = gateway.board.page(&chosen).await?;
    let count = count(gateway, &chosen).await?;
    let shown = stream::iter(page.rows).map(|row| shown(gateway, row));
    let bookings: Vec<Value> = shown.buffered(AT_ONCE).collect().await;
    Ok(json(StatusCode::OK, &json!({ "count": count, "bookings": bookings, "next": page.next })))
}

async fn shown(gateway: &Gateway, row: Row) -> Value {
    let attempts = timeout(ATTEMPTS_WITHIN, gateway.ask::<_, Snapshot>(&row, "state", ())).await;
    let since = row.times.get(stage::STUCK);
    let mut shown = uniform(&row);
    shown["since"] = json!(since);
    shown["age_seconds"] = json!(since.map(|since| (Utc::now() - since).num_seconds()));
    shown["attempts"] = json!(attempts.ok().and_then(Result::ok).map(|state| state.attempts));
    shown
}

async fn count(gateway: &Gateway, chosen: &Filter) -> Result<i64, Problem> {
    let all = Filter { before: None, ..chosen.clone() };
    Ok(gateway.board.count(&all).await?)
}

fn filter(call: &Call, before: Option<i64>, limit: i64) -> Result<Filter, Problem> {
    Ok(Filter {
        stage: Some(stage::STUCK.to_owned()),
        system: call.text("system")?,
        step: call.text("step")?,
        cause: call.text("cause")?,
        before,
        limit,
        ..Filter::default()
    })
}

/// One operator, one booking, one move.
async fn intervene(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let kind = call.parameters.get(1).and_then(|text| Move::ALL.iter().find(|kind| kind.as_str() == text));
    let kind = *kind.ok_or_else(|| Problem::new(Code::NoSuchPath))?;
    call.only_query(&["dry_run"])?;
    let booking = call.booking(0)?;
    let fields = call.fields()?;
    let reason = reason(&fields, known(kind))?;
    let row = gateway.booking(call, booking, None).await?;
    let action = action(kind, &fields, &row)?;
    if dry_run(call)? {
        return foresee(gateway, &row, action).await;
    }
    let key = call.idempotency_key()?.map(str::to_owned);
    let body = Intervention { by: call.caller.subject.clone(), reason, key, action };
    if let Some(done) = recorded(gateway, &row, &body).await? {
        return Ok(shown_with(&row, Some(&done)));
    }
    if row.ending.is_some() {
        return Err(Problem::new(Code::NotStuck).with("stage", row.stage));
    }
    // Without a key, a click that is repeated before anything has changed is the same click.
    let what =
        body.key.as_ref().map_or_else(|| format!("{}@{}", kind.as_str(), row.version), |_| kind.as_str().to_owned());
    let until = call.answer_by;
    let message = Message { update: "intervene", what: what.into(), body: json!(body) };
    let heard = match gateway.say_within(call, &row, message, until).await {
        Ok(heard) => heard,
        // It ended a moment ago.
        Err(problem) if problem.code == Code::TooLate => return Err(Problem::new(Code::NotStuck)),
        Err(problem) => return Err(problem.with("stage", row.stage)),
    };
    // Its outcome is published with the row that shows it.
    let row = gateway.row_when(booking, until, |row| row.version > heard.version).await?.unwrap_or(row);
    let wanted = Interventions { booking: Some(booking), limit: AT_ONCE_MAX, ..Interventions::default() };
    let done = gateway.board.interventions(&wanted).await?;
    let mine = done.iter().find(|one| one.by == call.caller.subject.as_str() && one.action == kind.as_str());
    Ok(shown_with(&row, mine))
}

/// The booking with what came of a move: 202 while that is not known.
fn shown_with(row: &Row, done: Option<&board::Intervention>) -> Response {
    let outcome = done.and_then(|done| done.outcome.clone());
    let status = if outcome.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut shown = uniform(row);
    shown["outcome"] = json!(outcome);
    json(status, &shown)
}

fn reason(fields: &Fields, known: &[&str]) -> Result<String, Problem> {
    fields.only(known)?;
    needed(fields.text("reason", REASON_MAX)?, "reason", "why, in a sentence")
}

const fn known(kind: Move) -> &'static [&'static str] {
    match kind {
        Move::Retry | Move::Skip => &["reason"],
        Move::Resolve => &["reason", "reference"],
        Move::WriteOff => &["reason", "amount"],
    }
}

fn action(kind: Move, fields: &Fields, row: &Row) -> Result<Action, Problem> {
    Ok(match kind {
        Move::Retry => Action::Retry,
        Move::Skip => Action::Skip,
        Move::Resolve => {
            let reference = fields.text("reference", REFERENCE_MAX)?;
            Action::Resolve { reference: needed(reference, "reference", "what it is called where it was done")? }
        }
        Move::WriteOff => {
            let expected = "all that is at risk, in minor units";
            let amount = needed(fields.number("amount", 1..=AMOUNT_MAX_MINOR)?, "amount", expected)?;
            let price = row.price.ok_or_else(|| Problem::new(Code::NotStuck).with("stage", row.stage.clone()))?;
            let amount = Money::new(amount, price.currency());
            Action::WriteOff { amount: amount.map_err(|error| Problem::field("amount", &error.to_string()))? }
        }
    })
}

fn dry_run(call: &Call) -> Result<bool, Problem> {
    match call.query.get("dry_run").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::field("dry_run", "true or false")),
    }
}

/// What a move would do, without making it.
async fn foresee(gateway: &Gateway, row: &Row, action: Action) -> Result<Response, Problem> {
    let name = action.kind().as_str();
    if row.ending.is_some() {
        return Err(Problem::new(Code::NotStuck).with("stage", row.stage.clone()));
    }
    match gateway.ask(row, "foresee", action).await? {
        Foresight::Allowed(preview) => {
            let mut shown = json!(preview);
            shown["move"] = json!(name);
            shown["dry_run"] = json!(true);
            Ok(json(StatusCode::OK, &shown))
        }
        Foresight::Refused { code } => Err(Problem::named(&code).with("stage", row.stage.clone())),
    }
}

/// What this caller has said under this key before.
async fn recorded(gateway: &Gateway, row: &Row, said: &Intervention) -> Result<Option<board::Intervention>, Problem> {
    let Some(key) = said.key.clone() else { return Ok(None) };
    let said_before = Some((said.by.to_string(), key));
    let wanted = Interventions { booking: Some(row.booking), said: said_before, before: None, limit: 1 };
    let done = gateway.board.interventions(&wanted).await?;
    let Some(done) = done.into_iter().next() else { return Ok(None) };
    let (kind, details) = (said.action.kind().as_str(), board::details(&said.action));
    if (done.action.as_str(), &done.reason, &done.details) == (kind, &said.reason, &details) {
        Ok(Some(done))
    } else {
        Err(Problem::new(Code::IdempotencyKeyReused))
    }
}

/// Asks every stuck booking that is chosen to try again, if there are as many as the caller expects.
async fn retry_all(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    call.only_query(&["system", "step", "cause", "dry_run"])?;
    let chosen = filter(call, None, BULK_MAX)?;
    let found = count(gateway, &chosen).await?;
    if dry_run(call)? {
        return Ok(json(StatusCode::OK, &json!({ "dry_run": true, "count": found, "at_once_max": BULK_MAX })));
    }
    let fields = call.fields()?;
    let reason = reason(&fields, &["reason", "expected"])?;
    let expected = fields.number("expected", 0..=i64::MAX)?;
    let expected = needed(expected, "expected", "how many bookings that will be; ask with ?dry_run=true")?;
    if expected != found {
        return Err(Problem::new(Code::CountDiffers).with("count", found));
    }
    let page = gateway.board.page(&chosen).await?;
    let asked = stream::iter(page.rows).map(|row| retry(gateway, call, row, reason.clone()));
    let heard = asked.buffer_unordered(AT_ONCE).filter(|heard| std::future::ready(*heard)).count().await;
    Ok(json(StatusCode::ACCEPTED, &json!({ "count": found, "retried": heard })))
}

/// Asks one booking to try again. Was it heard?
async fn retry(gateway: &Gateway, call: &Call, row: Row, reason: String) -> bool {
    let what = format!("{}@{}", Move::Retry.as_str(), row.version);
    let by = call.caller.subject.clone();
    let body = json!(Intervention { by, reason, key: None, action: Action::Retry });
    gateway.say(call, &row, Message { update: "intervene", what: what.into(), body }).await.is_ok()
}

async fn audit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    call.only_query(&["booking", "cursor", "limit"])?;
    let (before, limit) = call.page()?;
    let booking = match call.query.get("booking").map(|id| id.parse()) {
        None => None,
        Some(Ok(booking)) => Some(booking),
        Some(Err(_)) => return Err(Problem::field("booking", "the id of a booking")),
    };
    let wanted = Interventions { booking, said: None, before, limit };
    let done = gateway.board.interventions(&wanted).await?;
    let next = next(&done, limit, |one| one.place);
    Ok(json(StatusCode::OK, &json!({ "interventions": done, "next": next })))
}
