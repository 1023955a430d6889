//! Resorts over HTTP: their paths, their fields, and their words for where a reservation is.
//!
//! The words (`Not Available`, `Waiting for payment`, `Cancelled` beside `Canceled`, ...) are those of the system's first
//! clients and live only here.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, located, needed, next},
    catalogue::{Change, Item, NewItem},
    desk::{self, Paid, reached, stands, time},
    problem::{Code, Problem},
    routes::{Access, BEGUN, Gives, HELD, Route, SEEN, TOLD},
    shape::{CURRENCY, DEADLINE, Field, METHOD, REASON, REFUNDED, STAGE, Shape, USER, VERSION},
    start::Wanted,
    systems::{Reading, Shelf, System},
};
use crate::{board::Filter, host::Kind};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Period, Row},
    resort::{Payment, Resort, Stage},
    saga::Booking as _,
};

use super::{
    systems::may_see,
    when::{Now, to_come},
};

const NAME: &str = Resort::SYSTEM;
static KIND: &Kind = &Kind::of::<Resort>();
const ADMINS: Access = Access::Any(&[Role::Admin]);
const MEMBERS: Access = Access::Any(&[Role::Member]);
const SENDERS: Access = Access::Any(&[Role::Sender]);
const DAYS: &str = "days such as 7/23~25 or 7/30~8/2, still to come";

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[Role::Sender],
    order: "/resort/reservations",
    paid: Some(Stage::Paid.as_str()),
    shelf: Some(Shelf {
        path: "/resort/resorts",
        list: "resorts",
        number: "id",
        title: "resortName",
        wanted: "resortId",
    }),
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/resort/resorts", ADMINS, "Registers a resort for some days.", |gateway, call| {
        Box::pin(async move { register(&gateway, &call).await })
    })
    .takes(&[
        Field::text("resortName", "Its name.", "Sea View").needed(),
        Field::text_to(100, "resortType", "What kind it is.", "Hotel"),
        Field::text_to(40, "resortPeriod", "The days it is offered for, in its own time zone.", "7/23~25").needed(),
        Field::number("resortYear", "Their year; the next that fits without.", "2027"),
        Field::text_to(64, "timeZone", "Its time zone.", "Asia/Seoul"),
        Field::amount("resortPrice", "What the stay costs, in minor units.", "100000").needed(),
        CURRENCY,
    ])
    .gives(&[201], Gives::One(&RESORT)),
    Route::get(
        "/resort/resorts",
        Access::SignedIn,
        "Lists the resorts, and whether they are available.",
        |gateway, call| Box::pin(async move { resorts(&gateway, &call).await }),
    )
    .lists("resorts", &RESORT),
    Route::get("/resort/resorts/{item}", Access::SignedIn, "Shows a resort.", |gateway, call| {
        Box::pin(async move { resort(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&RESORT))
    .refuses(&[&[Code::UnknownItem]]),
    Route::patch(
        "/resort/resorts/{item}",
        ADMINS,
        "Changes a resort. Reservations that have begun keep what they agreed on.",
        |gateway, call| Box::pin(async move { edit(&gateway, &call).await }),
    )
    .takes(&[
        Field::text("resortName", "Its new name.", "Sea View"),
        Field::text_to(100, "resortType", "What kind it is.", "Hotel"),
        Field::text_to(40, "resortPeriod", "The days it is offered for.", "7/26~28"),
        Field::number("resortYear", "Their year; the next that fits without.", "2027"),
        Field::text_to(64, "timeZone", "Its time zone.", "Asia/Seoul"),
        Field::amount("resortPrice", "What the stay costs from now on.", "120000"),
        CURRENCY,
    ])
    .gives(&[200], Gives::One(&RESORT))
    .refuses(&[&[Code::UnknownItem]]),
    Route::delete(
        "/resort/resorts/{item}",
        ADMINS,
        "Takes a resort off the catalogue, unless it is booked.",
        |gateway, call| Box::pin(async move { desk::remove(&gateway, &call, NAME).await }),
    )
    .refuses(&[&[Code::UnknownItem, Code::ItemInUse]]),
    Route::post(
        "/resort/reservations",
        MEMBERS,
        "Asks for a resort, for the days it is offered for or as many others.",
        |gateway, call| {
            Box::pin(
                async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, reservation).await },
            )
        },
    )
    .takes(&[
        Field::number("resortId", "Which resort.", "1").needed(),
        Field::text_to(100, "memberName", "Who stays.", "Ada"),
        Field::text_to(40, "resortPeriod", "Other days, as many.", "7/26~28"),
        Field::number("resortYear", "Their year; the next that fits without.", "2027"),
        METHOD,
    ])
    .begins(&RESERVATION)
    .refuses(&[BEGUN, HELD]),
    Route::get("/resort/reservations", Access::SignedIn, "Lists reservations, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "reservations", reservation).await })
    })
    .lists("reservations", &RESERVATION),
    Route::get("/resort/reservations/{booking}", Access::SignedIn, "Shows a reservation.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, reservation).await })
    })
    .shows(&RESERVATION),
    Route::patch(
        "/resort/reservations/{booking}",
        MEMBERS,
        "Cancels a reservation: money back, voucher void.",
        |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    )
    .takes(&[Field::choice("resortStatus", "What it is to become.", &["Cancelled", "Canceled"], "Cancelled").needed()])
    .moves(&RESERVATION)
    .refuses(&[TOLD]),
    Route::get("/resort/payments", Access::SignedIn, "Lists payments, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await })
    })
    .lists("payments", &PAYMENT),
    Route::get(
        "/resort/payments/{booking}",
        Access::SignedIn,
        "Shows the payment of a reservation.",
        |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await }),
    )
    .shows(&PAYMENT),
    Route::patch("/resort/payments/{booking}", MEMBERS, "Pays for a confirmed reservation.", |gateway, call| {
        Box::pin(async move { pay(&gateway, &call).await })
    })
    .takes(&[Field::choice("reservStatus", "What it is to become.", &["Paid"], "Paid").needed(), METHOD])
    .moves(&PAYMENT)
    .refuses(&[TOLD]),
    Route::get("/resort/vouchers", Access::SignedIn, "Lists vouchers, newest first.", |gateway, call| {
        Box::pin(async move { vouchers(&gateway, &call).await })
    })
    .lists("vouchers", &VOUCHER),
    Route::get(
        "/resort/vouchers/{booking}",
        Access::SignedIn,
        "Shows a voucher, with its code for whose it is and who sends it.",
        |gateway, call| Box::pin(async move { voucher(&gateway, &call).await }),
    )
    .gives(&[200], Gives::One(&VOUCHER))
    .refuses(&[SEEN, &[Code::NoVoucher]]),
    Route::patch("/resort/vouchers/{booking}", SENDERS, "Sends a voucher to its customer.", |gateway, call| {
        Box::pin(async move { send(&gateway, &call).await })
    })
    .takes(&[Field::choice("voucherStatus", "What it is to become.", &["Send"], "Send").needed()])
    .moves(&VOUCHER_MOVED)
    .refuses(&[TOLD]),
    Route::get("/resort/myPages", Access::SignedIn, "Lists reservations with payment and voucher.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "myPages", my_page).await })
    })
    .lists("myPages", &MY_PAGE),
    Route::get(
        "/resort/myPages/{booking}",
        Access::SignedIn,
        "Shows a reservation with payment and voucher.",
        |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, my_page).await }),
    )
    .shows(&MY_PAGE),
];

// Resorts.

async fn register(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let name = needed(fields.text("resortName", 200)?, "resortName", "the resort's name")?;
    let price = needed(
        desk::amount(&fields, "resortPrice", Currency::KRW)?,
        "resortPrice",
        "a whole number of minor units, such as 100000",
    )?;
    let attributes = described(&fields, gateway.zone)?;
    if !attributes.contains_key("resortPeriod") {
        return Err(Problem::field("resortPeriod", DAYS));
    }
    let item = gateway.catalogue.register(NAME, &NewItem { name, price, units: 1, attributes }).await?;
    let location = format!("/resort/resorts/{}", item.number);
    Ok(located(json(StatusCode::CREATED, &shown(&item, None, call)), &location))
}

async fn edit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["resortName", "resortPrice", "currency", "resortType", "resortPeriod", "resortYear", "timeZone"])?;
    let number = call.number(0, Code::UnknownItem)?;
    let unknown = || Problem::new(Code::UnknownItem);
    let before = gateway.catalogue.find(NAME, number).await?.ok_or_else(unknown)?;
    let zone = before.attributes.get("timeZone").and_then(|zone| zone.parse().ok()).unwrap_or(gateway.zone);
    let change = Change {
        name: fields.text("resortName", 200)?,
        price: desk::amount(&fields, "resortPrice", before.price.currency())?,
        attributes: described(&fields, zone)?,
    };
    let item = gateway.catalogue.change(NAME, number, &change).await?.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

/// What the catalogue writes down of a resort beside name and price. The days are kept as they were written and as the
/// moments they stand for.
fn described(fields: &Fields, zone: Tz) -> Result<BTreeMap<String, String>, Problem> {
    let mut attributes = BTreeMap::new();
    if let Some(kind) = fields.text("resortType", 100)? {
        attributes.insert("resortType".to_owned(), kind);
    }
    let mut zone = zone;
    if let Some(named) = fields.text("timeZone", 64)? {
        zone = named.parse().map_err(|_| Problem::field("timeZone", "a time zone such as Asia/Seoul"))?;
        attributes.insert("timeZone".to_owned(), zone.name().to_owned());
    }
    if let Some(text) = fields.text("resortPeriod", 40)? {
        let period = days(fields, &text, zone)?;
        attributes.insert("resortPeriod".to_owned(), text);
        attributes.insert("begins".to_owned(), period.from().to_rfc3339());
        attributes.insert("ends".to_owned(), period.to().to_rfc3339());
    }
    Ok(attributes)
}

/// The days that a text stands for, in the year that is named or the next that fits.
fn days(fields: &Fields, text: &str, zone: Tz) -> Result<Period, Problem> {
    let at = Utc::now();
    let year = fields.number("resortYear", 2000..=9999)?.and_then(|year| i32::try_from(year).ok());
    let period = Now { at, zone }.days(text, year).ok_or_else(|| Problem::field("resortPeriod", DAYS))?;
    to_come(period, at, "resortPeriod")
}

/// The days a resort is offered for.
fn offered(item: &Item) -> Option<Period> {
    let moment = |name: &str| item.attributes.get(name)?.parse::<DateTime<Utc>>().ok();
    Period::new(moment("begins")?, moment("ends")?).ok()
}

async fn resorts(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let items = gateway.catalogue.page(NAME, after.unwrap_or(0), limit).await?;
    let offered: Vec<_> = items.iter().map(|item| (item.number, offered(item))).collect();
    let holders = gateway.board.holders_during(NAME, &offered, None).await?;
    let holders: HashMap<i64, Row> = holders.into_iter().map(|row| (row.item.number, row)).collect();
    let next = next(&items, limit, |item| item.number);
    let resorts: Vec<Value> = items.iter().map(|item| shown(item, holders.get(&item.number), call)).collect();
    Ok(json(StatusCode::OK, &json!({ "resorts": resorts, "next": next })))
}

async fn resort(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let number = call.number(0, Code::UnknownItem)?;
    let item = gateway.catalogue.find(NAME, number).await?.ok_or_else(|| Problem::new(Code::UnknownItem))?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

async fn with_holder(gateway: &Gateway, call: &Call, item: &Item) -> Result<Value, Problem> {
    let holder = gateway.board.holders_during(NAME, &[(item.number, offered(item))], None).await?;
    Ok(shown(item, holder.first(), call))
}

// Reservations.

/// Reads what a customer asks for: a resort, for the days it is offered for unless others are named.
fn read<'a>(gateway: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let item = needed(fields.number("resortId", 1..=i64::MAX)?, "resortId", "the number of a resort")?;
        let mut details = BTreeMap::new();
        if let Some(name) = fields.text("memberName", 100)? {
            details.insert("memberName".to_owned(), name);
        }
        // Asked just now, not remembered: nothing is confirmed blind, and the days may have been changed.
        let listed = gateway.catalogue.lately(NAME, item).await?;
        let listed = listed.ok_or_else(|| Problem::new(Code::UnknownItem).with("item", item))?;
        let zone = listed.attributes.get("timeZone").and_then(|zone| zone.parse().ok()).unwrap_or(gateway.zone);
        let (text, period) = match fields.text("resortPeriod", 40)? {
            Some(text) => (Some(text.clone()), Some(days(fields, &text, zone)?)),
            None => (listed.attributes.get("resortPeriod").cloned(), offered(&listed)),
        };
        let period = needed(period, "resortPeriod", DAYS)?;
        let length = |period: Period| period.to() - period.from();
        if offered(&listed).is_some_and(|offered| length(offered) != length(period)) {
            // The price is for as many days as are offered.
            return Err(Problem::field("resortPeriod", "as many days as the resort is offered for"));
        }
        let period = Some(to_come(period, Utc::now(), "resortPeriod")?);
        details.extend(text.map(|text| ("resortPeriod".to_owned(), text)));
        details.extend(listed.attributes.get("resortType").map(|kind| ("resortType".to_owned(), kind.clone())));
        let method = fields.text("paymentMethod", 64)?;
        let resort = Wanted::item(KIND, item, fields.canonical(), Code::ItemTaken, Code::UnknownItem);
        Ok(Wanted { period, details, method, ..resort })
    })
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["resortStatus"])?;
    // Both spellings are about.
    match fields.text("resortStatus", 20)?.as_deref() {
        Some("Cancelled" | "Canceled") => {}
        _ => return Err(Problem::field("resortStatus", "Cancelled")),
    }
    let row = desk::own(gateway, call, NAME).await?;
    desk::cancel(gateway, call, &row, reservation).await
}

async fn pay(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["reservStatus", "paymentMethod"])?;
    if fields.text("reservStatus", 20)?.as_deref() != Some("Paid") {
        return Err(Problem::field("reservStatus", "Paid"));
    }
    let row = desk::own(gateway, call, NAME).await?;
    let body = Payment { by: call.caller.subject.clone(), method: fields.text("paymentMethod", 64)? };
    let effect = |row: &Row| reached(row, Stage::Paid.as_str()) && stands(row);
    desk::say(gateway, call, &row, "pay", body, effect, payment).await
}

// Vouchers.

async fn send(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["voucherStatus"])?;
    if fields.text("voucherStatus", 20)?.as_deref() != Some("Send") {
        return Err(Problem::field("voucherStatus", "Send"));
    }
    let row = gateway.booking(call, call.booking(0)?, Some(NAME)).await?;
    let effect = |row: &Row| reached(row, Stage::Sent.as_str()) && stands(row);
    desk::say(gateway, call, &row, "send", desk::said(call), effect, voucher_of).await
}

async fn vouchers(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (before, limit) = call.page()?;
    let everybody = super::systems::sees_all_of(&call.caller, NAME);
    let customer = (!everybody).then(|| call.caller.subject.to_string());
    let filter = Filter { system: Some(NAME.to_owned()), customer, before, limit, ..Filter::default() };
    let page = gateway.board.page(&filter).await?;
    let rows: Vec<Row> = page.rows.into_iter().filter(|row| reached(row, Stage::Issued.as_str())).collect();
    let vouchers = with_codes(gateway, call, &rows).await;
    Ok(json(StatusCode::OK, &json!({ "vouchers": vouchers, "next": page.next })))
}

async fn voucher(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, Some(NAME)).await?;
    if !reached(&row, Stage::Issued.as_str()) {
        return Err(Problem::new(Code::NoVoucher));
    }
    let shown = with_codes(gateway, call, &[row]).await.pop();
    Ok(json(StatusCode::OK, &shown))
}

/// Whose voucher it is, and who sends it, see its code, while it is good; not when the fulfilment worker is away.
async fn with_codes(gateway: &Gateway, call: &Call, rows: &[Row]) -> Vec<Value> {
    let may = |row: &&Row| row.customer == call.caller.subject || call.caller.is_any(&[Role::Sender]);
    let ids: Vec<_> = rows.iter().filter(may).filter(|row| may_see(&call.caller, row)).map(|row| row.booking).collect();
    let codes = if ids.is_empty() { BTreeMap::new() } else { gateway.voucher_codes(&ids).await };
    let with_code = |row: &Row| {
        let mut voucher = voucher_of(row);
        voucher["voucherCode"] = json!(codes.get(&row.booking));
        voucher
    };
    rows.iter().map(with_code).collect()
}

// Words.

fn reservation_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Undone { .. }) => "Cancelled",
        Some(Ending::Completed) => "Stayed",
        None if reached(row, "undoing") => "Cancelled",
        None if reached(row, Stage::Confirmed.as_str()) => "Confirmed",
        None => "Requested",
    }
}

fn payment_status(row: &Row) -> &'static str {
    match desk::paid(row, Stage::Paid.as_str()) {
        Paid::Pending if reached(row, Stage::Confirmed.as_str()) => "Waiting for payment",
        Paid::Pending => "Requested",
        Paid::Taken => "Paid",
        Paid::Refunded | Paid::Never => "Canceled",
        Paid::Declined => "Declined",
    }
}

fn voucher_status(row: &Row) -> Option<&'static str> {
    if !reached(row, Stage::Issued.as_str()) {
        None
    } else if reached(row, "voucher_disabled") {
        Some("Canceled")
    } else if reached(row, Stage::Sent.as_str()) {
        Some("Send")
    } else {
        Some("Approved")
    }
}

const RESORT: Shape = Shape::new(
    "Resort",
    &[
        Field::number("id", "Its number.", "1"),
        Field::text("resortName", "Its name.", "Sea View"),
        Field::text("resortType", "What kind it is.", "Hotel").or_null(),
        Field::text("resortPeriod", "The days it is offered for, as they were written.", "7/23~25").or_null(),
        Field::moment("begins", "From this moment.").or_null(),
        Field::moment("ends", "Until before this one.").or_null(),
        Field::amount("resortPrice", "What the stay costs, in minor units.", "100000"),
        CURRENCY,
        Field::choice(
            "resortStatus",
            "Whether somebody has it on one of these days.",
            &["Available", "Not Available"],
            "Available",
        ),
        Field::id("reservId", "The reservation, for those who may see it.").or_null(),
    ],
);
const PRICE: Field = Field::amount("resortPrice", "What it costs, in minor units.", "100000").or_null();

/// A resort as the catalogue lists it: not available while somebody has it on one of the days it is offered for.
fn shown(item: &Item, holder: Option<&Row>, call: &Call) -> Value {
    json!({
        "id": item.number,
        "resortName": item.name,
        "resortType": item.attributes.get("resortType"),
        "resortPeriod": item.attributes.get("resortPeriod"),
        "begins": item.attributes.get("begins"),
        "ends": item.attributes.get("ends"),
        "resortPrice": item.price.amount_minor(),
        "currency": item.price.currency().code(),
        "resortStatus": if holder.is_some() { "Not Available" } else { "Available" },
        // Who has it is between them and those who work here.
        "reservId": holder.filter(|row| may_see(&call.caller, row)).map(|row| row.booking),
    })
}

const RESERVATION: Shape = Shape::new(
    "ResortReservation",
    &[
        Field::id("id", "Its id."),
        Field::number("resortId", "Which resort.", "1"),
        Field::text("resortName", "Its name.", "Sea View").or_null(),
        Field::choice(
            "resortStatus",
            "How far it is.",
            &["Requested", "Confirmed", "Cancelled", "Stayed"],
            "Confirmed",
        ),
        Field::text("resortType", "What kind it is.", "Hotel").or_null(),
        Field::text("resortPeriod", "The days, as they were written.", "7/23~25").or_null(),
        Field::moment("begins", "From this moment.").or_null(),
        Field::moment("ends", "Until before this one.").or_null(),
        PRICE,
        CURRENCY,
        Field::text("memberName", "Who stays.", "Ada").or_null(),
        USER,
        Field::moment("confirmedDate", "When it was confirmed.").or_null(),
        Field::moment("cancelledDate", "When it was turned back.").or_null(),
        REASON,
        DEADLINE,
        STAGE,
        VERSION,
    ],
);

fn reservation(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking,
        "resortId": row.item.number,
        "resortName": row.item_name,
        "resortStatus": reservation_status(row),
        "resortType": row.details.get("resortType"),
        "resortPeriod": row.details.get("resortPeriod"),
        "begins": row.period.map(Period::from),
        "ends": row.period.map(Period::to),
        "resortPrice": price,
        "currency": currency,
        "memberName": row.details.get("memberName"),
        "userId": row.customer,
        "confirmedDate": time(row, Stage::Confirmed.as_str()),
        "cancelledDate": time(row, "undone"),
        "reason": row.reason,
        "deadline": row.deadline_at,
        "stage": row.stage,
        "version": row.version,
    })
}

const PAYMENT_STATUS: Field = Field::choice(
    "reservStatus",
    "Where the money is.",
    &["Requested", "Waiting for payment", "Paid", "Canceled", "Declined"],
    "Waiting for payment",
);
const PAYMENT: Shape = Shape::new(
    "ResortPayment",
    &[
        Field::id("id", "Its id."),
        Field::id("reservId", "Of which reservation."),
        PRICE,
        CURRENCY,
        PAYMENT_STATUS,
        Field::moment("paidDate", "When it was taken.").or_null(),
        REFUNDED,
        VERSION,
    ],
);

fn payment(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "id": row.booking,
        "reservId": row.booking,
        "resortPrice": price,
        "currency": currency,
        "reservStatus": payment_status(row),
        "paidDate": time(row, Stage::Paid.as_str()),
        "refundedDate": time(row, "refunded"),
        "version": row.version,
    })
}

const VOUCHER_STATUS: Field =
    Field::choice("voucherStatus", "How far it is.", &["Approved", "Send", "Canceled"], "Approved").or_null();
const VOUCHER_MOVED: Shape = Shape::new(
    "MovedVoucher",
    &[
        Field::id("id", "Its id."),
        Field::id("reservId", "Of which reservation."),
        VOUCHER_STATUS,
        Field::moment("issuedDate", "When it was issued.").or_null(),
        Field::moment("sentDate", "When it was sent.").or_null(),
        Field::moment("canceledDate", "Since when it is void.").or_null(),
        VERSION,
    ],
);
const VOUCHER: Shape = Shape::new(
    "Voucher",
    &[Field::text(
        "voucherCode",
        "What opens the door: while it is good, for whose it is and who sends it.",
        "K7QM-2D9X-W4TB",
    )
    .or_null()],
)
.and(&VOUCHER_MOVED);

fn voucher_of(row: &Row) -> Value {
    json!({
        "id": row.booking,
        "reservId": row.booking,
        "voucherStatus": voucher_status(row),
        "issuedDate": time(row, Stage::Issued.as_str()),
        "sentDate": time(row, Stage::Sent.as_str()),
        "canceledDate": time(row, "voucher_disabled"),
        "version": row.version,
    })
}

const MY_PAGE: Shape = Shape::new(
    "ResortMyPage",
    &[
        PAYMENT_STATUS,
        VOUCHER_STATUS,
        Field::moment("paidDate", "When it was paid.").or_null(),
        REFUNDED,
        Field::moment("sentDate", "When the voucher was sent.").or_null(),
    ],
)
.and(&RESERVATION);

fn my_page(row: &Row) -> Value {
    let mut page = reservation(row);
    page["reservStatus"] = json!(payment_status(row));
    page["voucherStatus"] = json!(voucher_status(row));
    page["paidDate"] = json!(time(row, Stage::Paid.as_str()));
    page["refundedDate"] = json!(time(row, "refunded"));
    page["sentDate"] = json!(time(row, Stage::Sent.as_str()));
    page
}
