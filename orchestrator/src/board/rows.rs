//! The board's statements.

use super::{Error, feed::CHANNEL};
use crate::metrics::{ENDINGS, STAGES, TIME_IN_STAGE};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
};
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Ending, Item, Party, Period, Row, Stuck},
    contracts::{
        board::Rows,
        recovery::{Claim, Claims, OpenAfter},
    },
    money::Money,
    saga::{Action, Audit},
};

/// So many changes are read at once.
pub(super) const CHANGES_MAX: usize = 100;
/// The transaction of everything that was written in another database: no transaction of ours has this number. Whoever follows the
/// feed knows it (`workers/src/fulfilment/points.rs`).
const BEFORE_HERE: i64 = 1;
/// In one transaction changes are in the order of their numbers, and not in that in which they were committed: so many are told
/// again, that none is left out.
const TOLD_AGAIN: i64 = 1_000;
/// How much of what is open is listed at once.
const OPEN_PAGE: i64 = 500;

/// Which bookings to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this system.
    pub system: Option<String>,
    /// At this stage.
    pub stage: Option<String>,
    /// Waiting for this party.
    pub waiting_for: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this item.
    pub item: Option<i64>,
    /// Stuck at this step.
    pub step: Option<String>,
    /// Stuck for this reason; `no_answer` where no worker gave one.
    pub cause: Option<String>,
    /// Older than this place in the list.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: i64,
}

impl Filter {
    fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.system,
            &self.stage,
            &self.waiting_for,
            &self.customer,
            &self.item,
            &self.step,
            &self.cause,
            &self.before,
        ]
    }
}

/// How many live bookings are at one stage, and what they mean to somebody who looks at all of them.
#[derive(Clone, Debug)]
pub struct Level {
    /// Of which system.
    pub system: String,
    /// At which stage.
    pub stage: String,
    /// Who has to act there.
    pub waiting_for: Option<String>,
    /// How many.
    pub count: i64,
    /// How many of them have to be acted on before the moment that was asked about.
    pub due: i64,
    /// In which currency they are paid.
    pub currency: Option<String>,
    /// What their customers have paid and not got back, in minor units.
    pub held_minor: i64,
    /// How many of them have waited for more than half of the time they may.
    pub late: i64,
    /// The step that holds them up, where they are stuck.
    pub step: Option<String>,
    /// For how long the oldest of them has been there.
    pub oldest_seconds: i64,
    /// The money that has to go back and has not, in minor units.
    pub at_risk_minor: i64,
}

/// A place in the inbox: a deadline, and the order of appearance among equal ones. Without a deadline comes last.
pub type Place = (Option<DateTime<Utc>>, i64);

/// What waits for somebody.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// For one of these parties.
    pub parties: Vec<String>,
    /// Or for this customer.
    pub customer: String,
    /// Of this system.
    pub system: Option<String>,
    /// After this place.
    pub after: Option<Place>,
    /// How many at most.
    pub limit: i64,
}

/// Some of what waits, the most urgent first.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// The bookings.
    pub rows: Vec<Row>,
    /// Where the next page begins.
    pub next: Option<Place>,
}

/// Which interventions to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Interventions {
    /// Of this booking.
    pub booking: Option<BookingId>,
    /// By this operator, under this key.
    pub said: Option<(String, String)>,
    /// Before this place in the list.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: i64,
}

/// What an operator did to a stuck booking.
#[derive(Clone, Debug, Serialize)]
pub struct Intervention {
    /// Its place in the list.
    pub place: i64,
    /// To which booking.
    pub booking: BookingId,
    /// When it was taken up.
    pub at: DateTime<Utc>,
    /// About which step.
    pub step: String,
    /// Who.
    pub by: String,
    /// The move.
    #[serde(rename = "move")]
    pub action: String,
    /// Why, in their words.
    pub reason: String,
    /// The caller's idempotency key.
    #[serde(skip)]
    pub key: Option<String>,
    /// The reference, or the amount.
    pub details: Value,
    /// What was open before.
    pub before: Option<Value>,
    /// What came of it; not known yet when absent.
    pub outcome: Option<Value>,
    /// What was open after.
    pub after: Option<Value>,
}

/// Some bookings, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The bookings.
    pub rows: Vec<Row>,
    /// Where the next page begins, when there is one.
    pub next: Option<i64>,
}

/// A place in the feed: a transaction, and a number within it. Written `tx-seq`; opaque to whoever reads the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPlace {
    /// The transaction that wrote the change.
    pub tx: i64,
    /// The order within it.
    pub seq: i64,
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.tx, self.seq)
    }
}

/// What is no place in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a change")]
pub struct NotAPlace;

impl FromStr for FeedPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (tx, seq) = text.split_once('-').ok_or(NotAPlace)?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or(NotAPlace);
        Ok(Self { tx: number(tx)?, seq: number(seq)? })
    }
}

impl Serialize for FeedPlace {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// One version of a booking.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its place in the feed.
    pub place: FeedPlace,
    /// Whose.
    pub booking: BookingId,
    /// Which version.
    pub version: i32,
    /// Of which system.
    pub system: String,
    /// At which stage.
    pub stage: String,
    /// Set when it ended: `completed` or `undone`.
    pub ending: Option<String>,
    /// Why it was turned back.
    pub reason: Option<String>,
    /// Who has to act.
    pub waiting_for: Option<String>,
    /// Who it belongs to. Not told: who may see a change knows.
    #[serde(skip)]
    pub customer: String,
    /// When.
    pub at: DateTime<Utc>,
}

// Everything in one statement, so that history, row and the record of interventions agree whatever happens, and only the
// newest version of a booking ever reaches its row. A booking that has ended does not change: what a saga that is gone
// left on its way comes too late. The notification goes out with the commit. What comes back is what is new, with how
// long the booking had been at the stage before.
const PUBLISH: &str = "
    with incoming as (
        select r.* from jsonb_to_recordset($1) as r (
            booking uuid, version integer, system text, stage text, ending text, reason text, stuck jsonb,
            committed boolean, customer text, item bigint, item_name text, price_minor bigint, currency text,
            waiting_for text, deadline_at timestamptz, times jsonb, fingerprint text, at timestamptz, details jsonb,
            begins timestamptz, ends timestamptz)
        where not exists (select from bookings b
            where b.booking = r.booking and b.ending is not null and b.version < r.version)
    ), told as (
        insert into history (booking, version, system, stage, ending, reason, customer, waiting_for, at, run)
        select booking, version, system, stage, ending, reason, customer, waiting_for, at, $4::uuid
        from incoming order by version
        on conflict (booking, version) do nothing
        returning booking, version, system, stage, ending, reason, at
    ), shown as (
        insert into bookings (booking, version, system, stage, ending, reason, stuck, committed, customer, item,
            item_name, price_minor, currency, waiting_for, deadline_at, times, fingerprint, at, details, period)
        select booking, version, system, stage, ending, reason, stuck, committed, customer, item, item_name,
            price_minor, currency, waiting_for, deadline_at, times, fingerprint, at, details,
            case when begins is not null then tstzrange(begins, ends) end
        from incoming order by version desc limit 1
        on conflict (booking) do update set
            version = excluded.version, stage = excluded.stage, ending = excluded.ending, reason = excluded.reason,
            stuck = excluded.stuck, committed = excluded.committed, item = excluded.item,
            item_name = excluded.item_name, price_minor = excluded.price_minor, currency = excluded.currency,
            waiting_for = excluded.waiting_for, deadline_at = excluded.deadline_at, times = excluded.times,
            at = excluded.at, details = excluded.details
        where bookings.version < excluded.version and bookings.ending is null
    ), recorded as (
        insert into interventions as known
            (booking, version, number, at, step, by, move, reason, key, details, before, outcome, after)
        select * from jsonb_to_recordset($3) as a (
            booking uuid, version integer, number integer, at timestamptz, step text, by text, move text, reason text,
            key text, details jsonb, before jsonb, outcome jsonb, after jsonb)
        on conflict (booking, version, number) do update set outcome = excluded.outcome, after = excluded.after
        where known.outcome is null and excluded.outcome is not null
    )
    select t.system, t.stage, t.ending, t.reason, earlier.stage as earlier_stage,
        extract(epoch from t.at - earlier.at)::float8 as seconds, pg_notify($2, t.booking::text)
    from told t left join lateral (
        select stage, at from incoming i where i.version = t.version - 1
        union all
        select stage, at from history h where h.booking = t.booking and h.version = t.version - 1
        limit 1
    ) earlier on true";

// What the board has instead of a version that it was told. It is no other one when the same run wrote it, in a task that was lost;
// and to go on from a booking that has ended would show nothing.
const INSTEAD: &str = "
    select b.version from bookings b where b.booking = $1 and b.version >= $2 and b.ending is null
    and not exists (select from history h where h.booking = $1 and h.version = $2 and h.stage = $3
        and (h.run = $4 or h.run is null and h.version = b.version))";

const COLUMNS: &str = "booking, version, appeared, system, stage, ending, reason, stuck, committed, customer, item, \
    item_name, price_minor, currency, waiting_for, deadline_at, times, fingerprint, at, details, \
    lower(period) as begins, upper(period) as ends";

const CHANGE: &str = "written_by::text::bigint as tx, seq, booking, version, system, stage, ending, reason, waiting_for, customer, \
     at";

const INTERVENTION: &str = "booking, appeared, at, step, by, move, reason, key, details, before, outcome, after";

// What a page of bookings is chosen by; $1 to $8.
const CHOSEN: &str = "($1::text is null or system = $1) and ($2::text is null or stage = $2) \
    and ($3::text is null or waiting_for = $3) and ($4::text is null or customer = $4) \
    and ($5::bigint is null or item = $5) and ($6::text is null or stuck->>'step' = $6) \
    and ($7::text is null or coalesce(stuck->>'reason', 'no_answer') = $7) and ($8::bigint is null or appeared < $8)";

pub(super) async fn publish(pool: &Pool, news: &Rows, run: Option<Uuid>) -> Result<Option<i32>, Error> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(PUBLISH).await?;
    let rows: Vec<Value> = news.rows.iter().map(record).collect();
    // Of an intervention and its outcome the outcome says all: one statement changes a record once.
    let audits: BTreeMap<_, _> = news.audits.iter().map(|audit| ((audit.version, audit.number), audit)).collect();
    let audits: Vec<Value> = audits.into_values().map(record_audit).collect();
    let new = client.query(&statement, &[&Json(rows), &CHANNEL, &Json(audits), &run]).await?;
    for new in &new {
        count(new);
    }
    match news.rows.last() {
        Some(last) if new.is_empty() => {
            let instead = client.prepare_cached(INSTEAD).await?;
            let told: [&(dyn ToSql + Sync); 4] = [&last.booking.0, &last.version, &last.stage, &run];
            Ok(client.query_opt(&instead, &told).await?.map(|row| row.get(0)))
        }
        _ => Ok(None),
    }
}

/// Counts a version when it is written, once, however often it is published.
fn count(new: &tokio_postgres::Row) {
    let (system, stage): (&str, &str) = (new.get("system"), new.get("stage"));
    STAGES.with_label_values(&[system, stage]).inc();
    tracing::info!(system, stage, "a booking reached a stage");
    if let Some(ending) = new.get::<_, Option<&str>>("ending") {
        let reason = new.get::<_, Option<&str>>("reason").unwrap_or_default();
        ENDINGS.with_label_values(&[system, ending, reason]).inc();
    }
    if let (Some(earlier), Some(seconds)) = (new.get::<_, Option<&str>>("earlier_stage"), new.get("seconds")) {
        TIME_IN_STAGE.with_label_values(&[system, earlier]).observe(seconds);
    }
}

/// Some bookings as they are in the table, by their ids.
pub(super) async fn found(pool: &Pool, bookings: &[Uuid]) -> Result<HashMap<Uuid, tokio_postgres::Row>, Error> {
    let client = pool.get().await?;
    let select = client.prepare_cached(&format!("select {COLUMNS} from bookings where booking = any($1)")).await?;
    let rows = client.query(&select, &[&bookings]).await?;
    Ok(rows.into_iter().map(|row| (row.get("booking"), row)).collect())
}

pub(super) async fn holders(pool: &Pool, system: &str, items: &[i64]) -> Result<Vec<Row>, Error> {
    let client = pool.get().await?;
    // Before it is held, a booking has only asked.
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from bookings where system = $1 and item = any($2) and ending is null \
             and times ? 'held' order by appeared"
        ))
        .await?;
    client.query(&select, &[&system, &items]).await?.iter().map(read).collect()
}

pub(super) async fn holders_during(
    pool: &Pool,
    system: &str,
    items: &[(i64, Option<Period>)],
    beside: Option<BookingId>,
) -> Result<Vec<Row>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) wanted (number, since, until) \
             cross join lateral (select * from bookings where system = $1 and item = number and ending is null \
             and times ? 'held' and (period is null or period && tstzrange(since, until)) \
             and ($5::uuid is null or booking <> $5) order by appeared limit 1) found"
        ))
        .await?;
    let numbers: Vec<i64> = items.iter().map(|(number, _)| *number).collect();
    let begins: Vec<Option<DateTime<Utc>>> = items.iter().map(|(_, period)| period.map(Period::from)).collect();
    let ends: Vec<Option<DateTime<Utc>>> = items.iter().map(|(_, period)| period.map(Period::to)).collect();
    let beside = beside.map(|booking| booking.0);
    client.query(&select, &[&system, &numbers, &begins, &ends, &beside]).await?.iter().map(read).collect()
}

pub(super) async fn held(pool: &Pool, system: &str, items: &[i64]) -> Result<HashMap<i64, i64>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(
            "select item, count(*) from bookings where system = $1 and item = any($2) and ending is null \
             and times ? 'held' group by item",
        )
        .await?;
    Ok(client.query(&select, &[&system, &items]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(super) async fn recent(
    pool: &Pool,
    system: &str,
    items: &[i64],
    customer: Option<&str>,
    of_each: i64,
) -> Result<Vec<Row>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from unnest($2::bigint[]) wanted cross join lateral (select * from bookings \
             where system = $1 and item = wanted and ($4::text is null or customer = $4) \
             order by ending is not null, appeared desc limit $3) found \
             order by appeared desc"
        ))
        .await?;
    client.query(&select, &[&system, &items, &of_each, &customer]).await?.iter().map(read).collect()
}

pub(super) async fn open(pool: &Pool, page: &OpenAfter) -> Result<Claims, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(
            "select booking, system, customer, item from bookings where ending is null \
             and at < now() - make_interval(secs => $2) and ($1::uuid is null or booking > $1) order by booking limit $3",
        )
        .await?;
    let after = page.after.map(|booking| booking.0);
    let rows = client.query(&select, &[&after, &f64::from(page.seconds), &OPEN_PAGE]).await?;
    let claim = |row: &tokio_postgres::Row| {
        let (booking, system): (Uuid, String) = (row.get("booking"), row.get("system"));
        Claim {
            booking: BookingId(booking),
            workflow: format!("{system}/{booking}"),
            customer: row.get::<_, &str>("customer").parse().ok(),
            item: Some(Item { system, number: row.get("item") }),
        }
    };
    Ok(Claims { claims: rows.iter().map(claim).collect() })
}

pub(super) async fn held_by_others(
    pool: &Pool,
    system: &str,
    item: i64,
    booking: BookingId,
    most: usize,
) -> Result<usize, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(
            "select count(*) from (select from bookings where system = $1 and item = $2 and ending is null \
             and times ? 'held' and booking <> $3 limit $4) others",
        )
        .await?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let held: i64 = client.query_one(&select, &[&system, &item, &booking.0, &most]).await?.get(0);
    usize::try_from(held).map_err(|_| Error::Corrupt("count"))
}

pub(super) async fn all_of(pool: &Pool, bookings: &[Uuid]) -> Result<Vec<Row>, Error> {
    found(pool, bookings).await?.values().map(read).collect()
}

pub(super) async fn page(pool: &Pool, filter: &Filter) -> Result<Page, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!("select {COLUMNS} from bookings where {CHOSEN} order by appeared desc limit $9"))
        .await?;
    // One more than asked for tells whether there is another page.
    let limit = filter.limit + 1;
    let mut parameters = filter.parameters().to_vec();
    parameters.push(&limit);
    let rows = client.query(&select, &parameters).await?;
    let shown = &rows[..rows.len().min(usize::try_from(filter.limit).unwrap_or(usize::MAX))];
    let next = if rows.len() > shown.len() { shown.last().map(|row| row.get("appeared")) } else { None };
    Ok(Page { rows: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}

pub(super) async fn waiting(pool: &Pool, wanted: &Waiting) -> Result<Inbox, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from bookings where waiting_for is not null \
             and (waiting_for = any($1) or (waiting_for = 'customer' and customer = $2)) \
             and ($3::text is null or system = $3) \
             and (not $4 or (coalesce(deadline_at, 'infinity'), appeared) > (coalesce($5::timestamptz, 'infinity'), $6)) \
             order by coalesce(deadline_at, 'infinity'), appeared limit $7"
        ))
        .await?;
    let (deadline, appeared) = wanted.after.unwrap_or_default();
    // One more than asked for tells whether there is another page.
    let limit = wanted.limit + 1;
    let paged = wanted.after.is_some();
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&wanted.parties, &wanted.customer, &wanted.system, &paged, &deadline, &appeared, &limit];
    let rows = client.query(&select, &parameters).await?;
    let shown = &rows[..rows.len().min(usize::try_from(wanted.limit).unwrap_or(usize::MAX))];
    let last = shown.last().filter(|_| rows.len() > shown.len());
    let next = last.map(|row| (row.get("deadline_at"), row.get("appeared")));
    Ok(Inbox { rows: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}

pub(super) async fn count_of(pool: &Pool, filter: &Filter) -> Result<i64, Error> {
    let client = pool.get().await?;
    let select = client.prepare_cached(&format!("select count(*) from bookings where {CHOSEN}")).await?;
    Ok(client.query_one(&select, &filter.parameters()).await?.get(0))
}

pub(super) async fn interventions(pool: &Pool, wanted: &Interventions) -> Result<Vec<Intervention>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {INTERVENTION} from interventions where ($1::uuid is null or booking = $1) \
             and ($2::bigint is null or appeared < $2) and ($3::text is null or (by, key) = ($3, $4)) \
             order by appeared desc limit $5"
        ))
        .await?;
    let booking = wanted.booking.map(|booking| booking.0);
    let (by, key) = wanted.said.clone().unzip();
    let rows = client.query(&select, &[&booking, &wanted.before, &by, &key, &wanted.limit]).await?;
    let intervention = |row: &tokio_postgres::Row| Intervention {
        place: row.get("appeared"),
        booking: BookingId(row.get("booking")),
        at: row.get("at"),
        step: row.get("step"),
        by: row.get("by"),
        action: row.get("move"),
        reason: row.get("reason"),
        key: row.get("key"),
        details: row.get("details"),
        before: row.get("before"),
        outcome: row.get("outcome"),
        after: row.get("after"),
    };
    Ok(rows.iter().map(intervention).collect())
}

pub(super) async fn timeline(pool: &Pool, booking: BookingId) -> Result<Vec<Change>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!("select {CHANGE} from history where booking = $1 order by version limit 1000"))
        .await?;
    Ok(client.query(&select, &[&booking.0]).await?.iter().map(change).collect())
}

pub(super) async fn changes(
    pool: &Pool,
    after: FeedPlace,
    customer: Option<&str>,
    system: Option<&str>,
) -> Result<Vec<Change>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {CHANGE} from history where (written_by, seq) > (case when $1::bigint >= \
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint then {BEFORE_HERE} else $1 end::text::xid8, $2) \
             and ($3::text is null or customer = $3) and ($4::text is null or system = $4) \
             and written_by < pg_snapshot_xmin(pg_current_snapshot()) order by written_by, seq limit $5"
        ))
        .await?;
    let FeedPlace { tx, seq } = after;
    let limit = i64::try_from(CHANGES_MAX).unwrap_or(i64::MAX);
    Ok(client.query(&select, &[&tx, &seq, &customer, &system, &limit]).await?.iter().map(change).collect())
}

fn record(row: &Row) -> Value {
    serde_json::json!({
        "booking": row.booking, "version": row.version, "system": row.system, "stage": row.stage,
        "ending": row.ending.as_ref().map(|ending| match ending {
            Ending::Completed => "completed",
            Ending::Undone { .. } => "undone",
        }),
        "reason": row.reason, "stuck": row.stuck, "committed": row.committed,
        "customer": row.customer, "item": row.item.number, "item_name": row.item_name,
        "price_minor": row.price.map(Money::amount_minor),
        "currency": row.price.map(|price| price.currency().code()),
        "waiting_for": row.waiting_for, "deadline_at": row.deadline_at, "times": row.times,
        "fingerprint": row.fingerprint, "at": row.at, "details": row.details,
        "begins": row.period.map(Period::from), "ends": row.period.map(Period::to),
    })
}

fn record_audit(audit: &Audit) -> Value {
    let Audit { booking, number, version, at, step, intervention, before, outcome, after } = audit;
    serde_json::json!({
        "booking": booking, "number": number, "version": version, "at": at, "step": step, "by": intervention.by,
        "move": intervention.action.kind().as_str(), "reason": intervention.reason, "key": intervention.key,
        "details": details(&intervention.action), "before": before, "outcome": outcome, "after": after,
    })
}

/// What is particular to a move.
pub(crate) fn details(action: &Action) -> Value {
    match action {
        Action::Retry | Action::Skip => serde_json::json!({}),
        Action::Resolve { reference } => serde_json::json!({ "reference": reference }),
        Action::WriteOff { amount } => serde_json::json!({ "amount": amount }),
    }
}

pub(super) fn read(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let system: String = row.get("system");
    let reason: Option<String> = row.get("reason");
    let ending = match row.get::<_, Option<&str>>("ending") {
        None => None,
        Some("completed") => Some(Ending::Completed),
        Some("undone") => Some(Ending::Undone { reason: reason.clone().unwrap_or_default() }),
        Some(_) => return Err(Error::Corrupt("ending")),
    };
    let waiting_for = match row.get::<_, Option<&str>>("waiting_for") {
        None => None,
        Some(name) => Some(Party::named(name).ok_or(Error::Corrupt("waiting_for"))?),
    };
    let Json(details) = row.get("details");
    let period = match (row.get("begins"), row.get("ends")) {
        (Some(begins), Some(ends)) => Some(Period::new(begins, ends).map_err(|_| Error::Corrupt("period"))?),
        _ => None,
    };
    let Json(times): Json<BTreeMap<String, DateTime<Utc>>> = row.get("times");
    Ok(Row {
        booking: BookingId(row.get("booking")),
        version: row.get("version"),
        stage: row.get("stage"),
        ending,
        reason,
        stuck: row.get::<_, Option<Json<Stuck>>>("stuck").map(|Json(stuck)| stuck),
        committed: row.get("committed"),
        customer: row.get::<_, String>("customer").try_into().map_err(|_| Error::Corrupt("customer"))?,
        item: Item { system: system.clone(), number: row.get("item") },
        system,
        period,
        details,
        item_name: row.get("item_name"),
        price: price(row)?,
        waiting_for,
        deadline_at: row.get("deadline_at"),
        times,
        fingerprint: row.get("fingerprint"),
        at: row.get("at"),
    })
}

fn price(row: &tokio_postgres::Row) -> Result<Option<Money>, Error> {
    let (Some(amount), Some(currency)) =
        (row.get::<_, Option<i64>>("price_minor"), row.get::<_, Option<&str>>("currency"))
    else {
        return Ok(None);
    };
    let currency = iso_currency::Currency::from_code(currency).ok_or(Error::Corrupt("currency"))?;
    Money::new(amount, currency).map(Some).map_err(|_| Error::Corrupt("price_minor"))
}

fn change(row: &tokio_postgres::Row) -> Change {
    Change {
        place: FeedPlace { tx: row.get("tx"), seq: row.get("seq") },
        booking: BookingId(row.get("booking")),
        version: row.get("version"),
        system: row.get("system"),
        stage: row.get("stage"),
        ending: row.get("ending"),
        reason: row.get("reason"),
        waiting_for: row.get("waiting_for"),
        customer: row.get("customer"),
        at: row.get("at"),
    }
}

/// Counts the live bookings of some systems. Each comes with the stage from which on its customer has paid.
pub(super) async fn levels(
    pool: &Pool,
    systems: &[(&str, Option<&str>)],
    due_before: DateTime<Utc>,
) -> Result<Vec<Level>, Error> {
    let (names, paid): (Vec<&str>, Vec<Option<&str>>) = systems.iter().copied().unzip();
    let client = pool.get().await?;
    let select = client
        .prepare_cached(
            "select system, stage, waiting_for, currency, count(*) as live, \
             count(*) filter (where waiting_for is not null and deadline_at < $3) as due, \
             coalesce(sum(price_minor) filter (where times ? paid and not times ? 'refunded'), 0)::bigint as held, \
             count(*) filter (where waiting_for is not null and now() > at + (deadline_at - at) / 2) as late, \
             stuck ->> 'step' as step, extract(epoch from now() - min(at))::bigint as oldest, \
             coalesce(sum((stuck -> 'at_risk' ->> 'amount_minor')::bigint), 0)::bigint as at_risk \
             from bookings join unnest($1::text[], $2::text[]) as wanted (system, paid) using (system) \
             where ending is null group by system, stage, waiting_for, currency, step order by system, min(appeared)",
        )
        .await?;
    let rows = client.query(&select, &[&names, &paid, &due_before]).await?;
    let level = |row: &tokio_postgres::Row| Level {
        system: row.get("system"),
        stage: row.get("stage"),
        waiting_for: row.get("waiting_for"),
        count: row.get("live"),
        due: row.get("due"),
        currency: row.get("currency"),
        held_minor: row.get("held"),
        late: row.get("late"),
        step: row.get("step"),
        oldest_seconds: row.get("oldest"),
        at_risk_minor: row.get("at_risk"),
    };
    Ok(rows.iter().map(level).collect())
}

/// The places of a feed are transactions of the database it was written in. Restored from a dump into another one, whose
/// transactions have not come that far, what is new would come before what is old. Then everything that was written elsewhere
/// becomes one transaction, before the first of this database. Gives back whether that was done.
pub(super) async fn begin_feed_again(pool: &Pool) -> Result<bool, Error> {
    let client = pool.get().await?;
    let again = format!(
        "with elsewhere as (select exists (select from history where written_by >= \
             pg_snapshot_xmax(pg_current_snapshot())) as is_so), \
         told as (update receivers set tx = {BEFORE_HERE}, seq = greatest(seq - {TOLD_AGAIN}, 0) from elsewhere where is_so), \
         moved as (update history set written_by = '{BEFORE_HERE}' from elsewhere where is_so) \
         select is_so from elsewhere"
    );
    Ok(client.query_one(&again, &[]).await?.get(0))
}

/// What comes after it was written by transactions that have not ended yet.
pub(super) async fn newest_place(pool: &Pool) -> Result<FeedPlace, Error> {
    let client = pool.get().await?;
    let select = client.prepare_cached("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1").await?;
    Ok(FeedPlace { tx: client.query_one(&select, &[]).await?.get(0), seq: i64::MAX })
}
