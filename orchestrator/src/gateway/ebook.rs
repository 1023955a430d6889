//! E-book rental over HTTP: its paths, its fields, and its words for where a booking is.
//!
//! The words (`POSSIBLE`, `RENTED`, `registedDate`, ...) are those of the system's first clients and live only here.
//! `POSSIBLE` and the like are read from the book's live booking; nothing is stored twice.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, located, needed, next, versioned},
    catalogue::{Change, Item, Known, NewItem},
    desk::{self, Paid, ended_because, reached, time},
    problem::{Code, Problem},
    routes::{Access, Route},
    start::Wanted,
    systems::{Reading, System},
    talk::Message,
};
use crate::host::Kind;
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};
use workflows::{
    booking::{Ending, Row},
    money::Money,
    rental::{Decision, Rental, Stage, Verdict},
    saga::Booking as _,
};

const NAME: &str = Rental::SYSTEM;
static KIND: &Kind = &Kind::of::<Rental>();
const ADMINS: Access = Access::Any(&[Role::Admin]);
const MEMBERS: Access = Access::Any(&[Role::Member]);

pub(super) const SYSTEM: System = System { name: NAME, routes: ROUTES, staff: &[], read };

const ROUTES: &[Route] = &[
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
        serve: |gateway, call| {
            Box::pin(
                async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, "/ebook/rents", rental).await },
            )
        },
    },
    Route {
        method: Method::GET,
        path: "/ebook/rents",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "rents", rental).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/rents/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, rental).await }),
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
        serve: |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/payments/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await }),
    },
    Route {
        method: Method::GET,
        path: "/ebook/dashboards",
        access: Access::SignedIn,
        serve: |gateway, call| {
            Box::pin(async move { desk::list(&gateway, &call, NAME, "dashboards", dashboard).await })
        },
    },
    Route {
        method: Method::GET,
        path: "/ebook/dashboards/{}",
        access: Access::SignedIn,
        serve: |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, dashboard).await }),
    },
];

// Books.

async fn register(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let name = needed(fields.text("bookName", 200)?, "bookName", "the book's title")?;
    let price = needed(
        desk::amount(&fields, "rentalFee", Currency::KRW)?,
        "rentalFee",
        "a whole number of minor units, such as 3000",
    )?;
    let item =
        gateway.catalogue.register(NAME, &NewItem { name, price, units: 1, attributes: BTreeMap::new() }).await?;
    let location = format!("/ebook/books/{}", item.number);
    Ok(located(json(StatusCode::CREATED, &shown(&item, None, call)), &location))
}

async fn edit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["bookName", "rentalFee", "currency"])?;
    let number = call.number(0, Code::UnknownBook)?;
    let unknown = || Problem::new(Code::UnknownBook);
    let before = gateway.catalogue.find(NAME, number).await?.ok_or_else(unknown)?;
    let price = desk::amount(&fields, "rentalFee", before.price.currency())?;
    let change = Change { name: fields.text("bookName", 200)?, price, ..Change::default() };
    let item = gateway.catalogue.change(NAME, number, &change).await?.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

async fn books(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let items = gateway.catalogue.page(NAME, after.unwrap_or(0), limit).await?;
    let numbers: Vec<i64> = items.iter().map(|item| item.number).collect();
    let holders = gateway.board.holders(NAME, &numbers).await?;
    let holders: HashMap<i64, Row> = holders.into_iter().map(|row| (row.item.number, row)).collect();
    let next = next(&items, limit, |item| item.number);
    let books: Vec<Value> = items.iter().map(|item| shown(item, holders.get(&item.number), call)).collect();
    Ok(json(StatusCode::OK, &json!({ "books": books, "next": next })))
}

async fn book(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let number = call.number(0, Code::UnknownBook)?;
    let item = gateway.catalogue.find(NAME, number).await?.ok_or_else(|| Problem::new(Code::UnknownBook))?;
    Ok(json(StatusCode::OK, &with_holder(gateway, call, &item).await?))
}

async fn with_holder(gateway: &Gateway, call: &Call, item: &Item) -> Result<Value, Problem> {
    let holder = gateway.board.holder(NAME, item.number).await?;
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
        let row = gateway.booking(call, id, Some(NAME)).await?;
        if row.item.number != number {
            return Err(Problem::field("rentId", "a rental of this book"));
        }
        row
    } else {
        let holder = gateway.board.holder(NAME, number).await?;
        match (holder, gateway.catalogue.known(NAME, number).await) {
            (Some(holder), _) => holder,
            (None, Known::Unlisted) => return Err(Problem::new(Code::UnknownBook)),
            (None, Known::Listed(_) | Known::Unsure) => {
                return Err(Problem::new(Code::NothingToDecide).with("item", number));
            }
        }
    };
    let (what, effect): (_, fn(&Row) -> bool) = match decision {
        Decision::Approve => ("decide-approve", |row| reached(row, Stage::Approved.as_str())),
        Decision::Reject => ("decide-reject", |row| ended_because(row, workflows::rental::REJECTED)),
    };
    let body = Verdict { by: call.caller.subject.clone(), decision };
    let message = Message { update: "decide", what: what.into(), body };
    let show = |row: &Row| versioned(row, json(StatusCode::OK, &book_of(row, call)));
    let told = gateway.tell(call, &row, message, effect, show).await;
    match told {
        // Its saga has ended and answers nobody any more; the board knows whether that was for the other decision.
        Err(problem) if problem.code == Code::TooLate => {
            let row = gateway.booking(call, row.booking, Some(NAME)).await?;
            let otherwise = decided(&row).is_some_and(|decided| decided != decision);
            Err(if otherwise { Problem::new(Code::DecidedOtherwise).with("stage", row.stage) } else { problem })
        }
        told => told,
    }
}

fn decided(row: &Row) -> Option<Decision> {
    if reached(row, Stage::Approved.as_str()) {
        Some(Decision::Approve)
    } else {
        (row.reason.as_deref() == Some(workflows::rental::REJECTED)).then_some(Decision::Reject)
    }
}

// Rentals.

/// Reads what a member asks for. Who, at which price and in which state is ours to know: such fields are not read.
fn read<'a>(_: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let item = needed(fields.number("bookId", 1..=i64::MAX)?, "bookId", "the number of a book")?;
        let method = fields.text("paymentMethod", 64)?;
        let book = Wanted::item(KIND, item, fields.canonical(), Code::BookAlreadyRented, Code::UnknownBook);
        Ok(Wanted { method, ..book })
    })
}

async fn bring_back(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = desk::own(gateway, call, NAME).await?;
    let effect = |row: &Row| reached(row, Stage::Returned.as_str());
    desk::say(gateway, call, &row, "return", desk::said(call), effect, rental).await
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = desk::own(gateway, call, NAME).await?;
    desk::cancel(gateway, call, &row, rental).await
}

// Words.

fn book_status(row: &Row) -> &'static str {
    if row.ending.is_some() {
        "POSSIBLE"
    } else if reached(row, Stage::Approved.as_str()) {
        "APPROVED"
    } else if reached(row, Stage::Paid.as_str()) {
        "PAID"
    } else {
        "HELD"
    }
}

fn rent_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Undone { .. }) => "CANCELED",
        Some(Ending::Completed) => "RETURNED",
        None if reached(row, Stage::Approved.as_str()) => "APPROVED",
        None => "RENTED",
    }
}

fn payment_status(row: &Row) -> &'static str {
    match desk::paid(row, Stage::Paid.as_str()) {
        Paid::Pending => "PENDING",
        Paid::Taken => "PAID",
        Paid::Refunded => "REFUNDED",
        Paid::Declined => "DECLINED",
        Paid::Never => "NONE",
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
        book["approvedDate"] = json!(time(row, Stage::Approved.as_str()));
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
        "rentedDate": time(row, Stage::Approved.as_str()),
        "returnedDate": time(row, Stage::Returned.as_str()),
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
        "paidDate": time(row, Stage::Paid.as_str()),
        "refundedDate": row.times.get("refunded"),
        "version": row.version,
    })
}

fn dashboard(row: &Row) -> Value {
    let mut dashboard = rental(row);
    dashboard["paidDate"] = json!(time(row, Stage::Paid.as_str()));
    dashboard["approvedDate"] = json!(time(row, Stage::Approved.as_str()));
    dashboard["refundedDate"] = json!(row.times.get("refunded"));
    dashboard
}
