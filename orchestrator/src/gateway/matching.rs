//! Teacher matching over HTTP: its paths, its fields, and its words for where a request is.
//!
//! The words (`matchRequest`, `VisitAssigned`, `cancel`, ...) are those of the system's first clients and live only here.
//! A student may name a request by a reference of their own: it is theirs alone, and never overwrites anything.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, located, needed},
    desk::{self, Paid, reached, stands, time},
    problem::{Code, Problem},
    routes::{Access, BEGUN, Gives, Route, TOLD},
    shape::{CURRENCY, DEADLINE, Field, METHOD, REASON, REFUNDED, STAGE, Shape, USER, VERSION},
    start::Wanted,
    systems::{Reading, System},
};
use crate::{board::Filter, host::Kind};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{BookingId, Ending, Row},
    matching::{Matching, Stage, TEACHER, VISIT_DATE, Visit},
    saga::{Booking as _, stage},
};

use super::start::booking_of_reference;

const NAME: &str = Matching::SYSTEM;
static KIND: &Kind = &Kind::of::<Matching>();
const MEMBERS: Access = Access::Any(&[Role::Member]);
const TEACHERS: Access = Access::Any(&[Role::Teacher]);
const REFERENCE: &str = "reference";

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[Role::Teacher],
    order: "/matching/matches",
    paid: Some(Stage::Listed.as_str()),
    shelf: None,
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/matching/matches", MEMBERS, "Asks for a teacher, and offers a price.", |gateway, call| {
        Box::pin(async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, matching).await })
    })
    .takes(&[
        Field::amount("price", "What you offer, in minor units.", "50000").needed(),
        CURRENCY,
        Field::text_to(64, "id", "A reference of your own: as good as an idempotency key.", "17"),
        METHOD,
    ])
    .begins(&MATCH)
    .refuses(&[BEGUN]),
    Route::get("/matching/matches", Access::SignedIn, "Lists requests, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "matches", matching).await })
    })
    .lists("matches", &MATCH),
    Route::get("/matching/matches/{match}", Access::SignedIn, "Shows a request.", |gateway, call| {
        Box::pin(async move { one(&gateway, &call, matching).await })
    })
    .shows(&MATCH),
    Route::patch("/matching/matches/{match}", MEMBERS, "Cancels a request: the money goes back.", |gateway, call| {
        Box::pin(async move { cancel(&gateway, &call).await })
    })
    .takes(&[Field::choice("status", "What it is to become.", &["cancel"], "cancel").needed()])
    .moves(&MATCH)
    .refuses(&[TOLD]),
    Route::get("/matching/payments", Access::SignedIn, "Lists payments, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await })
    })
    .lists("payments", &PAYMENT),
    Route::get("/matching/payments/{match}", Access::SignedIn, "Shows the payment of a request.", |gateway, call| {
        Box::pin(async move { one(&gateway, &call, payment).await })
    })
    .shows(&PAYMENT),
    Route::get("/matching/visitReqLists", TEACHERS, "Lists what is paid and waits for a teacher.", |gateway, call| {
        Box::pin(async move { open(&gateway, &call).await })
    })
    .lists("visitReqLists", &OPEN),
    Route::post("/matching/visits", TEACHERS, "Takes a request: the first teacher has it.", |gateway, call| {
        Box::pin(async move { visit(&gateway, &call).await })
    })
    .takes(&[
        Field::text_to(64, "matchId", "Which request.", "0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42").needed(),
        Field::text_to(100, "teacher", "Your name.", "Mr Kim").needed(),
        Field::text_to(100, "visitDate", "When you come.", "2027-07-01").needed(),
    ])
    .gives(&[201, 202], Gives::Row(&VISIT))
    .refuses(&[TOLD, &[Code::AlreadyAssigned, Code::OwnRequest]]),
    Route::get("/matching/visits", Access::SignedIn, "Lists visits that are fixed.", |gateway, call| {
        Box::pin(async move { visits(&gateway, &call).await })
    })
    .lists("visits", &VISIT),
    Route::get("/matching/visits/{match}", Access::SignedIn, "Shows a visit.", |gateway, call| {
        Box::pin(async move { one(&gateway, &call, visit_of).await })
    })
    .shows(&VISIT),
    Route::patch("/matching/visits/{match}", TEACHERS, "Says that the class is finished.", |gateway, call| {
        Box::pin(async move { finish(&gateway, &call).await })
    })
    .takes(&[Field::choice("status", "What it is to become.", &["classFinished"], "classFinished").needed()])
    .moves(&VISIT)
    .refuses(&[TOLD]),
    Route::get(
        "/matching/myPages",
        Access::SignedIn,
        "Lists requests with what has happened to them.",
        |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "myPages", my_page).await }),
    )
    .lists("myPages", &MY_PAGE),
    Route::get(
        "/matching/myPages/{match}",
        Access::SignedIn,
        "Shows a request with what has happened to it.",
        |gateway, call| Box::pin(async move { one(&gateway, &call, my_page).await }),
    )
    .shows(&MY_PAGE),
];

// Requests.

/// Reads what a student asks for. Here, and only here, the caller names the price: it is an offer.
fn read<'a>(gateway: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let price = needed(
            desk::amount(fields, "price", Currency::KRW)?,
            "price",
            "what you offer, a whole number of minor units",
        )?;
        let bounds = &gateway.bids;
        if !bounds.contains(&price.amount_minor()) {
            return Err(Problem::field("price", &format!("an offer from {} to {}", bounds.start(), bounds.end())));
        }
        let reference = match fields.number("id", 1..=i64::MAX) {
            Ok(number) => number.map(|number| number.to_string()),
            Err(_) => fields.text("id", 64)?,
        };
        let mut details = BTreeMap::new();
        details.extend(reference.clone().map(|reference| (REFERENCE.to_owned(), reference)));
        let method = fields.text("paymentMethod", 64)?;
        let asked = Wanted::request(KIND, fields.canonical());
        Ok(Wanted { price: Some(price), details, method, reference, ..asked })
    })
}

/// A request by its id, or by the caller's own reference.
async fn found(gateway: &Gateway, call: &Call, named: &str) -> Result<Row, Problem> {
    let by_reference = || booking_of_reference(&call.caller.subject, NAME, named);
    let booking: BookingId = named.parse().unwrap_or_else(|_| by_reference());
    gateway.booking(call, booking, Some(NAME)).await
}

fn named(call: &Call) -> &str {
    call.parameters.first().map(String::as_str).unwrap_or_default()
}

async fn one(gateway: &Gateway, call: &Call, show: desk::Show) -> Result<Response, Problem> {
    let row = found(gateway, call, named(call)).await?;
    Ok(desk::shown(StatusCode::OK, &row, show))
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["status"])?;
    if fields.text("status", 20)?.as_deref() != Some("cancel") {
        return Err(Problem::field("status", "cancel"));
    }
    let row = found(gateway, call, named(call)).await?;
    if row.customer != call.caller.subject {
        return Err(Problem::new(Code::Forbidden));
    }
    desk::cancel(gateway, call, &row, matching).await
}

// Visits.

/// What is paid and still open, for any teacher.
async fn open(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let open = Filter { stage: Some(Stage::Listed.as_str().to_owned()), ..Filter::default() };
    desk::list_where(gateway, call, NAME, "visitReqLists", listed, open).await
}

async fn visits(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fixed = Filter { stage: Some(Stage::Assigned.as_str().to_owned()), ..Filter::default() };
    desk::list_where(gateway, call, NAME, "visits", visit_of, fixed).await
}

/// A teacher takes a request: the first one has it.
async fn visit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let named = needed(fields.text("matchId", 64)?, "matchId", "the id of a request")?;
    let teacher = needed(fields.text("teacher", 100)?, "teacher", "your name")?;
    let visit_date = needed(fields.text("visitDate", 100)?, "visitDate", "when you come")?;
    let row = found(gateway, call, &named).await?;
    let (name, date) = (teacher.clone(), visit_date.clone());
    let effect = move |row: &Row| {
        stands(row) && row.details.get(TEACHER) == Some(&name) && row.details.get(VISIT_DATE) == Some(&date)
    };
    let body = Visit { by: call.caller.subject.clone(), teacher, visit_date };
    let mut response = desk::say(gateway, call, &row, "visit", body, effect, visit_of).await?;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(located(response, &format!("/matching/visits/{}", row.booking)))
}

async fn finish(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["status"])?;
    if fields.text("status", 20)?.as_deref() != Some("classFinished") {
        return Err(Problem::field("status", "classFinished"));
    }
    let row = found(gateway, call, named(call)).await?;
    desk::complete(gateway, call, &row, visit_of).await
}

// Words.

fn match_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Completed) => "classFinished",
        Some(Ending::Undone { .. }) => "VisitCanceled",
        None if reached(row, stage::UNDOING) => "cancel",
        None if reached(row, Stage::Assigned.as_str()) => "VisitAssigned",
        None => "matchRequest",
    }
}

/// The last that happened, by the name of its event.
fn last_event(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Completed) => "classFinished",
        Some(Ending::Undone { .. }) => "VisitCanceled",
        None if reached(row, "refunded") => "PaymentCanceled",
        None if reached(row, stage::UNDOING) => "MatchCanceled",
        None if reached(row, Stage::Assigned.as_str()) => "VisitAssigned",
        None if reached(row, Stage::Listed.as_str()) => "PaymentApproved",
        None => "MatchRequested",
    }
}

/// What has happened, in order: the five changes that are recorded of every request, as far as it has come.
fn transitions(row: &Row) -> Value {
    let named = [
        ("MatchRequested", stage::REQUESTED),
        ("PaymentApproved", Stage::Listed.as_str()),
        ("VisitAssigned", Stage::Assigned.as_str()),
        ("PaymentCanceled", "refunded"),
        ("VisitCanceled", stage::UNDONE),
        ("classFinished", Stage::Visited.as_str()),
    ];
    let happened = named.iter().filter_map(|(event, stage)| Some(json!({ "event": event, "at": time(row, stage)? })));
    happened.collect()
}

const BID: Field = Field::amount("price", "What is offered, in minor units.", "50000").or_null();
const MATCH_STATUS: Field = Field::choice(
    "status",
    "How far it is.",
    &["matchRequest", "VisitAssigned", "cancel", "VisitCanceled", "classFinished"],
    "matchRequest",
);
const MATCH: Shape = Shape::new(
    "Match",
    &[
        Field::id("id", "Its id."),
        Field::text("reference", "The student's own.", "17").or_null(),
        USER,
        BID,
        CURRENCY,
        MATCH_STATUS,
        REASON,
        DEADLINE,
        STAGE,
        VERSION,
    ],
);

fn matching(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking,
        "reference": row.details.get(REFERENCE),
        "userId": row.customer,
        "price": price,
        "currency": currency,
        "status": match_status(row),
        "reason": row.reason,
        "deadline": row.deadline_at,
        "stage": row.stage,
        "version": row.version,
    })
}

const PAYMENT: Shape = Shape::new(
    "MatchPayment",
    &[
        Field::id("matchId", "Of which request."),
        BID,
        CURRENCY,
        Field::choice(
            "paymentAction",
            "Where the money is.",
            &["Requested", "Approved", "Cancel", "Declined"],
            "Approved",
        ),
        Field::moment("paidDate", "When it was taken.").or_null(),
        REFUNDED,
        VERSION,
    ],
);

fn payment(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "matchId": row.booking,
        "price": price,
        "currency": currency,
        "paymentAction": match desk::paid(row, Stage::Listed.as_str()) {
            Paid::Pending => "Requested",
            Paid::Taken => "Approved",
            Paid::Refunded | Paid::Never => "Cancel",
            Paid::Declined => "Declined",
        },
        "paidDate": time(row, Stage::Listed.as_str()),
        "refundedDate": time(row, "refunded"),
        "version": row.version,
    })
}

const OPEN: Shape = Shape::new(
    "OpenMatch",
    &[
        Field::id("id", "Its id."),
        BID,
        CURRENCY,
        Field::moment("listedDate", "Since when it waits.").or_null(),
        DEADLINE,
    ],
);

/// What a teacher sees before they take it: not whose it is.
fn listed(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking, "price": price, "currency": currency, "listedDate": time(row, Stage::Listed.as_str()),
        "deadline": row.deadline_at,
    })
}

const VISIT: Shape = Shape::new(
    "Visit",
    &[
        Field::id("matchId", "Of which request."),
        Field::text("teacher", "Who comes.", "Mr Kim").or_null(),
        Field::text("visitDate", "When.", "2027-07-01").or_null(),
        MATCH_STATUS,
        VERSION,
    ],
);

fn visit_of(row: &Row) -> Value {
    json!({
        "matchId": row.booking,
        "teacher": row.details.get(TEACHER),
        "visitDate": row.details.get(VISIT_DATE),
        "status": match_status(row),
        "version": row.version,
    })
}

const TRANSITION: Shape =
    Shape::new("Transition", &[Field::text("event", "What happened.", "MatchRequested"), Field::moment("at", "When.")]);
const MY_PAGE: Shape = Shape::new(
    "MatchMyPage",
    &[
        Field::text("status", "What happened last.", "PaymentApproved"),
        Field::text("teacher", "Who comes.", "Mr Kim").or_null(),
        Field::text("visitDate", "When.", "2027-07-01").or_null(),
        REFUNDED,
        Field::list("transitions", "What has happened, in order.", &TRANSITION),
    ],
)
.and(&MATCH);

fn my_page(row: &Row) -> Value {
    let mut page = matching(row);
    page["status"] = json!(last_event(row));
    page["teacher"] = json!(row.details.get(TEACHER));
    page["visitDate"] = json!(row.details.get(VISIT_DATE));
    page["refundedDate"] = json!(time(row, "refunded"));
    page["transitions"] = transitions(row);
    page
}
