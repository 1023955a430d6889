//! Parcel delivery over HTTP: its paths, its fields, and its words for where a parcel is.
//!
//! The words (`Registered`, `BeforeChecked`, `Finish`, ...) are those of the system's first clients and live only here.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, needed},
    desk::{self, Paid, reached, time},
    problem::Problem,
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
    booking::{Ending, Row},
    money::Money,
    parcel::{COURIER, LOCATION, Leg, Parcel, Report, Stage},
    saga::{Booking as _, stage},
};

const NAME: &str = Parcel::SYSTEM;
static KIND: &Kind = &Kind::of::<Parcel>();
const MEMBERS: Access = Access::Any(&[Role::Member]);
const COURIERS: Access = Access::Any(&[Role::Courier]);
/// How many members a page of points has, as the fulfilment worker gives them.
const POINTS_PAGE: usize = 200;
/// How many parcels one request may be for.
const PARCELS_MAX: i64 = 100;

pub(super) const SYSTEM: System = System { name: NAME, routes: ROUTES, staff: &[Role::Courier], read };

const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/parcel/requests",
        access: MEMBERS,
        serve: |gateway, call| {
            Box::pin(async move {
                desk::order(&gateway, &call, &call.fields()?, &SYSTEM, "/parcel/requests", request).await
            })
        },
    },
    Route {
        method: Method::GET,
        path: "/parcel/requests",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "requests", request).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/requests/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, request).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/parcel/requests/{}",
        access: MEMBERS,
        serve: |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/payments",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/payments/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/deliveries",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { deliveries(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/deliveries/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, delivery).await }),
    },
    Route {
        method: Method::PUT,
        path: "/parcel/deliveries/{}",
        access: COURIERS,
        serve: |gateway, call| Box::pin(async move { report(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/parcel/points",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { points(&gateway, &call).await }),
    },
];

/// Reads what a member asks for. The price is ours: so much for each parcel.
fn read<'a>(gateway: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let parcels = needed(fields.number("qty", 1..=PARCELS_MAX)?, "qty", "how many parcels")?;
        let price = Money::new(gateway.parcel_price_minor * parcels, Currency::KRW);
        let price = price.map_err(|error| Problem::field("qty", &error.to_string()))?;
        let details = BTreeMap::from([("qty".to_owned(), parcels.to_string())]);
        let method = fields.text("paymentMethod", 64)?;
        Ok(Wanted { price: Some(price), details, method, ..Wanted::request(KIND, fields.canonical()) })
    })
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["status"])?;
    if fields.text("status", 20)?.as_deref() != Some("ReqCanceled") {
        return Err(Problem::field("status", "ReqCanceled"));
    }
    let row = desk::own(gateway, call, NAME).await?;
    desk::cancel(gateway, call, &row, request).await
}

/// What is paid: on its way to a courier, with one, or there.
async fn deliveries(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let waiting = call.query.contains_key("waiting");
    let waiting_for = waiting.then(|| "courier".to_owned());
    desk::list_where(gateway, call, NAME, "deliveries", delivery, Filter { waiting_for, ..Filter::default() }).await
}

/// A courier says where a parcel is. What the body says of its owner and its request is not read.
async fn report(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let (status, progress) = match fields.text("status", 20)?.as_deref() {
        Some("Finish") => (Stage::Delivered, Leg::Delivered),
        Some("PickedUp") => (Stage::PickedUp, Leg::PickedUp),
        _ => return Err(Problem::field("status", "PickedUp or Finish")),
    };
    let row = gateway.booking(call, call.booking(0)?, Some(NAME)).await?;
    let courier = fields.text("courierName", 100)?;
    let location = fields.text("location", 200)?;
    let there = location.clone();
    let effect = move |row: &Row| {
        // Once it is there, nothing about it changes.
        let told = there.is_none() || row.details.get(LOCATION) == there.as_ref() || row.ending.is_some();
        reached(row, status.as_str()) && told
    };
    let body = Report { by: call.caller.subject.clone(), progress, courier, location };
    desk::say(gateway, call, &row, "report", body, effect, delivery).await
}

/// What members have: their own, or everybody's for those who see all.
async fn points(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let of = (!call.caller.sees_all()).then(|| call.caller.subject.as_str());
    let points = gateway.points(of, call.query.get("cursor").map_or("", String::as_str)).await?;
    let next = points.last().filter(|_| points.len() >= POINTS_PAGE).map(|last| last["memberId"].clone());
    Ok(json(StatusCode::OK, &json!({ "points": points, "next": next })))
}

// Words.

fn request_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Undone { .. }) => "ReqCanceled",
        None if reached(row, stage::UNDOING) => "ReqCanceled",
        Some(Ending::Completed) | None => "Registered",
    }
}

fn delivery_status(row: &Row) -> Option<&'static str> {
    if reached(row, Stage::Delivered.as_str()) {
        Some("Finish")
    } else if reached(row, Stage::PickedUp.as_str()) {
        Some("PickedUp")
    } else if reached(row, stage::UNDOING) || row.ending.is_some() {
        Some("Canceled")
    } else {
        reached(row, Stage::Paid.as_str()).then_some("BeforeChecked")
    }
}

fn request(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking,
        "memberId": row.customer,
        "qty": row.details.get("qty").and_then(|parcels| parcels.parse::<i64>().ok()),
        "price": price,
        "currency": currency,
        "status": request_status(row),
        "deliveryStatus": delivery_status(row),
        "reason": row.reason,
        "stage": row.stage,
        "version": row.version,
    })
}

fn payment(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking,
        "requestId": row.booking,
        "memberId": row.customer,
        "price": price,
        "currency": currency,
        "status": match desk::paid(row, Stage::Paid.as_str()) {
            Paid::Pending => "Requested",
            Paid::Taken => "Paid",
            Paid::Refunded | Paid::Never => "PayCanceled",
            Paid::Declined => "Declined",
        },
        "paidDate": time(row, Stage::Paid.as_str()),
        "refundedDate": time(row, "refunded"),
        "version": row.version,
    })
}

fn delivery(row: &Row) -> Value {
    json!({
        "id": row.booking,
        "requestId": row.booking,
        "memberId": row.customer,
        "courierName": row.details.get(COURIER),
        "location": row.details.get(LOCATION),
        "status": delivery_status(row),
        "pickedUpDate": time(row, Stage::PickedUp.as_str()),
        "finishedDate": time(row, Stage::Delivered.as_str()),
        "version": row.version,
    })
}
