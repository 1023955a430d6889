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
    routes::{Access, BEGUN, Gives, Route, TOLD},
    shape::{CURRENCY, DEADLINE, Field, METHOD, REASON, REFUNDED, STAGE, Shape, USER, VERSION, WHY},
    start::Wanted,
    systems::{Reading, Shelf, System},
    talk::Message,
};
use crate::host::Kind;
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Row},
    money::Money,
    rental::{Decision, Rental, Stage, Verdict},
    saga::{BECAUSE, Booking as _},
};

const NAME: &str = Rental::SYSTEM;
static KIND: &Kind = &Kind::of::<Rental>();
const ADMINS: Access = Access::Any(&[Role::Admin]);
const MEMBERS: Access = Access::Any(&[Role::Member]);

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[],
    order: "/ebook/rents",
    paid: Some(Stage::Paid.as_str()),
    shelf: Some(Shelf { path: "/ebook/books", list: "books", number: "id", title: "bookName", wanted: "bookId" }),
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/ebook/books", ADMINS, "Registers a book.", |gateway, call| {
        Box::pin(async move { register(&gateway, &call).await })
    })
    .takes(&[
        Field::text("bookName", "Its title.", "Dune").needed(),
        Field::amount("rentalFee", "What a rental costs, in minor units.", "3000").needed(),
        CURRENCY,
    ])
    .gives(&[201], Gives::One(&BOOK)),
    Route::get(
        "/ebook/books",
        Access::SignedIn,
        "Lists the books, each with the status of its live rental.",
        |gateway, call| Box::pin(async move { books(&gateway, &call).await }),
    )
    .lists("books", &BOOK),
    Route::get("/ebook/books/{item}", Access::SignedIn, "Shows a book.", |gateway, call| {
        Box::pin(async move { book(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&BOOK))
    .refuses(&[&[Code::UnknownBook]]),
    Route::patch(
        "/ebook/books/{item}",
        ADMINS,
        "Changes title or fee. A rental that has begun keeps its price.",
        |gateway, call| Box::pin(async move { edit(&gateway, &call).await }),
    )
    .takes(&[
        Field::text("bookName", "Its new title.", "Dune Messiah"),
        Field::amount("rentalFee", "What a rental costs from now on.", "3500"),
        CURRENCY,
    ])
    .gives(&[200], Gives::One(&BOOK))
    .refuses(&[&[Code::UnknownBook]]),
    Route::delete(
        "/ebook/books/{item}",
        ADMINS,
        "Takes a book off the catalogue, unless somebody has it.",
        |gateway, call| Box::pin(async move { desk::remove(&gateway, &call, NAME).await }),
    )
    .refuses(&[&[Code::UnknownItem, Code::ItemInUse]]),
    Route::patch("/ebook/books/approve/{item}", ADMINS, "Approves the live rental of a book.", |gateway, call| {
        Box::pin(async move { decide(&gateway, &call, Decision::Approve).await })
    })
    .may_take(RENT)
    .moves(&DECIDED)
    .refuses(DECIDING),
    Route::patch(
        "/ebook/books/reject/{item}",
        ADMINS,
        "Rejects the live rental of a book: the money goes back.",
        |gateway, call| Box::pin(async move { decide(&gateway, &call, Decision::Reject).await }),
    )
    .may_take(RENT)
    .moves(&DECIDED)
    .refuses(DECIDING),
    Route::post("/ebook/rents", MEMBERS, "Asks for a book. Its price is the catalogue's.", |gateway, call| {
        Box::pin(async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, rental).await })
    })
    .takes(&[Field::number("bookId", "Which book.", "1").needed(), METHOD])
    .begins(&RENTAL)
    .refuses(&[BEGUN, &[Code::UnknownBook, Code::BookAlreadyRented]]),
    Route::get(
        "/ebook/rents",
        Access::SignedIn,
        "Lists rentals, newest first: your own, or all for an administrator.",
        |gateway, call| Box::pin(async move { desk::list(&gateway, &call, NAME, "rents", rental).await }),
    )
    .lists("rents", &RENTAL),
    Route::get("/ebook/rents/{booking}", Access::SignedIn, "Shows a rental.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, rental).await })
    })
    .shows(&RENTAL),
    Route::patch("/ebook/rents/return/{booking}", MEMBERS, "Returns a book.", |gateway, call| {
        Box::pin(async move { bring_back(&gateway, &call).await })
    })
    .moves(&RENTAL)
    .refuses(&[TOLD, &[Code::NotLent]]),
    Route::patch(
        "/ebook/rents/cancel/{booking}",
        MEMBERS,
        "Cancels a request that is not approved yet: the money goes back.",
        |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    )
    .moves(&RENTAL)
    .refuses(&[TOLD]),
    Route::get("/ebook/payments", Access::SignedIn, "Lists payments, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await })
    })
    .lists("payments", &PAYMENT),
    Route::get("/ebook/payments/{booking}", Access::SignedIn, "Shows the payment of a rental.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await })
    })
    .shows(&PAYMENT),
    Route::get("/ebook/dashboards", Access::SignedIn, "Lists rentals with all their dates.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "dashboards", dashboard).await })
    })
    .lists("dashboards", &DASHBOARD),
    Route::get(
        "/ebook/dashboards/{booking}",
        Access::SignedIn,
        "Shows a rental with all its dates.",
        |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, dashboard).await }),
    )
    .shows(&DASHBOARD),
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
    let (named, because) = if call.body.is_empty() {
        (None, None)
    } else {
        // A misspelt name would decide on whoever has the book now.
        let fields = call.fields()?;
        fields.only(&["rentId", BECAUSE])?;
        (fields.text("rentId", 36)?, fields.text(BECAUSE, 200)?)
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
    let body = json!(Verdict { by: call.caller.subject.clone(), decision, because });
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

/// Who decides says which rental they mean, or means the live one.
const RENT: &[Field] = &[
    Field::text_to(
        36,
        "rentId",
        "Which rental; the live one of the book without.",
        "0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42",
    ),
    WHY,
];
const DECIDING: &[&[Code]] =
    &[TOLD, &[Code::UnknownBook, Code::NothingToDecide, Code::NotPaidYet, Code::DecidedOtherwise, Code::OwnRequest]];
const HOLDER: &[Field] = &[
    Field::id("rentId", "Its live rental, for whose it is and for administrators.").or_null(),
    Field::text("userId", "Who has it, for the same.", "ada").or_null(),
    Field::moment("approvedDate", "Since when they have it.").or_null(),
    Field::count("version", "Of the live rental.", "3").or_null(),
];
const BOOK_STATUS: Field =
    Field::choice("status", "Of its live rental.", &["POSSIBLE", "HELD", "PAID", "APPROVED"], "POSSIBLE");
const BOOK: Shape = Shape::new(
    "Book",
    &[
        Field::number("id", "Its number.", "1"),
        Field::text("bookName", "Its title.", "Dune"),
        Field::amount("rentalFee", "What a rental costs, in minor units.", "3000"),
        CURRENCY,
        BOOK_STATUS,
        Field::moment("registedDate", "When it was registered."),
    ],
)
.and(&Shape::new("", HOLDER));
const DECIDED: Shape = Shape::new(
    "DecidedBook",
    &[
        Field::number("id", "Its number.", "1"),
        Field::text("bookName", "Its title.", "Dune").or_null(),
        FEE,
        CURRENCY,
        BOOK_STATUS,
    ],
)
.and(&Shape::new("", HOLDER));
const FEE: Field = Field::amount("rentalFee", "What it costs, in minor units.", "3000").or_null();

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

const RENTAL: Shape = Shape::new(
    "Rental",
    &[
        Field::id("id", "Its id."),
        USER,
        Field::number("bookId", "Which book.", "1"),
        Field::text("bookName", "Its title.", "Dune").or_null(),
        FEE,
        CURRENCY,
        Field::choice("status", "How far it is.", &["RENTED", "APPROVED", "RETURNED", "CANCELED"], "RENTED"),
        Field::moment("rentedDate", "When it was approved.").or_null(),
        Field::moment("returnedDate", "When it was returned.").or_null(),
        Field::moment("canceledDate", "When it was turned back.").or_null(),
        REASON,
        STAGE,
        Field::text("waitingFor", "Who has to act.", "administrator").or_null(),
        DEADLINE,
        VERSION,
    ],
);

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

const PAYMENT: Shape = Shape::new(
    "RentalPayment",
    &[
        Field::id("id", "Its id."),
        Field::id("rentId", "Of which rental."),
        USER,
        Field::number("bookId", "For which book.", "1"),
        FEE,
        CURRENCY,
        Field::choice("status", "Where the money is.", &["PENDING", "PAID", "REFUNDED", "DECLINED", "NONE"], "PAID"),
        Field::moment("paidDate", "When it was taken.").or_null(),
        REFUNDED,
        VERSION,
    ],
);

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

const DASHBOARD: Shape = Shape::new(
    "Dashboard",
    &[
        Field::moment("paidDate", "When it was paid.").or_null(),
        Field::moment("approvedDate", "When it was approved.").or_null(),
        REFUNDED,
    ],
)
.and(&RENTAL);

fn dashboard(row: &Row) -> Value {
    let mut dashboard = rental(row);
    dashboard["paidDate"] = json!(time(row, Stage::Paid.as_str()));
    dashboard["approvedDate"] = json!(time(row, Stage::Approved.as_str()));
    dashboard["refundedDate"] = json!(row.times.get("refunded"));
    dashboard
}
