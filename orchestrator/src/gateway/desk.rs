//! Desk: what every system does the same way when it takes a booking, shows it, or passes a word on to it.

use super::{
    Gateway,
    call::{Call, Fields, json, located, no_content, versioned},
    problem::{Code, Problem},
    start::{Begun, Wanted},
    systems::{self, System},
    talk::Message,
};
use crate::board::Filter;
use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde::Serialize;
use serde_json::{Value, json};
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Row},
    contracts::{catalog, payment},
    money::{AMOUNT_MAX_MINOR, Money},
    saga::{Said, stage},
};

/// How a row is shown.
pub(super) type Show = fn(&Row) -> Value;

/// A row as its system shows it, with its version.
pub(super) fn shown(status: StatusCode, row: &Row, show: Show) -> Response {
    versioned(row, json(status, &show(row)))
}

/// Reads what a customer asks for, and takes it. A repeat under a key is answered as the first time, also when what was asked
/// for could not be asked for any more: its days are over, its item is gone.
pub(super) async fn order(
    gateway: &Gateway,
    call: &Call,
    fields: &Fields,
    system: &System,
    path: &str,
    show: Show,
) -> Result<Response, Problem> {
    match (system.read)(gateway, call, fields).await {
        Ok(wanted) => take(gateway, call, wanted, path, show).await,
        Err(problem) => match gateway.begun_under_key(call, system.name, &fields.canonical()).await? {
            Some(row) => Ok(located(shown(StatusCode::CREATED, &row, show), &format!("{path}/{}", row.booking))),
            None => Err(problem),
        },
    }
}

/// Takes a booking: 201 when it is accepted, 202 when that is not known in time, and the refusal when it is turned back.
async fn take(gateway: &Gateway, call: &Call, wanted: Wanted, path: &str, show: Show) -> Result<Response, Problem> {
    match gateway.begin(call, &wanted).await? {
        Begun::Pending(row) => {
            let location = format!("{path}/{}", row.booking);
            Ok(located(shown(StatusCode::ACCEPTED, &row, show), &location))
        }
        Begun::Known(row) if !wanted.accepted(&row) => Err(turned_back(&row, &wanted)),
        Begun::Known(row) => {
            let mut row = *row;
            if call.wait().is_some() {
                // Whoever has time waits until it is somebody's turn: by then it is paid for, where it has to be.
                let settled = |row: &Row| row.waiting_for.is_some();
                row = gateway.row_when(row.booking, call.due(), settled).await?.unwrap_or(row);
                if matches!(row.ending, Some(Ending::Undone { .. })) {
                    return Err(turned_back(&row, &wanted));
                }
            }
            Ok(located(shown(StatusCode::CREATED, &row, show), &format!("{path}/{}", row.booking)))
        }
    }
}

fn turned_back(row: &Row, wanted: &Wanted) -> Problem {
    let code = match row.reason.as_deref() {
        Some(catalog::ITEM_TAKEN) => wanted.taken,
        Some(catalog::UNKNOWN_ITEM) => wanted.unlisted,
        Some(payment::PAYMENT_DECLINED) => Code::PaymentDeclined,
        _ => Code::TurnedBack,
    };
    Problem::new(code).with("booking", row.booking.to_string()).with("reason", row.reason.clone())
}

/// Takes an item off a system's catalogue.
pub(super) async fn remove(gateway: &Gateway, call: &Call, system: &str) -> Result<Response, Problem> {
    let removed = gateway.catalogue.remove(system, call.number(0, Code::UnknownItem)?).await?;
    removed.map(|()| no_content()).ok_or_else(|| Problem::new(Code::UnknownItem))
}

/// A page of a system's bookings that the caller may see.
pub(super) async fn list(
    gateway: &Gateway,
    call: &Call,
    system: &str,
    name: &str,
    show: Show,
) -> Result<Response, Problem> {
    list_where(gateway, call, system, name, show, Filter::default()).await
}

/// The same, of those that a filter chooses.
pub(super) async fn list_where(
    gateway: &Gateway,
    call: &Call,
    system: &str,
    name: &str,
    show: Show,
    filter: Filter,
) -> Result<Response, Problem> {
    let (before, limit) = call.page()?;
    let customer = (!systems::sees_all_of(&call.caller, system)).then(|| call.caller.subject.to_string());
    let filter = Filter { system: Some(system.to_owned()), customer, before, limit, ..filter };
    let page = gateway.board.page(&filter).await?;
    let rows: Vec<Value> = page.rows.iter().map(show).collect();
    Ok(json(StatusCode::OK, &json!({ name: rows, "next": page.next })))
}

/// One of a system's bookings that the caller may see.
pub(super) async fn one(gateway: &Gateway, call: &Call, system: &str, show: Show) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, Some(system)).await?;
    Ok(shown(StatusCode::OK, &row, show))
}

/// The caller's own booking, whatever else their roles show them.
pub(super) async fn own(gateway: &Gateway, call: &Call, system: &str) -> Result<Row, Problem> {
    let row = gateway.booking(call, call.booking(0)?, Some(system)).await?;
    if row.customer == call.caller.subject { Ok(row) } else { Err(Problem::new(Code::Forbidden)) }
}

/// Cancels the caller's own booking.
pub(super) async fn cancel(gateway: &Gateway, call: &Call, row: &Row, show: Show) -> Result<Response, Problem> {
    let effect = |row: &Row| ended_because(row, "cancelled");
    say(gateway, call, row, "cancel", said(call), effect, show).await
}

/// Says that what was booked has been given.
pub(super) async fn complete(gateway: &Gateway, call: &Call, row: &Row, show: Show) -> Result<Response, Problem> {
    let effect = |row: &Row| matches!(row.ending, Some(Ending::Completed));
    say(gateway, call, row, "complete", said(call), effect, show).await
}

/// Passes a word on to a booking by the update of that name, and shows what came of it.
pub(super) async fn say(
    gateway: &Gateway,
    call: &Call,
    row: &Row,
    update: &'static str,
    body: impl Serialize,
    effect: impl Fn(&Row) -> bool,
    show: Show,
) -> Result<Response, Problem> {
    let message = Message::at(row, update, update, json!(body));
    gateway.tell(call, row, message, effect, |row| shown(StatusCode::OK, row, show)).await
}

pub(super) fn said(call: &Call) -> Said {
    Said { by: call.caller.subject.clone() }
}

/// An amount in minor units, with the currency beside it.
pub(super) fn amount(fields: &Fields, field: &str, usual: Currency) -> Result<Option<Money>, Problem> {
    let currency = match fields.text("currency", 3)? {
        None => usual,
        // Codes without digits stand for no money (metals, tests, nothing).
        Some(code) => Currency::from_code(&code)
            .filter(|currency| currency.exponent().is_some())
            .ok_or_else(|| Problem::field("currency", "an ISO 4217 code of money, such as KRW"))?,
    };
    match fields.number(field, 0..=AMOUNT_MAX_MINOR)? {
        Some(amount) => {
            Money::new(amount, currency).map(Some).map_err(|error| Problem::field(field, &error.to_string()))
        }
        None if currency == usual => Ok(None),
        None => Err(Problem::field(field, "an amount in the currency that is given")),
    }
}

/// Has it been there?
pub(super) fn reached(row: &Row, stage: &str) -> bool {
    row.times.contains_key(stage)
}

/// Has it not been turned back?
pub(super) fn stands(row: &Row) -> bool {
    !reached(row, stage::UNDOING) && !matches!(row.ending, Some(Ending::Undone { .. }))
}

/// When was it there?
pub(super) fn time(row: &Row, stage: &str) -> Option<DateTime<Utc>> {
    row.times.get(stage).copied()
}

pub(super) fn ended_because(row: &Row, reason: &str) -> bool {
    matches!(&row.ending, Some(Ending::Undone { reason: because }) if because == reason)
}

/// Where the money of a booking is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paid {
    /// Not asked for, or on its way.
    Pending,
    /// Taken.
    Taken,
    /// Given back.
    Refunded,
    /// The card was declined.
    Declined,
    /// None was taken, and none will be.
    Never,
}

/// Where the money is of a booking that is paid once it has been at a stage.
pub(super) fn paid(row: &Row, stage: &str) -> Paid {
    match &row.ending {
        _ if reached(row, "refunded") => Paid::Refunded,
        Some(Ending::Undone { reason }) if reason == payment::PAYMENT_DECLINED => Paid::Declined,
        Some(Ending::Undone { .. }) => Paid::Never,
        Some(Ending::Completed) | None if reached(row, stage) => Paid::Taken,
        Some(Ending::Completed) | None => Paid::Pending,
    }
}

/// The amount and its currency, under the system's own name.
pub(super) fn price(row: &Row) -> (Option<i64>, Option<&'static str>) {
    (row.price.map(Money::amount_minor), row.price.map(|price| price.currency().code()))
}
