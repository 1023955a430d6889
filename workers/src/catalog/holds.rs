//! Holds: the exclusive claim of a booking on a unit.
//!
//! Everything about one booking happens under one lock, so that two attempts at the same call, or a call and its undo,
//! come one after the other. Between bookings the table's exclusion constraint decides.

use crate::{
    metrics::HOLDS,
    store::{self, Error, begin, money},
};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Item, Period, Subject},
    contracts::{
        Due, Settled, Stand,
        catalog::{FreeAnswer, FreeRequest, Held, HoldAnswer, HoldRequest, Sight},
        recovery::{Claims, OpenAfter},
    },
};

/// How often a hold that collided with another one looks again. Each collision means that somebody else got on.
const COLLISIONS_MAX: u32 = 20;

/// How many units are held now, by system and state.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn live(pool: &Pool) -> Result<Vec<(String, String, i64)>, Error> {
    let client = pool.get().await?;
    // Every catalogue is listed, also while nothing of it is held.
    let select = "select system, state, count(*) from holds join units using (unit) \
                  where state in ('held', 'confirmed') group by system, state \
                  union all select system, 'held', 0 from counters";
    let select = client.prepare_cached(select).await?;
    let level = |row: &Row| (row.get(0), row.get(1), row.get(2));
    Ok(client.query(&select, &[]).await?.iter().map(level).collect())
}

/// Keeps the contract [`workflows::contracts::catalog::Hold`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn hold(pool: &Pool, request: &HoldRequest) -> Result<HoldAnswer, Error> {
    for _ in 0..COLLISIONS_MAX {
        match try_hold(pool, request).await {
            Err(error) if collided(&error) => {}
            outcome => {
                if let Ok(answer) = &outcome {
                    HOLDS.with_label_values(&[request.item.system.as_str(), word(answer)]).inc();
                }
                return outcome;
            }
        }
    }
    Err(Error::Contended)
}

const fn word(answer: &HoldAnswer) -> &'static str {
    match answer {
        HoldAnswer::Held(_) => "held",
        HoldAnswer::Taken { .. } => "taken",
        HoldAnswer::UnknownItem => "unknown_item",
        HoldAnswer::Closed => "closed",
    }
}

/// Keeps the contract [`workflows::contracts::catalog::Release`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn release(pool: &Pool, due: &Due) -> Result<Settled, Error> {
    let booking = due.booking.0;
    let mut client = pool.get().await?;
    let transaction = begin(&mut client, booking).await?;
    let find = "select state, unit is not null as granted from holds where booking = $1";
    let hold = transaction.query_opt(find, &[&booking]).await?;
    let settled = match hold.as_ref().map(|hold| (hold.get("state"), hold.get("granted"))) {
        Some(("held" | "confirmed", _)) => {
            let end = "update holds set state = 'released', released_at = now() where booking = $1";
            transaction.execute(end, &[&booking]).await?;
            Settled::Done
        }
        // The first answer.
        Some(("released", true)) => Settled::Done,
        // Never granted: there is nothing to release, and the refusal stands.
        Some(_) => Settled::Nothing,
        None => {
            let close = "insert into holds (booking, state, released_at) values ($1, 'released', now())";
            transaction.execute(close, &[&booking]).await?;
            Settled::Nothing
        }
    };
    transaction.commit().await?;
    Ok(settled)
}

/// Keeps the contract [`workflows::contracts::catalog::Confirm`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn confirm(pool: &Pool, due: &Due) -> Result<Settled, Error> {
    let booking = due.booking.0;
    let mut client = pool.get().await?;
    let transaction = begin(&mut client, booking).await?;
    let find = "select state, confirmed_at is not null as confirmed from holds where booking = $1";
    let hold = transaction.query_opt(find, &[&booking]).await?;
    let settled = match hold.as_ref().map(|hold| (hold.get("state"), hold.get("confirmed"))) {
        Some(("held", _)) => {
            let confirm = "update holds set state = 'confirmed', confirmed_at = now() where booking = $1";
            transaction.execute(confirm, &[&booking]).await?;
            Settled::Done
        }
        // The first answer, also when it has been given back since.
        Some((_, true)) => Settled::Done,
        _ => Settled::Refused { reason: "hold_released".to_owned() },
    };
    transaction.commit().await?;
    Ok(settled)
}

/// Keeps the contract [`workflows::contracts::catalog::Look`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn look(pool: &Pool, due: &Due) -> Result<Sight, Error> {
    let client = pool.get().await?;
    let find = "select system, number, name, price_minor, currency, confirmed_at is not null as confirmed, \
                state = 'released' as released from holds join units using (unit) where booking = $1";
    let Some(row) = client.query_opt(find, &[&due.booking.0]).await? else { return Ok(Sight::default()) };
    let item = Item { system: row.get("system"), number: row.get("number") };
    Ok(Sight {
        item: Some(item),
        held: Some(held(&row)?),
        confirmed: row.get("confirmed"),
        released: row.get("released"),
    })
}

/// Keeps the contract [`workflows::contracts::catalog::Free`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn free(pool: &Pool, request: &FreeRequest) -> Result<FreeAnswer, Error> {
    let client = pool.get().await?;
    let find = "select exists (select from units u join items i using (system, number) where system = $1 \
                and removed_at is null and not exists (select from holds h where h.unit = u.unit \
                and h.state in ('held', 'confirmed') and h.period && tstzrange($2, $3)))";
    let (from, to) = bounds(request.period);
    let free: bool = client.query_one(find, &[&request.system, &from, &to]).await?.get(0);
    Ok(if free { FreeAnswer::Free } else { FreeAnswer::NothingFree })
}

/// Keeps the contract [`workflows::contracts::catalog::Open`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn open(pool: &Pool, page: &OpenAfter) -> Result<Claims, Error> {
    let select = "select booking, workflow, customer, system, number from holds join units using (unit) \
                  where state in ('held', 'confirmed') and workflow is not null \
                  and held_at < now() - make_interval(secs => $2) and ($1::uuid is null or booking > $1) \
                  order by booking limit $3";
    let item = |row: &Row| Some(Item { system: row.get("system"), number: row.get("number") });
    store::open_page(pool, select, page, item).await
}

/// Keeps the contract [`workflows::contracts::catalog::Stands`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn stands(pool: &Pool, of: &[BookingId]) -> Result<Vec<Stand>, Error> {
    let select = "select booking, case state when 'held' then 'done' when 'confirmed' then 'firm' \
                  when 'released' then 'back' else 'nothing' end as standing from holds where booking = any($1)";
    store::stands(pool, select, of).await
}

async fn try_hold(pool: &Pool, request: &HoldRequest) -> Result<HoldAnswer, Error> {
    let mut client = pool.get().await?;
    let transaction = begin(&mut client, request.booking.0).await?;
    if let Some(answer) = first_answer(&transaction, request.booking.0).await? {
        return Ok(answer);
    }
    let answer = match listed(&transaction, &request.item).await? {
        None => refuse(&transaction, request, "unknown_item", HoldAnswer::UnknownItem).await?,
        Some(listed) => match free_unit(&transaction, request).await? {
            None => refuse(&transaction, request, "taken", HoldAnswer::Taken { until: None }).await?,
            Some(unit) => claim(&transaction, request, unit, request.was_held.clone().unwrap_or(listed)).await?,
        },
    };
    transaction.commit().await?;
    Ok(answer)
}

/// The answer this booking has had before.
async fn first_answer(transaction: &Transaction<'_>, booking: Uuid) -> Result<Option<HoldAnswer>, Error> {
    let find =
        transaction.prepare_cached("select state, name, price_minor, currency from holds where booking = $1").await?;
    let Some(row) = transaction.query_opt(&find, &[&booking]).await? else { return Ok(None) };
    Ok(Some(match row.get("state") {
        "held" | "confirmed" => HoldAnswer::Held(held(&row)?),
        "taken" => HoldAnswer::Taken { until: None },
        "unknown_item" => HoldAnswer::UnknownItem,
        _ => HoldAnswer::Closed,
    }))
}

/// Shared with other holds, and with nobody who takes the item off the catalogue: either is waited for by the other.
async fn listed(transaction: &Transaction<'_>, item: &Item) -> Result<Option<Held>, Error> {
    let find = transaction
        .prepare_cached(
            "select name, price_minor, currency from items where system = $1 and number = $2 and removed_at is null \
             for share",
        )
        .await?;
    let row = transaction.query_opt(&find, &[&item.system, &item.number]).await?;
    row.map(|row| held(&row)).transpose()
}

/// A unit nobody holds. First one that nobody is just trying to take, so that popular items do not queue behind each
/// other; then, before we say "taken", once more, waiting for those who are: they may give up.
async fn free_unit(transaction: &Transaction<'_>, request: &HoldRequest) -> Result<Option<i64>, Error> {
    const FREE: &str = "select unit from units u where system = $1 and number = $2 and not exists \
        (select from holds h where h.unit = u.unit and h.state in ('held', 'confirmed') \
        and h.period && tstzrange($3, $4)) order by ordinal limit 1 for update";
    let Item { system, number } = &request.item;
    let (from, to) = bounds(request.period);
    let quick = transaction.prepare_cached(&format!("{FREE} skip locked")).await?;
    if let Some(row) = transaction.query_opt(&quick, &[system, number, &from, &to]).await? {
        return Ok(Some(row.get(0)));
    }
    let patient = transaction.prepare_cached(FREE).await?;
    let row = transaction.query_opt(&patient, &[system, number, &from, &to]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// A range without bounds is always.
fn bounds(period: Option<Period>) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    (period.map(Period::from), period.map(Period::to))
}

async fn claim(
    transaction: &Transaction<'_>,
    request: &HoldRequest,
    unit: i64,
    listed: Held,
) -> Result<HoldAnswer, Error> {
    let claim = transaction
        .prepare_cached(
            "insert into holds (booking, workflow, customer, unit, state, name, price_minor, currency, period) \
             values ($1, $2, $3, $4, 'held', $5, $6, $7, tstzrange($8, $9))",
        )
        .await?;
    let price = listed.price;
    let (from, to) = bounds(request.period);
    transaction
        .execute(
            &claim,
            &[
                &request.booking.0,
                &request.workflow,
                &request.customer.as_ref().map(Subject::as_str),
                &unit,
                &listed.name,
                &price.amount_minor(),
                &price.currency().code(),
                &from,
                &to,
            ],
        )
        .await?;
    Ok(HoldAnswer::Held(listed))
}

/// Writes the refusal down: another attempt at the same call, still on its way, must not succeed after this answer. What was
/// held before is not refused for good: whoever stands in its way may go.
async fn refuse(
    transaction: &Transaction<'_>,
    request: &HoldRequest,
    state: &str,
    answer: HoldAnswer,
) -> Result<HoldAnswer, Error> {
    if request.was_held.is_some() {
        return Ok(answer);
    }
    let refuse = transaction.prepare_cached("insert into holds (booking, workflow, state) values ($1, $2, $3)").await?;
    transaction.execute(&refuse, &[&request.booking.0, &request.workflow, &state]).await?;
    Ok(answer)
}

fn held(row: &Row) -> Result<Held, Error> {
    Ok(Held { name: row.get("name"), price: money(row.get("price_minor"), row.get("currency"))? })
}

/// Did another booking win the unit between our look and our claim?
fn collided(error: &Error) -> bool {
    matches!(store::code(error), Some(code) if *code == SqlState::EXCLUSION_VIOLATION || *code == SqlState::T_R_DEADLOCK_DETECTED)
}
