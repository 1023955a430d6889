//! E-book rental over HTTP: its paths, its fields, and its words for where a booking is.
//!
//! The words (`POSSIBLE`, `RENTED`, `registedDate`, ...) are those of the system's first clients and live only here.
//! `POSSIBLE` and the like are read from the book's live booking; nothing is stored twice.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, located, needed},
    catalogue::{Change, Item, Known, NewItem},
    problem::{Code, Problem},
    routes::{Access, Route},
    start::{Begun, Launching, Wanted},
    talk::Message,
};
use crate::board::Filter;
use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::HashMap;
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};
use workflows::{
    booking::{Ending, Row},
    contracts::{catalog, payment},
    money::{AMOUNT_MAX_MINOR, Money},
    rental::{Decision, Rental, RentalRequest, Stage, Verdict},
    saga::{Booking, Said, Stage as _},
};

const SYSTEM: &str = Rental::SYSTEM;
const ADMINS: Access = Access::Any(&[Role::Admin]);
const MEMBERS: Access = Access::Any(&[Role::Member]);

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/ebook/books",
        access: ADMINS,
        serve: |gateway, call| Box::pin(async move { register(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/books",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { books(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/books/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { book(&gateway, &call).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/ebook/books/{}",
        access: ADMINS,
        serve: |gateway, call| Box::pin(async move { edit(&gateway, &call).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/ebook/books/approve/{}",
        access: ADMINS,
        serve: |gateway, call| Box::pin(async move { decide(&gateway, &call, Decision::Approve).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/ebook/books/reject/{}",
        access: ADMINS,
        serve: |gateway, call| Box::pin(async move { decide(&gateway, &call, Decision::Reject).await }),
    },
    Route {
        method: Method::POST,
        path: "/ebook/rents",
        access: MEMBERS,
        serve: |gateway, call| Box::pin(async move { rent(&gateway, &call, &call.fields()?, rental).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/rents",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { list(&gateway, &call, "rents", rental).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/rents/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, rental).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/ebook/rents/return/{}",
        access: MEMBERS,
        serve: |gateway, call| Box::pin(async move { bring_back(&gateway, &call).await }),
    },
    Route {
        method: Method::PATCH,
        path: "/ebook/rents/cancel/{}",
        access: MEMBERS,
        serve: |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/payments",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { list(&gateway, &call, "payments", payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/payments/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/dashboards",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { list(&gateway, &call, "dashboards", dashboard).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/dashboards/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { one(&gateway, &call, dashboard).await }),
    },
];

// Books.

async fn register(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let name = needed(fields.text("bookName", 200)?, "bookName", "the book's title")?;
    let price = needed(fee(&fields, Currency::KRW)?, "rentalFee", "a whole number of minor units, such as 3000")?;
    let item = gateway.catalogue.register(SYSTEM, &NewItem { name, price, units: 1 }).await?;
    let location = format!("/ebook/books/{}", item.number);
    Ok(located(json(StatusCode::CREATED, &shown(&item, None, call)), &location))
}

async fn edit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["bookName", "rentalFee", "currency"])?;
    let number = call.number(0, Code::UnknownBook)?;
    let unknown = || Problem::new(Code::UnknownBook);
    let before = gateway.catalogue.find(SYSTEM, number).await?.ok_or_else(unknown)?;
    let change = Change { name: fields.text("bookName", 200)?, price: fee(&fields, before.price.currency())? };
    let item = gateway.catalogue.change(SYSTEM, number, &change).await?.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

async fn books(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let items = gateway.catalogue.page(SYSTEM, after.unwrap_or(0), limit).await?;
    let numbers: Vec<i64> = items.iter().map(|item| item.number).collect();
    let holders = gateway.board.holders(SYSTEM, &numbers).await;
    let holders = holders.map_err(|error| Problem::unavailable("the board", &error))?;
    let holders: HashMap<i64, Row> = holders.into_iter().map(|row| (row.item.number, row)).collect();
    let next = (items.len() == usize::try_from(limit).unwrap_or(usize::MAX)).then(|| numbers.last().copied()).flatten();
    let books: Vec<Value> = items.iter().map(|item| shown(item, holders.get(&item.number), call)).collect();
    Ok(json(StatusCode::OK, &json!({ "books": books, "next": next })))
}

async fn book(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let number = call.number(0, Code::UnknownBook)?;
    let item = gateway.catalogue.find(SYSTEM, number).await?.ok_or_else(|| Problem::new(Code::UnknownBook))?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

async fn with_holder(gateway: &Gateway, call: &Call, item: &Item) -> Result<Value, Problem> {
    let holder = gateway.board.holder(SYSTEM, item.number).await;
    let holder = holder.map_err(|error| Problem::unavailable("the board", &error))?;
    Ok(shown(item, holder.as_ref(), call))
}

/// An administrator decides on the live booking of a book. `rentId` in the body makes it exact.
async fn decide(gateway: &Gateway, call: &Call, decision: Decision) -> Result<Response, Problem> {
    let number = call.number(0, Code::UnknownBook)?;
    let named = if call.body.is_empty() {
        None
    } else {
        // A misspelt name would decide on whoever has the book now.
        let fields = call.fields()?;
        fields.only(&["rentId"])?;
        fields.text("rentId", 36)?
    };
    let row = if let Some(id) = named {
        let id = id.parse().map_err(|_| Problem::field("rentId", "the id of a rental"))?;
        let row = gateway.booking(call, id, Some(SYSTEM)).await?;
        if row.item.number != number {
            return Err(Problem::field("rentId", "a rental of this book"));
        }
        row
    } else {
        let holder = gateway.board.holder(SYSTEM, number).await;
        let holder = holder.map_err(|error| Problem::unavailable("the board", &error))?;
        match (holder, gateway.catalogue.known(SYSTEM, number).await) {
            (Some(holder), _) => holder,
            (None, Known::Unlisted) => return Err(Problem::new(Code::UnknownBook)),
            (None, Known::Listed(_) | Known::Unsure) => {
                return Err(Problem::new(Code::NothingToDecide).with("item", number));
            }
        }
    };
    let (what, effect): (_, fn(&Row) -> bool) = match decision {
        Decision::Approve => ("decide-approve", |row| reached(row, Stage::Approved)),
        Decision::Reject => ("decide-reject", |row| ended_because(row, workflows::rental::REJECTED)),
    };
    let body = Verdict { by: call.caller.subject.clone(), decision };
    let message = Message { update: "decide", what: what.into(), body };
    let told = gateway.tell(call, &row, message, effect, |row| json(StatusCode::OK, &book_of(row, call))).await;
    match told {
        // Its saga has ended and answers nobody any more; the board knows whether that was for the other decision.
        Err(problem) if problem.code == Code::TooLate => {
            let row = gateway.booking(call, row.booking, Some(SYSTEM)).await?;
            let otherwise = decided(&row).is_some_and(|decided| decided != decision);
            Err(if otherwise { Problem::new(Code::DecidedOtherwise).with("stage", row.stage) } else { problem })
        }
        told => told,
    }
}

fn decided(row: &Row) -> Option<Decision> {
    if reached(row, Stage::Approved) {
        Some(Decision::Approve)
    } else {
        (row.reason.as_deref() == Some(workflows::rental::REJECTED)).then_some(Decision::Reject)
    }
}

// Rentals.

/// Asks for a rental. Who, at which price and in which state is ours to know: such fields of the body are not read.
pub(super) async fn rent(
    gateway: &Gateway,
    call: &Call,
    fields: &Fields,
    show: fn(&Row) -> Value,
) -> Result<Response, Problem> {
    let item = fields.number("bookId", 1..=i64::MAX)?;
    let item = needed(item, "bookId", "the number of a book")?;
    let method = fields.text("paymentMethod", 64)?;
    let wanted = Wanted {
        system: SYSTEM,
        noun: "Rental",
        item,
        body: fields.canonical(),
        taken: Code::BookAlreadyRented,
        unlisted: Code::UnknownBook,
    };
    let accepted = |row: &Row| reached(row, Stage::Held);
    let launch = |opening, options| -> Launching {
        let request = RentalRequest { opening, method: method.clone() };
        let temporal = gateway.temporal.clone();
        Box::pin(async move { temporal.start_workflow(Rental::run, request, options).await.map(drop) })
    };
    match gateway.begin(call, wanted, accepted, launch).await? {
        Begun::Pending(booking) => {
            let pending = json!({ "id": booking, "status": "RENTED", "stage": "requested" });
            Ok(located(json(StatusCode::ACCEPTED, &pending), &format!("/ebook/rents/{booking}")))
        }
        Begun::Known(row) if !accepted(&row) => Err(turned_back(&row)),
        Begun::Known(row) => {
            let row = if call.wait().is_some() {
                gateway.row_when(row.booking, call.due(), |row| reached(row, Stage::Paid)).await?.unwrap_or(*row)
            } else {
                *row
            };
            if call.wait().is_some() && !reached(&row, Stage::Paid) && row.ending.is_some() {
                return Err(turned_back(&row));
            }
            Ok(located(json(StatusCode::CREATED, &show(&row)), &format!("/ebook/rents/{}", row.booking)))
        }
    }
}

fn turned_back(row: &Row) -> Problem {
    let code = match row.reason.as_deref() {
        Some(catalog::ITEM_TAKEN) => Code::BookAlreadyRented,
        Some(catalog::UNKNOWN_ITEM) => Code::UnknownBook,
        Some(payment::PAYMENT_DECLINED) => Code::PaymentDeclined,
        _ => Code::TurnedBack,
    };
    Problem::new(code).with("booking", row.booking.to_string()).with("reason", row.reason.clone())
}

async fn bring_back(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = own(gateway, call).await?;
    let said = Said { by: call.caller.subject.clone() };
    let message = Message { update: "return", what: "return".into(), body: said };
    let effect = |row: &Row| reached(row, Stage::Returned);
    gateway.tell(call, &row, message, effect, |row| json(StatusCode::OK, &rental(row))).await
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = own(gateway, call).await?;
    let said = Said { by: call.caller.subject.clone() };
    let message = Message { update: "cancel", what: "cancel".into(), body: said };
    let effect = |row: &Row| ended_because(row, "cancelled");
    gateway.tell(call, &row, message, effect, |row| json(StatusCode::OK, &rental(row))).await
}

/// The caller's own rental, whatever else their roles show them.
async fn own(gateway: &Gateway, call: &Call) -> Result<Row, Problem> {
    let row = gateway.booking(call, call.booking(0)?, Some(SYSTEM)).await?;
    if row.customer == call.caller.subject { Ok(row) } else { Err(Problem::new(Code::Forbidden)) }
}

async fn list(gateway: &Gateway, call: &Call, name: &str, show: fn(&Row) -> Value) -> Result<Response, Problem> {
    let (before, limit) = call.page()?;
    let customer = (!call.caller.sees_all()).then(|| call.caller.subject.to_string());
    let filter = Filter { system: Some(SYSTEM.to_owned()), customer, before, limit, ..Filter::default() };
    let page = gateway.board.page(&filter).await.map_err(|error| Problem::unavailable("the board", &error))?;
    let rows: Vec<Value> = page.rows.iter().map(show).collect();
    Ok(json(StatusCode::OK, &json!({ name: rows, "next": page.next })))
}

async fn one(gateway: &Gateway, call: &Call, show: fn(&Row) -> Value) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, Some(SYSTEM)).await?;
    Ok(json(StatusCode::OK, &show(&row)))
}

// Words.

fn fee(fields: &Fields, usual: Currency) -> Result<Option<Money>, Problem> {
    let currency = match fields.text("currency", 3)? {
        None => usual,
        // Codes without digits stand for no money (metals, tests, nothing).
        Some(code) => Currency::from_code(&code)
            .filter(|currency| currency.exponent().is_some())
            .ok_or_else(|| Problem::field("currency", "an ISO 4217 code of money, such as KRW"))?,
    };
    match fields.number("rentalFee", 0..=AMOUNT_MAX_MINOR)? {
        Some(amount) => {
            Money::new(amount, currency).map(Some).map_err(|error| Problem::field("rentalFee", &error.to_string()))
        }
        None if currency == usual => Ok(None),
        None => Err(Problem::field("rentalFee", "an amount in the currency that is given")),
    }
}

fn reached(row: &Row, stage: Stage) -> bool {
    row.times.contains_key(stage.name())
}

fn ended_because(row: &Row, reason: &str) -> bool {
    matches!(&row.ending, Some(Ending::Undone { reason: because }) if because == reason)
}

fn time(row: &Row, stage: Stage) -> Option<DateTime<Utc>> {
    row.times.get(stage.name()).copied()
}

fn book_status(row: &Row) -> &'static str {
    if row.ending.is_some() {
        "POSSIBLE"
    } else if reached(row, Stage::Approved) {
        "APPROVED"
    } else if reached(row, Stage::Paid) {
        "PAID"
    } else {
        "HELD"
    }
}

fn rent_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Undone { .. }) => "CANCELED",
        Some(Ending::Completed) => "RETURNED",
        None if reached(row, Stage::Approved) => "APPROVED",
        None => "RENTED",
    }
}

fn payment_status(row: &Row) -> &'static str {
    match &row.ending {
        _ if row.times.contains_key("refunded") => "REFUNDED",
        Some(Ending::Undone { reason }) if reason == payment::PAYMENT_DECLINED => "DECLINED",
        Some(Ending::Undone { .. }) => "NONE",
        Some(Ending::Completed) | None if reached(row, Stage::Paid) => "PAID",
        Some(Ending::Completed) | None => "PENDING",
    }
}

/// A book as the catalogue lists it, with the status of its live booking.
fn shown(item: &Item, holder: Option<&Row>, call: &Call) -> Value {
    let mut book = json!({
        "id": item.number,
        "bookName": item.name,
        "rentalFee": item.price.amount_minor(),
        "currency": item.price.currency().code(),
        "status": holder.map_or("POSSIBLE", book_status),
        "registedDate": item.created_at,
    });
    if let Some(row) = holder {
        name_holder(&mut book, row, call);
    }
    book
}

/// A book as a decision on it left it.
fn book_of(row: &Row, call: &Call) -> Value {
    let mut book = json!({
        "id": row.item.number,
        "bookName": row.item_name,
        "rentalFee": row.price.map(Money::amount_minor),
        "currency": row.price.map(|price| price.currency().code()),
        "status": book_status(row),
    });
    if row.ending.is_none() {
        name_holder(&mut book, row, call);
    }
    book
}

/// Who has a book is between them and the administrators.
fn name_holder(book: &mut Value, row: &Row, call: &Call) {
    if row.customer == call.caller.subject || call.caller.sees_all() {
        book["rentId"] = json!(row.booking);
        book["userId"] = json!(row.customer);
        book["approvedDate"] = json!(time(row, Stage::Approved));
        book["version"] = json!(row.version);
    }
}

fn rental(row: &Row) -> Value {
    json!({
        "id": row.booking,
        "userId": row.customer,
        "bookId": row.item.number,
        "bookName": row.item_name,
        "rentalFee": row.price.map(Money::amount_minor),
        "currency": row.price.map(|price| price.currency().code()),
        "status": rent_status(row),
        "rentedDate": time(row, Stage::Approved),
        "returnedDate": time(row, Stage::Returned),
        "canceledDate": row.times.get("undone"),
        "reason": row.reason,
        "stage": row.stage,
        "waitingFor": row.waiting_for,
        "deadline": row.deadline_at,
        "version": row.version,
    })
}

fn payment(row: &Row) -> Value {
    json!({
        "id": row.booking,
        "rentId": row.booking,
        "userId": row.customer,
        "bookId": row.item.number,
        "rentalFee": row.price.map(Money::amount_minor),
        "currency": row.price.map(|price| price.currency().code()),
        "status": payment_status(row),
        "paidDate": time(row, Stage::Paid),
        "refundedDate": row.times.get("refunded"),
    })
}

fn dashboard(row: &Row) -> Value {
    let mut dashboard = rental(row);
    dashboard["paidDate"] = json!(time(row, Stage::Paid));
    dashboard["approvedDate"] = json!(time(row, Stage::Approved));
    dashboard["refundedDate"] = json!(row.times.get("refunded"));
    dashboard
}
