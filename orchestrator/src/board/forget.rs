//! What the board forgets: customers who ask for it, and bookings that ended long ago.

use super::Error;
use deadpool_postgres::Pool;
use process::settings::{self, optional};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use workflows::booking::{BookingId, Subject};

const DAY: Duration = Duration::from_hours(24);
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// So many bookings at a time, so that nobody waits for their locks.
const BATCH: i64 = 500;

pub(super) async fn open_of(pool: &Pool, customer: &Subject) -> Result<i64, Error> {
    let client = pool.get().await?;
    let count = "select count(*) from bookings where customer = $1 and ending is null";
    Ok(client.query_one(count, &[&customer.as_str()]).await?.get(0))
}

pub(super) async fn ended_of(pool: &Pool, customer: &Subject, limit: i64) -> Result<Vec<(String, BookingId)>, Error> {
    let client = pool.get().await?;
    let ended =
        "select system, booking from bookings where customer = $1 and ending is not null order by appeared limit $2";
    let rows = client.query(ended, &[&customer.as_str(), &limit]).await?;
    Ok(rows.iter().map(|row| (row.get(0), BookingId(row.get(1)))).collect())
}

pub(super) async fn owner(pool: &Pool, bookings: &[BookingId], nobody: &str) -> Result<u64, Error> {
    let ids: Vec<_> = bookings.iter().map(|booking| booking.0).collect();
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("update history set customer = $2 where booking = any($1)", &[&ids, &nobody]).await?;
    // What was written about the customer (names, places) goes; when what happened, to what, and for how much, stays.
    let bookings = "update bookings set customer = $2, details = '{}', fingerprint = null where booking = any($1)";
    let forgotten = transaction.execute(bookings, &[&ids, &nobody]).await?;
    transaction.commit().await?;
    Ok(forgotten)
}

/// For how long bookings are kept after they have ended; for ever where it is not set.
///
/// # Errors
/// [`settings::Error`] when `HOLDFAST_BOARD_KEEP_DAYS` is no number from 1.
pub(super) fn keep() -> Result<Option<Duration>, settings::Error> {
    let days: Option<std::num::NonZeroU16> = optional("HOLDFAST_BOARD_KEEP_DAYS", "a number of days from 1")?;
    Ok(days.map(|days| DAY * u32::from(days.get())))
}

/// Forgets what ended longer ago, again and again, until told to stop. What operators did to a booking stays on record.
pub(super) async fn sweep(pool: Pool, keep: Duration, stop: CancellationToken) {
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(sweep.tick()).await.is_some() {
        loop {
            match ended(&pool, keep).await {
                Ok(0) => break,
                Ok(bookings) => tracing::info!(bookings, "bookings that ended long ago are forgotten"),
                Err(error) => {
                    tracing::warn!(
                        error = process::logs::chain(&error),
                        "nothing is forgotten: the board does not answer"
                    );
                    break;
                }
            }
        }
    }
}

async fn ended(pool: &Pool, keep: Duration) -> Result<i64, Error> {
    let client = pool.get().await?;
    let forget = "with gone as (
            delete from bookings where booking in (
                select booking from bookings where ending is not null and at < now() - make_interval(secs => $1)
                order by at limit $2 for update skip locked
            ) returning booking
        ), told as (delete from deliveries d using gone where d.booking = gone.booking
        ), versions as (delete from history h using gone where h.booking = gone.booking)
        select count(*) from gone";
    Ok(client.query_one(forget, &[&keep.as_secs_f64(), &BATCH]).await?.get(0))
}
