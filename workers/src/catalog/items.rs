//! Items: the catalogue itself.

use crate::store::{Error, money};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use workflows::money::Money;

/// An entry of a catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its number in its catalogue.
    pub number: i64,
    /// What it is called.
    pub name: String,
    /// What a booking of it costs.
    pub price: Money,
    /// How many of it there are.
    pub units: i32,
    /// Rises with every edit.
    pub version: i32,
    /// When it was registered.
    pub created_at: chrono::DateTime<chrono::Utc>,
}

/// What is needed to register an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewItem {
    /// What it is called: 1 to 200 characters.
    pub name: String,
    /// What a booking of it costs.
    pub price: Money,
    /// How many of it there are: 1 to 10,000.
    pub units: i32,
}

/// What may be changed about an item. A booking keeps the price and name it was held with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new price.
    pub price: Option<Money>,
}

const COLUMNS: &str = "number, name, price_minor, currency, units, version, created_at";

/// Registers an item with its units, under the next number of its catalogue.
pub(super) async fn register(pool: &Pool, system: &str, new: &NewItem) -> Result<Item, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let next = "insert into counters values ($1, 1) on conflict (system) do update set last = counters.last + 1 \
                returning last";
    let number: i64 = transaction.query_one(next, &[&system]).await?.get(0);
    let insert = format!(
        "insert into items (system, number, name, price_minor, currency, units) values ($1, $2, $3, $4, $5, $6) \
         returning {COLUMNS}"
    );
    let (amount, currency) = (new.price.amount_minor(), new.price.currency().code());
    let row = transaction.query_one(&insert, &[&system, &number, &new.name, &amount, &currency, &new.units]).await?;
    let copies = "insert into units (system, number, ordinal) select $1, $2, n from generate_series(1, $3) n";
    transaction.execute(copies, &[&system, &number, &new.units]).await?;
    transaction.commit().await?;
    item(&row)
}

/// Changes an item; `None` when there is none of that number.
pub(super) async fn change(pool: &Pool, system: &str, number: i64, change: &Change) -> Result<Option<Item>, Error> {
    let update = format!(
        "update items set name = coalesce($3, name), price_minor = coalesce($4, price_minor), \
         currency = coalesce($5, currency), version = version + 1 where system = $1 and number = $2 returning {COLUMNS}"
    );
    let amount = change.price.map(Money::amount_minor);
    let currency = change.price.map(|price| price.currency().code());
    let client = pool.get().await?;
    let row = client.query_opt(&update, &[&system, &number, &change.name, &amount, &currency]).await?;
    row.map(|row| item(&row)).transpose()
}

/// One item; `None` when there is none of that number.
pub(super) async fn find(pool: &Pool, system: &str, number: i64) -> Result<Option<Item>, Error> {
    let client = pool.get().await?;
    let select =
        client.prepare_cached(&format!("select {COLUMNS} from items where system = $1 and number = $2")).await?;
    client.query_opt(&select, &[&system, &number]).await?.map(|row| item(&row)).transpose()
}

/// A page of a catalogue: up to `limit` items with a number above `after`.
pub(super) async fn page(pool: &Pool, system: &str, after: i64, limit: i64) -> Result<Vec<Item>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from items where system = $1 and number > $2 order by number limit $3"
        ))
        .await?;
    client.query(&select, &[&system, &after, &limit]).await?.iter().map(item).collect()
}

fn item(row: &Row) -> Result<Item, Error> {
    Ok(Item {
        number: row.get("number"),
        name: row.get("name"),
        price: money(row.get("price_minor"), row.get("currency"))?,
        units: row.get("units"),
        version: row.get("version"),
        created_at: row.get("created_at"),
    })
}
