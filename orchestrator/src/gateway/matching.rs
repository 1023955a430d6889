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
    routes::{Access, Route},
    start::Wanted,
    systems::{Reading, System},
};
use crate::{board::Filter, host::Kind};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};
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

pub(super) const SYSTEM: System = System { name: NAME, routes: ROUTES, staff: &[Role::Teacher], read };

const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/matching/matches",
        access: MEMBERS,
        serve: |gateway, call| {
            Box::pin(async move {
                desk::order(&gateway, &call, &call.fields()?, &SYSTEM, "/matching/matches", matching).await
            })
        },
    },
    Route {
        method: Method::GET,
        path: "/matching/matches",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "matches", matching).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/matches/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, matching).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/matching/matches/{}",
        access: MEMBERS,
        serve: |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/payments",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/payments/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/visitReqLists",
        access: TEACHERS,
        serve: |gateway, call| Box::pin(async move { open(&gateway, &call).await }),
    },
    Route {
        method: Method::POST,
        path: "/matching/visits",
        access: TEACHERS,
        serve: |gateway, call| Box::pin(async move { visit(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/visits",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { visits(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/visits/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, visit_of).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/matching/visits/{}",
        access: TEACHERS,
        serve: |gateway, call| Box::pin(async move { finish(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/myPages",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "myPages", my_page).await }),
    },
    Route {
        method: Method::GET,
        path: "/matching/myPages/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, my_page).await }),
    },
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

/// What a teacher sees before they take it: not whose it is.
fn listed(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking, "price": price, "currency": currency, "listedDate": time(row, Stage::Listed.as_str()),
        "deadline": row.deadline_at,
    })
}

fn visit_of(row: &Row) -> Value {
    json!({
        "matchId": row.booking,
        "teacher": row.details.get(TEACHER),
        "visitDate": row.details.get(VISIT_DATE),
        "status": match_status(row),
        "version": row.version,
    })
}

fn my_page(row: &Row) -> Value {
    let mut page = matching(row);
    page["status"] = json!(last_event(row));
    page["teacher"] = json!(row.details.get(TEACHER));
    page["visitDate"] = json!(row.details.get(VISIT_DATE));
    page["refundedDate"] = json!(time(row, "refunded"));
    page["transitions"] = transitions(row);
    page
}
