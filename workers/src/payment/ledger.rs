//! Ledger: what we have asked of the provider, and where the money is, in double entry.
//!
//! An intent is committed before the provider is called; every answer is recorded with its postings in one transaction.
//! No transaction is open while the provider is called.

use super::provider::{Captured, Charged};
use crate::store::{self, Error, begin, open_page};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;
use workflows::{
    booking::BookingId,
    contracts::{
        Settled, Stand,
        payment::{ChargeAnswer, ChargeRequest},
        recovery::{Claims, OpenAfter},
    },
    money::Money,
};

/// How long after it was sent a refund may still take effect, when the provider's answer was lost.
const REFUND_SETTLES: Duration = Duration::from_mins(2);

/// How many charges are in a state, and how far they are from their postings.
#[derive(Clone, Debug)]
pub struct Level {
    /// Which state.
    pub state: String,
    /// In which currency.
    pub currency: String,
    /// How many.
    pub charges: i64,
    /// What they and their postings differ by, in minor units.
    pub difference_minor: i64,
}

/// Our books.
#[derive(Clone)]
pub struct Ledger {
    pool: Pool,
}

/// One side of a movement of money.
#[derive(Clone, Debug, Serialize)]
pub struct Posting {
    /// `capture`, `refund` or `write_off`.
    pub movement: String,
    /// `customer`, `bookings` or `written_off`.
    pub account: String,
    /// What came to the account; less than zero: what went from it.
    pub amount_minor: i64,
    /// The currency's code.
    pub currency: String,
    /// When.
    pub posted_at: DateTime<Utc>,
}

/// What the ledger says to a charge.
pub(super) enum Opened {
    /// It has been answered before.
    Answered(ChargeAnswer),
    /// The intent is written down: the provider may be asked.
    New,
    /// An earlier attempt may have asked: look it up first.
    InDoubt,
}

/// What the ledger says to a refund.
pub(super) enum Undoing {
    /// There is nothing to do any more.
    Over(Ended),
    /// Closed to charging; this is what is known of the charge.
    Open(Standing),
}

/// How a charge has ended that had to be given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was taken, and nothing will be.
    Empty,
    /// The money is back.
    Refunded,
    /// The money was given up.
    WrittenOff,
}

/// What is known of a charge that has to be given back.
pub(super) enum Standing {
    /// It was captured. In doubt: an earlier attempt may have refunded it already.
    Captured { captured: Captured, in_doubt: bool },
    /// It may have been captured.
    InDoubt { sent_at: DateTime<Utc> },
}

/// A charge as a comparison with the provider's books sees it.
#[derive(Clone, Debug)]
pub(super) struct Booked {
    pub state: String,
    pub amount: Money,
    /// What it is called there, once it was captured.
    pub reference: Option<String>,
}

struct Charge {
    state: String,
    amount: Money,
    decline: Option<String>,
    reference: Option<String>,
    sent_at: DateTime<Utc>,
    refund_sent_at: Option<DateTime<Utc>>,
}

impl Ledger {
    /// A ledger in the database behind `pool`.
    #[must_use]
    pub const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Writes the intent to charge down, before the provider hears of it.
    pub(super) async fn open(&self, request: &ChargeRequest) -> Result<Opened, Error> {
        let booking = request.booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        if let Some(charge) = find(&transaction, booking).await? {
            return Ok(match charge.state.as_str() {
                "intended" => Opened::InDoubt,
                _ => Opened::Answered(answer(&charge)),
            });
        }
        let insert = transaction
            .prepare_cached(
                "insert into charges (booking, workflow, customer, method, amount_minor, currency, state) \
                 values ($1, $2, $3, $4, $5, $6, 'intended')",
            )
            .await?;
        let (amount, currency) = (request.amount.amount_minor(), request.amount.currency().code());
        let customer = request.customer.as_str();
        transaction
            .execute(&insert, &[&booking, &request.workflow, &customer, &request.method, &amount, &currency])
            .await?;
        transaction.commit().await?;
        Ok(Opened::New)
    }

    /// Writes down that the provider is about to be asked again, unless a refund has closed the booking meanwhile.
    pub(super) async fn resend(&self, booking: BookingId) -> Result<Option<ChargeAnswer>, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?.ok_or(Error::Corrupt("charges.booking"))?;
        if charge.state != "intended" {
            return Ok(Some(answer(&charge)));
        }
        transaction.execute("update charges set sent_at = now() where booking = $1", &[&booking]).await?;
        transaction.commit().await?;
        Ok(None)
    }

    /// Records the provider's answer to a charge, unless a refund has closed it meanwhile: then the refund deals with
    /// what was taken.
    pub(super) async fn settle(&self, booking: BookingId, charged: Charged) -> Result<ChargeAnswer, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?.ok_or(Error::Corrupt("charges.booking"))?;
        if charge.state != "intended" {
            return Ok(answer(&charge));
        }
        let answer = match charged {
            Charged::Captured(captured) => {
                capture(&transaction, booking, &charge, &captured, "captured").await?;
                ChargeAnswer::Captured
            }
            Charged::Declined { reason } => {
                let decline =
                    "update charges set state = 'declined', decline = $2, settled_at = now() where booking = $1";
                transaction.execute(decline, &[&booking, &reason]).await?;
                ChargeAnswer::Declined { reason }
            }
        };
        transaction.commit().await?;
        Ok(answer)
    }

    /// Closes a booking to charging, and says what is to be given back.
    pub(super) async fn begin_refund(&self, booking: BookingId) -> Result<Undoing, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let Some(charge) = find(&transaction, booking).await? else {
            // No row is no proof that nothing was taken: these books may be those of last night.
            let close = "insert into charges (booking, amount_minor, currency, state) values ($1, 0, 'XXX', 'refunding') \
                         returning sent_at";
            let sent_at = transaction.query_one(close, &[&booking]).await?.get(0);
            transaction.commit().await?;
            return Ok(Undoing::Open(Standing::InDoubt { sent_at }));
        };
        let undoing = match charge.state.as_str() {
            "declined" | "voided" => Undoing::Over(Ended::Empty),
            "refunded" => Undoing::Over(Ended::Refunded),
            "written_off" => Undoing::Over(Ended::WrittenOff),
            _ => {
                let close = "update charges set state = 'refunding' where booking = $1";
                transaction.execute(close, &[&booking]).await?;
                Undoing::Open(match charge.reference {
                    Some(reference) => {
                        let captured = Captured { reference, amount: charge.amount, refunded: false };
                        Standing::Captured { captured, in_doubt: charge.state == "refunding" }
                    }
                    None => Standing::InDoubt { sent_at: charge.sent_at },
                })
            }
        };
        transaction.commit().await?;
        Ok(undoing)
    }

    /// Records that a charge in doubt was captured after all, while it is being refunded.
    pub(super) async fn record_capture(&self, booking: BookingId, captured: Captured) -> Result<Captured, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?.ok_or(Error::Corrupt("charges.booking"))?;
        if charge.reference.is_none() {
            capture(&transaction, booking, &charge, &captured, "refunding").await?;
            transaction.commit().await?;
        }
        Ok(captured)
    }

    /// Writes down that the provider is about to be asked for a refund. `false`: there is nothing to give back any more.
    pub(super) async fn send_refund(&self, booking: BookingId) -> Result<bool, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let send = "update charges set refund_sent_at = now() where booking = $1 and state = 'refunding'";
        let open = transaction.execute(send, &[&booking]).await?;
        transaction.commit().await?;
        Ok(open == 1)
    }

    /// Records that the provider will not refund for now: nothing is on its way any more.
    pub(super) async fn refund_refused(&self, booking: BookingId) -> Result<(), Error> {
        let client = self.pool.get().await?;
        client.execute("update charges set refund_sent_at = null where booking = $1", &[&booking.0]).await?;
        Ok(())
    }

    /// Records that the money is back, and what a refund that was made by hand is called.
    pub(super) async fn record_refund(&self, booking: BookingId, by_hand: Option<&str>) -> Result<Ended, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?.ok_or(Error::Corrupt("charges.booking"))?;
        // Given up meanwhile: what comes back now is for a person to look at.
        if charge.state == "written_off" {
            return Ok(Ended::WrittenOff);
        }
        if charge.state != "refunded" {
            let refunded = "update charges set state = 'refunded', refunded_at = now(), refund_sent_at = null, \
                            resolved_ref = $2 where booking = $1";
            transaction.execute(refunded, &[&booking, &by_hand]).await?;
            post(&transaction, booking, &REFUND, charge.amount).await?;
            transaction.commit().await?;
        }
        Ok(Ended::Refunded)
    }

    /// Records that the money is given up: it stays where it is, and is no longer held for the booking. `None`: a refund
    /// may still be on its way at the provider.
    pub(super) async fn write_off(&self, booking: BookingId) -> Result<Option<Ended>, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?.ok_or(Error::Corrupt("charges.booking"))?;
        if charge.state == "refunded" {
            return Ok(Some(Ended::Refunded));
        }
        if charge.refund_sent_at.is_some_and(|sent_at| Utc::now() < sent_at + REFUND_SETTLES) {
            return Ok(None);
        }
        if charge.state != "written_off" {
            let given_up = "update charges set state = 'written_off', settled_at = now() where booking = $1";
            transaction.execute(given_up, &[&booking]).await?;
            post(&transaction, booking, &WRITE_OFF, charge.amount).await?;
            transaction.commit().await?;
        }
        Ok(Some(Ended::WrittenOff))
    }

    /// What is known of a charge that has been asked for before; `None`: nothing for sure.
    pub(super) async fn answered(&self, booking: BookingId) -> Result<Option<ChargeAnswer>, Error> {
        let booking = booking.0;
        let mut client = self.pool.get().await?;
        let transaction = begin(&mut client, booking).await?;
        let charge = find(&transaction, booking).await?;
        Ok(charge.filter(|charge| charge.state != "intended").map(|charge| answer(&charge)))
    }

    /// How far the charge of a booking is; `None`: there is none.
    pub(super) async fn state(&self, booking: BookingId) -> Result<Option<String>, Error> {
        let client = self.pool.get().await?;
        let row = client.query_opt("select state from charges where booking = $1", &[&booking.0]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The postings of a booking, oldest first.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn postings(&self, booking: BookingId) -> Result<Vec<Posting>, Error> {
        let client = self.pool.get().await?;
        let select = "select movement, account, amount_minor, currency, posted_at from postings \
                      where booking = $1 order by posting";
        let select = client.prepare_cached(select).await?;
        let rows = client.query(&select, &[&booking.0]).await?;
        let posting = |row: &Row| Posting {
            movement: row.get(0),
            account: row.get(1),
            amount_minor: row.get(2),
            currency: row.get(3),
            posted_at: row.get(4),
        };
        Ok(rows.iter().map(posting).collect())
    }

    /// Keeps the contract [`workflows::contracts::payment::Open`].
    ///
    /// # Errors
    /// [`Error`]: not known yet.
    pub async fn open_charges(&self, page: &OpenAfter) -> Result<Claims, Error> {
        let select = "select booking, workflow, customer from charges \
                      where state in ('intended', 'captured', 'refunding') and kept_at is null and workflow is not null \
                      and intended_at < now() - make_interval(secs => $2) and ($1::uuid is null or booking > $1) \
                      order by booking limit $3";
        open_page(&self.pool, select, page, |_| None).await
    }

    /// The open charges by state and currency.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn levels(&self) -> Result<Vec<Level>, Error> {
        let client = self.pool.get().await?;
        // A refund may have been asked for before it is known whether there was anything to give back.
        let select = client
            .prepare_cached(
                "select state, currency, count(*) as charges, coalesce(sum(case state when 'intended' then abs(posted) \
                 when 'captured' then abs(charges.amount_minor - posted) \
                 else least(abs(posted), abs(charges.amount_minor - posted)) end), 0)::bigint as difference \
                 from charges cross join lateral (select coalesce(sum(amount_minor), 0) as posted from postings \
                 where booking = charges.booking and account = 'bookings') as posted \
                 where state in ('intended', 'captured', 'refunding') and kept_at is null group by state, currency",
            )
            .await?;
        let level = |row: &Row| Level {
            state: row.get("state"),
            currency: row.get("currency"),
            charges: row.get("charges"),
            difference_minor: row.get("difference"),
        };
        Ok(client.query(&select, &[]).await?.iter().map(level).collect())
    }

    /// Keeps the contract [`workflows::contracts::payment::Keep`].
    ///
    /// # Errors
    /// [`Error`]: not known yet.
    pub async fn keep(&self, completed: &[BookingId]) -> Result<(), Error> {
        let bookings: Vec<Uuid> = completed.iter().map(|booking| booking.0).collect();
        let client = self.pool.get().await?;
        let keep =
            "update charges set kept_at = now() where booking = any($1) and state = 'captured' and kept_at is null";
        client.execute(keep, &[&bookings]).await?;
        Ok(())
    }

    /// Keeps the contract [`workflows::contracts::payment::Stands`].
    ///
    /// # Errors
    /// [`Error`]: not known yet.
    pub async fn stands(&self, of: &[BookingId]) -> Result<Vec<Stand>, Error> {
        let select = "select booking, case when state in ('refunded', 'written_off') then 'back' \
                      when provider_ref is not null then 'done' else 'nothing' end as standing \
                      from charges where booking = any($1)";
        store::stands(&self.pool, select, of).await
    }

    /// What a booking's charge is here.
    pub(super) async fn booked(&self, booking: BookingId) -> Result<Option<Booked>, Error> {
        let client = self.pool.get().await?;
        let select = "select state, amount_minor, currency, provider_ref from charges where booking = $1";
        let select = client.prepare_cached(select).await?;
        client.query_opt(&select, &[&booking.0]).await?.map(|row| booked(&row)).transpose()
    }

    /// The charges that were settled or given back since a time, a page of them, and where the next page begins.
    pub(super) async fn settled_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&str>,
        page: usize,
    ) -> Result<(Vec<(BookingId, Booked)>, Option<String>), Error> {
        let place = |place: &str| -> Option<(DateTime<Utc>, Uuid)> {
            let (at, booking) = place.split_once(' ')?;
            Some((at.parse().ok()?, booking.parse().ok()?))
        };
        let (at, after) = match after {
            Some(after) => place(after).ok_or(Error::Corrupt("place in the list of charges"))?,
            None => (since, Uuid::nil()),
        };
        let select = "select booking, state, amount_minor, currency, provider_ref, coalesce(refunded_at, settled_at) as at \
                      from charges where provider_ref is not null and (coalesce(refunded_at, settled_at), booking) > ($1, $2) \
                      order by coalesce(refunded_at, settled_at), booking limit $3";
        let client = self.pool.get().await?;
        let limit = i64::try_from(page).unwrap_or(i64::MAX);
        let rows = client.query(&client.prepare_cached(select).await?, &[&at, &after, &limit]).await?;
        let next = rows.last().filter(|_| rows.len() == page).map(|last| {
            let (at, booking): (DateTime<Utc>, Uuid) = (last.get("at"), last.get("booking"));
            format!("{} {booking}", at.to_rfc3339())
        });
        let charges = rows.iter().map(|row| Ok((BookingId(row.get("booking")), booked(row)?)));
        Ok((charges.collect::<Result<_, Error>>()?, next))
    }

    /// Records that nothing was taken and nothing will be.
    pub(super) async fn void(&self, booking: BookingId) -> Result<Settled, Error> {
        let client = self.pool.get().await?;
        let void = "update charges set state = 'voided', settled_at = now() where booking = $1 and state = 'refunding' \
                    and provider_ref is null";
        client.execute(void, &[&booking.0]).await?;
        Ok(Settled::Nothing)
    }
}

fn booked(row: &Row) -> Result<Booked, Error> {
    Ok(Booked {
        state: row.get("state"),
        amount: crate::store::money(row.get("amount_minor"), row.get("currency"))?,
        reference: row.get("provider_ref"),
    })
}

async fn find(transaction: &Transaction<'_>, booking: Uuid) -> Result<Option<Charge>, Error> {
    let select = transaction
        .prepare_cached(
            "select state, amount_minor, currency, decline, provider_ref, sent_at, refund_sent_at from charges where booking = $1",
        )
        .await?;
    let row = transaction.query_opt(&select, &[&booking]).await?;
    row.map(|row| charge(&row)).transpose()
}

fn charge(row: &Row) -> Result<Charge, Error> {
    Ok(Charge {
        state: row.get("state"),
        amount: crate::store::money(row.get("amount_minor"), row.get("currency"))?,
        decline: row.get("decline"),
        reference: row.get("provider_ref"),
        sent_at: row.get("sent_at"),
        refund_sent_at: row.get("refund_sent_at"),
    })
}

/// The first answer to a charge. While or after it is given back, the booking is closed to charging.
fn answer(charge: &Charge) -> ChargeAnswer {
    match charge.state.as_str() {
        "captured" => ChargeAnswer::Captured,
        "declined" => ChargeAnswer::Declined { reason: charge.decline.clone().unwrap_or_default() },
        _ => ChargeAnswer::Closed,
    }
}

async fn capture(
    transaction: &Transaction<'_>,
    booking: Uuid,
    charge: &Charge,
    captured: &Captured,
    state: &str,
) -> Result<(), Error> {
    // The provider's figure is what will be refunded; it must be the one we asked for, where we know what that was.
    if captured.amount != charge.amount && !charge.amount.is_zero() {
        return Err(Error::Corrupt("provider amount"));
    }
    let Captured { reference, amount, .. } = captured;
    let record = "update charges set state = $2, provider_ref = $3, amount_minor = $4, currency = $5, settled_at = now() \
                  where booking = $1";
    let (minor, currency) = (amount.amount_minor(), amount.currency().code());
    transaction.execute(record, &[&booking, &state, reference, &minor, &currency]).await?;
    post(transaction, booking, &CAPTURE, *amount).await
}

/// Money that goes from one account to another. Each movement happens once per booking: the table says so.
struct Movement {
    name: &'static str,
    from: &'static str,
    to: &'static str,
}

/// The customer pays, and we hold it for the booking.
const CAPTURE: Movement = Movement { name: "capture", from: "customer", to: "bookings" };
/// It goes back.
const REFUND: Movement = Movement { name: "refund", from: "bookings", to: "customer" };
/// It is given up: nobody gets it back.
const WRITE_OFF: Movement = Movement { name: "write_off", from: "bookings", to: "written_off" };

/// Posts a movement: both sides in one statement.
async fn post(transaction: &Transaction<'_>, booking: Uuid, movement: &Movement, money: Money) -> Result<(), Error> {
    let post = transaction
        .prepare_cached(
            "insert into postings (booking, movement, account, amount_minor, currency) \
             values ($1, $2, $3, -$5::bigint, $6), ($1, $2, $4, $5::bigint, $6)",
        )
        .await?;
    let Movement { name, from, to } = movement;
    transaction.execute(&post, &[&booking, name, from, to, &money.amount_minor(), &money.currency().code()]).await?;
    Ok(())
}
