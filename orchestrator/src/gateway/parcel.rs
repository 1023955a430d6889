//! Parcel delivery over HTTP: its paths, its fields, and its words for where a parcel is.
//!
//! The words (`Registered`, `BeforeChecked`, `Finish`, ...) are those of the system's first clients and live only here.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, needed},
    desk::{self, Paid, reached, time},
    problem::{Code, Problem},
    routes::{Access, BEGUN, Route, TOLD},
    shape::{CURRENCY, Field, METHOD, REASON, REFUNDED, STAGE, Shape, VERSION},
    start::Wanted,
    systems::{Reading, System},
};
use crate::{board::Filter, host::Kind};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Row, Subject},
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

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[Role::Courier],
    order: "/parcel/requests",
    paid: Some(Stage::Paid.as_str()),
    shelf: None,
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/parcel/requests", MEMBERS, "Asks for parcels to be delivered.", |gateway, call| {
        Box::pin(async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, request).await })
    })
    .takes(&[Field::number("qty", "How many parcels.", "1").needed(), METHOD])
    .begins(&REQUEST)
    .refuses(&[BEGUN]),
    Route::get("/parcel/requests", Access::SignedIn, "Lists requests, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "requests", request).await })
    })
    .lists("requests", &REQUEST),
    Route::get("/parcel/requests/{booking}", Access::SignedIn, "Shows a request.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, request).await })
    })
    .shows(&REQUEST),
    Route::patch(
        "/parcel/requests/{booking}",
        MEMBERS,
        "Cancels a request that is not picked up yet: the money goes back.",
        |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    )
    .takes(&[Field::choice("status", "What it is to become.", &["ReqCanceled"], "ReqCanceled").needed()])
    .moves(&REQUEST)
    .refuses(&[TOLD]),
    Route::get("/parcel/payments", Access::SignedIn, "Lists payments, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await })
    })
    .lists("payments", &PAYMENT),
    Route::get("/parcel/payments/{booking}", Access::SignedIn, "Shows the payment of a request.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await })
    })
    .shows(&PAYMENT),
    Route::get("/parcel/deliveries", Access::SignedIn, "Lists deliveries, newest first.", |gateway, call| {
        Box::pin(async move { deliveries(&gateway, &call).await })
    })
    .asks(&[Field::flag("waiting", "Only those that wait for a courier.")])
    .lists("deliveries", &DELIVERY),
    Route::get("/parcel/deliveries/{booking}", Access::SignedIn, "Shows a delivery.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, delivery).await })
    })
    .shows(&DELIVERY),
    Route::put("/parcel/deliveries/{booking}", COURIERS, "Says where a parcel is.", |gateway, call| {
        Box::pin(async move { report(&gateway, &call).await })
    })
    .takes(&[
        Field::choice("status", "How far it has come.", &["PickedUp", "Finish"], "PickedUp").needed(),
        Field::text_to(100, "courierName", "Who carries it.", "Lee"),
        Field::text("location", "Where it is.", "Seoul"),
    ])
    .moves(&DELIVERY)
    .refuses(&[TOLD, &[Code::OwnRequest]]),
    Route::get(
        "/parcel/points",
        Access::SignedIn,
        "Lists loyalty points: your own, or everybody's for an administrator.",
        |gateway, call| Box::pin(async move { points(&gateway, &call).await }),
    )
    .lists("points", &POINTS),
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
    let after = match call.query.get("cursor") {
        None => String::new(),
        Some(after) if after.parse::<Subject>().is_ok() => after.clone(),
        Some(_) => return Err(Problem::field("cursor", "the `next` of another page")),
    };
    let mut points = gateway.points(of, &after).await?;
    let limit = usize::try_from(call.limit()?).unwrap_or(POINTS_PAGE);
    let more = points.len() >= POINTS_PAGE || points.len() > limit;
    points.truncate(limit);
    let next = points.last().filter(|_| more).map(|last| last["memberId"].clone());
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

const MEMBER: Field = Field::text("memberId", "Whose it is: their subject.", "ada");
const DELIVERY_STATUS: Field = Field::choice(
    "deliveryStatus",
    "Where the parcels are.",
    &["BeforeChecked", "PickedUp", "Finish", "Canceled"],
    "BeforeChecked",
)
.or_null();
const PARCEL_PRICE: Field = Field::amount("price", "What it costs, in minor units.", "3000").or_null();
const REQUEST: Shape = Shape::new(
    "ParcelRequest",
    &[
        Field::id("id", "Its id."),
        MEMBER,
        Field::number("qty", "How many parcels.", "1").or_null(),
        PARCEL_PRICE,
        CURRENCY,
        Field::choice("status", "Whether it stands.", &["Registered", "ReqCanceled"], "Registered"),
        DELIVERY_STATUS,
        REASON,
        STAGE,
        VERSION,
    ],
);

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

const PAYMENT: Shape = Shape::new(
    "ParcelPayment",
    &[
        Field::id("id", "Its id."),
        Field::id("requestId", "Of which request."),
        MEMBER,
        PARCEL_PRICE,
        CURRENCY,
        Field::choice("status", "Where the money is.", &["Requested", "Paid", "PayCanceled", "Declined"], "Paid"),
        Field::moment("paidDate", "When it was taken.").or_null(),
        REFUNDED,
        VERSION,
    ],
);

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

const DELIVERY: Shape = Shape::new(
    "Delivery",
    &[
        Field::id("id", "Its id."),
        Field::id("requestId", "Of which request."),
        MEMBER,
        Field::text("courierName", "Who carries it.", "Lee").or_null(),
        Field::text("location", "Where it is.", "Seoul").or_null(),
        Field::choice(
            "status",
            "Where the parcels are.",
            &["BeforeChecked", "PickedUp", "Finish", "Canceled"],
            "PickedUp",
        )
        .or_null(),
        Field::moment("pickedUpDate", "When they were picked up.").or_null(),
        Field::moment("finishedDate", "When they arrived.").or_null(),
        VERSION,
    ],
);
const POINTS: Shape = Shape::new("Points", &[MEMBER, Field::count("point", "How many.", "100")]);

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
