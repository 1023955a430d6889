//! Reviews: what customers say about an item. Whether they may is the gateway's to know; here, each booking speaks once.

use crate::store::Error;
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;
use workflows::booking::{BookingId, Subject};

/// What a customer said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Its number.
    pub id: i64,
    /// Of which booking.
    pub booking: BookingId,
    /// About which item.
    pub number: i64,
    /// What.
    pub content: String,
    /// When.
    pub written_at: chrono::DateTime<chrono::Utc>,
}

/// What a customer says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewReview {
    /// Of which booking.
    pub booking: BookingId,
    /// Who.
    pub customer: Subject,
    /// What: 1 to 2,000 characters.
    pub content: String,
}

const COLUMNS: &str = "review, booking, number, content, written_at";

/// Writes a review down, or changes what this booking has said before. `None` when there is no such item.
pub(super) async fn write(pool: &Pool, system: &str, number: i64, new: &NewReview) -> Result<Option<Review>, Error> {
    let client = pool.get().await?;
    let insert = format!(
        "insert into reviews (booking, system, number, customer, content) select $1, system, number, $4, $5 from items \
         where system = $2 and number = $3 on conflict (booking) do update set content = excluded.content \
         returning {COLUMNS}"
    );
    let customer = new.customer.as_str();
    let row = client.query_opt(&insert, &[&new.booking.0, &system, &number, &customer, &new.content]).await?;
    Ok(row.as_ref().map(review))
}

/// A page of what was said about an item: up to `limit` reviews with a number above `after`.
pub(super) async fn page(pool: &Pool, system: &str, number: i64, after: i64, limit: i64) -> Result<Vec<Review>, Error> {
    let client = pool.get().await?;
    let select = format!(
        "select {COLUMNS} from reviews where system = $1 and number = $2 and review > $3 order by review limit $4"
    );
    Ok(client.query(&select, &[&system, &number, &after, &limit]).await?.iter().map(review).collect())
}

fn review(row: &Row) -> Review {
    Review {
        id: row.get("review"),
        booking: BookingId(row.get::<_, Uuid>("booking")),
        number: row.get("number"),
        content: row.get("content"),
        written_at: row.get("written_at"),
    }
}
