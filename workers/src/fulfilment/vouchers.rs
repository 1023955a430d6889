//! Vouchers: one per booking, with a code that cannot be guessed.

use crate::store::{self, Error, begin};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rand::{Rng, distr::Alphanumeric};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use workflows::{
    booking::BookingId,
    contracts::{
        Due, Settled, Stand,
        fulfilment::{IssueRequest, VoucherAnswer},
    },
};

/// 62 to the power of 24: 142 bits.
const CODE_LENGTH: usize = 24;

/// A voucher as its customer and its sender see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voucher {
    /// Of which booking.
    pub booking: BookingId,
    /// What opens the door. Only while it is good.
    pub code: Option<String>,
    /// `issued`, `sent` or `disabled`.
    pub state: String,
    /// When it was issued.
    pub issued_at: Option<DateTime<Utc>>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// Keeps the contract [`workflows::contracts::fulfilment::Issue`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn issue(pool: &Pool, request: &IssueRequest) -> Result<VoucherAnswer, Error> {
    let booking = request.booking.0;
    let mut client = pool.get().await?;
    let transaction = begin(&mut client, booking).await?;
    // A repeat finds the first voucher, with its first code.
    let insert = "insert into vouchers (booking, code, customer, state, issued_at) values ($1, $2, $3, 'issued', now()) \
                  on conflict (booking) do nothing";
    transaction.execute(insert, &[&booking, &code(), &request.customer.as_str()]).await?;
    let state = "select state from vouchers where booking = $1";
    let answer = answer(transaction.query_one(state, &[&booking]).await?.get(0));
    transaction.commit().await?;
    Ok(answer)
}

/// Keeps the contract [`workflows::contracts::fulfilment::Send`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn send(pool: &Pool, due: &Due) -> Result<VoucherAnswer, Error> {
    let client = pool.get().await?;
    let send = "update vouchers set state = 'sent', sent_at = coalesce(sent_at, now()) \
                where booking = $1 and state in ('issued', 'sent')";
    let changed = client.execute(send, &[&due.booking.0]).await?;
    Ok(if changed == 1 { VoucherAnswer::Good } else { VoucherAnswer::Closed })
}

/// Keeps the contract [`workflows::contracts::fulfilment::Disable`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn disable(pool: &Pool, due: &Due) -> Result<Settled, Error> {
    let booking = due.booking.0;
    let mut client = pool.get().await?;
    let transaction = begin(&mut client, booking).await?;
    let disable = "insert into vouchers as known (booking, state, disabled_at) values ($1, 'disabled', now()) \
                   on conflict (booking) do update set state = 'disabled', \
                   disabled_at = coalesce(known.disabled_at, now()) returning code is not null";
    let was_issued: bool = transaction.query_one(disable, &[&booking]).await?.get(0);
    transaction.commit().await?;
    Ok(if was_issued { Settled::Done } else { Settled::Nothing })
}

/// Keeps the contract [`workflows::contracts::fulfilment::Stands`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn stands(pool: &Pool, of: &[BookingId]) -> Result<Vec<Stand>, Error> {
    let select = "select booking, case state when 'issued' then 'done' when 'sent' then 'firm' else 'back' end as standing \
                  from vouchers where booking = any($1)";
    store::stands(pool, select, of).await
}

/// The vouchers of some bookings; those without one are left out.
pub(super) async fn of(pool: &Pool, bookings: &[uuid::Uuid]) -> Result<Vec<Voucher>, Error> {
    let client = pool.get().await?;
    let select = "select booking, case when state <> 'disabled' then code end as code, state, issued_at, sent_at, \
                  disabled_at from vouchers where booking = any($1) and code is not null order by booking";
    Ok(client.query(select, &[&bookings]).await?.iter().map(voucher).collect())
}

fn answer(state: &str) -> VoucherAnswer {
    if state == "disabled" { VoucherAnswer::Closed } else { VoucherAnswer::Good }
}

fn code() -> String {
    // Seeded by the operating system.
    rand::rng().sample_iter(Alphanumeric).take(CODE_LENGTH).map(char::from).collect()
}

fn voucher(row: &Row) -> Voucher {
    Voucher {
        booking: BookingId(row.get("booking")),
        code: row.get("code"),
        state: row.get("state"),
        issued_at: row.get("issued_at"),
        sent_at: row.get("sent_at"),
        disabled_at: row.get("disabled_at"),
    }
}
