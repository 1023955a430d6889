//! Points: a hundred for every parcel that was delivered. Nobody asks for them: they follow the feed of bookings, and
//! whether this runs or not, no booking notices.

use crate::{metrics::POINTS, store::Error};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a delivered parcel is worth.
const PARCEL_POINTS: i32 = 100;
const FEED: &str = "points";
const PAGE: i64 = 500;
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_LONG: Duration = Duration::from_secs(3);

/// The transaction of what was written in another database, before the feed was restored into this one: then our place is one of
/// that database's, and so many changes are read again.
const BEFORE_HERE: i64 = 1;
const TOLD_AGAIN: i64 = 1_000;

/// What somebody has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Points {
    /// Who.
    pub customer: String,
    /// How many.
    pub points: i64,
}

/// Follows the feed until told to stop.
pub(super) async fn follow(pool: Pool, feed: Pool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match give(&pool, &feed).await {
            Ok(read) if read == PAGE => {}
            Ok(_) => {
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
            Err(error) => {
                tracing::warn!(error = process::logs::chain(&error), "points wait: the feed cannot be read");
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(PAUSE_LONG)).await;
            }
        }
    }
}

/// Reads a page of the feed, and gives what it says. Points and position change in one transaction, so a page that is read
/// twice gives nothing twice; and each booking is credited once, whoever reads.
async fn give(pool: &Pool, feed: &Pool) -> Result<i64, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("insert into positions values ($1, 0, 0) on conflict do nothing", &[&FEED]).await?;
    // One reader at a time, however many workers there are.
    let position = "select tx, seq from positions where feed = $1 for update skip locked";
    let Some(position) = transaction.query_opt(position, &[&FEED]).await? else { return Ok(0) };
    let (tx, seq): (i64, i64) = (position.get(0), position.get(1));

    let page = "select tx, seq, booking, customer, coalesce(system = 'parcel' and ending = 'completed', false) as delivered \
                from board.feed where (written_by, seq) > ($1::bigint::text::xid8, $2) order by written_by, seq limit $3";
    let rows = feed.get().await?.query(page, &[&tx, &seq, &PAGE]).await?;
    let Some(last) = rows.last() else {
        let lost = "select not exists (select from board.feed where (written_by, seq) = ($1::bigint::text::xid8, $2)) \
                    and exists (select from board.feed where written_by = $3::bigint::text::xid8)";
        if tx > BEFORE_HERE && feed.get().await?.query_one(lost, &[&tx, &seq, &BEFORE_HERE]).await?.get(0) {
            let back = "update positions set tx = $2, seq = greatest(seq - $3, 0) where feed = $1";
            transaction.execute(back, &[&FEED, &BEFORE_HERE, &TOLD_AGAIN]).await?;
            transaction.commit().await?;
        }
        return Ok(0);
    };
    for row in rows.iter().filter(|row| row.get("delivered")) {
        let (booking, customer): (Uuid, &str) = (row.get("booking"), row.get("customer"));
        let credit = "insert into credits (booking, customer, points) values ($1, $2, $3) on conflict do nothing";
        let new = transaction.execute(credit, &[&booking, &customer, &PARCEL_POINTS]).await?;
        POINTS.with_label_values(&["parcel"]).inc_by(new * u64::from(PARCEL_POINTS.unsigned_abs()));
    }
    let moved = "update positions set tx = $2, seq = $3 where feed = $1";
    transaction.execute(moved, &[&FEED, &last.get::<_, i64>("tx"), &last.get::<_, i64>("seq")]).await?;
    transaction.commit().await?;
    Ok(i64::try_from(rows.len()).unwrap_or(PAGE))
}

/// What customers have, by name: of one, or of those after it.
pub(super) async fn page(pool: &Pool, of: Option<&str>, after: &str, limit: i64) -> Result<Vec<Points>, Error> {
    let client = pool.get().await?;
    let select = "select customer, sum(points)::bigint as points from credits \
                  where ($1::text is null or customer = $1) and customer > $2 group by customer order by customer limit $3";
    let rows = client.query(select, &[&of, &after, &limit]).await?;
    Ok(rows.iter().map(|row| Points { customer: row.get("customer"), points: row.get("points") }).collect())
}
