//! What the workers' tables have in common: one error, one lock per booking.

use deadpool_postgres::{Client, Pool, PoolError, Transaction};
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Item},
    contracts::{
        Stand, Standing,
        recovery::{Claim, Claims, OpenAfter},
    },
    money::Money,
};

/// How much of what is open is listed at once.
const OPEN_PAGE: i64 = 500;

/// The database did not answer as it should. To an activity that means: not known yet, try again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] tokio_postgres::Error),
    /// No connection in time.
    #[error("no database connection")]
    Connection(#[from] PoolError),
    /// A column holds what we never write.
    #[error("the column {0} holds something unexpected")]
    Corrupt(&'static str),
    /// Others got on, again and again, and we did not.
    #[error("too much contention")]
    Contended,
}

/// The SQL state behind an error, when there is one.
#[must_use]
pub fn code(error: &Error) -> Option<&SqlState> {
    match error {
        Error::Statement(error) => error.code(),
        Error::Connection(_) | Error::Corrupt(_) | Error::Contended => None,
    }
}

/// Begins a transaction about one booking. Everything about a booking happens in turn: a second one waits for the first.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn begin(client: &mut Client, booking: Uuid) -> Result<Transaction<'_>, Error> {
    let transaction = client.transaction().await?;
    let lock = transaction.prepare_cached("select pg_advisory_xact_lock(hashtextextended($1, 0))").await?;
    transaction.execute(&lock, &[&booking.to_string()]).await?;
    Ok(transaction)
}

/// Reads a page of what is open. `select` takes the last booking of the page before, an age in seconds and the length of a
/// page, and gives booking, workflow and customer; `item` reads what is booked, where that is known.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn open_page(
    pool: &Pool,
    select: &str,
    page: &OpenAfter,
    item: fn(&Row) -> Option<Item>,
) -> Result<Claims, Error> {
    let client = pool.get().await?;
    let select = client.prepare_cached(select).await?;
    let after = page.after.map(|booking| booking.0);
    let rows = client.query(&select, &[&after, &f64::from(page.seconds), &OPEN_PAGE]).await?;
    let claim = |row: &Row| Claim {
        booking: BookingId(row.get("booking")),
        workflow: row.get("workflow"),
        customer: row.get::<_, Option<&str>>("customer").and_then(|subject| subject.parse().ok()),
        item: item(row),
    };
    Ok(Claims { claims: rows.iter().map(claim).collect() })
}

/// Reads how far something is for some bookings. `select` takes them, and gives booking and standing, in a word.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn stands(pool: &Pool, select: &str, of: &[BookingId]) -> Result<Vec<Stand>, Error> {
    let of: Vec<Uuid> = of.iter().map(|booking| booking.0).collect();
    let client = pool.get().await?;
    let select = client.prepare_cached(select).await?;
    let stand = |row: &Row| {
        let standing = match row.get("standing") {
            "nothing" => Standing::Nothing,
            "done" => Standing::Done,
            "firm" => Standing::Firm,
            "back" => Standing::Back,
            _ => return Err(Error::Corrupt("standing")),
        };
        Ok(Stand { booking: BookingId(row.get("booking")), standing })
    };
    client.query(&select, &[&of]).await?.iter().map(stand).collect()
}

/// Reads an amount from its two columns.
///
/// # Errors
/// [`Error::Corrupt`] when they hold no amount.
pub fn money(amount_minor: i64, currency: &str) -> Result<Money, Error> {
    let currency = iso_currency::Currency::from_code(currency).ok_or(Error::Corrupt("currency"))?;
    Money::new(amount_minor, currency).map_err(|_| Error::Corrupt("amount"))
}
