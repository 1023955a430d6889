//! Items: the catalogue itself.

use crate::store::{Error, money};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_postgres::{Row, types::Json};
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
    /// What this catalogue says of its items beside that, by name.
    pub attributes: Attributes,
    /// How many of its customers have said something about it.
    pub reviews: i64,
    /// When it was registered.
    pub created_at: chrono::DateTime<chrono::Utc>,
}

/// Names and values, for display and for the gateway's own rules: nothing here is read when a unit is held.
pub type Attributes = BTreeMap<String, String>;

/// What is needed to register an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewItem {
    /// What it is called: 1 to 200 characters.
    pub name: String,
    /// What a booking of it costs.
    pub price: Money,
    /// How many of it there are: 1 to 10,000.
    pub units: i32,
    /// What this catalogue says of its items beside that.
    #[serde(default)]
    pub attributes: Attributes,
}

/// What may be changed about an item. A booking keeps the price and name it was held with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new price.
    pub price: Option<Money>,
    /// Attributes to add or to replace.
    #[serde(default)]
    pub attributes: Attributes,
}

/// What came of taking an item off the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is not listed any more.
    Removed,
    /// A booking holds it.
    Held,
    /// There was none of that number.
    Unknown,
}

const COLUMNS: &str = "number, name, price_minor, currency, units, version, created_at, attributes, \
    (select count(*) from reviews r where r.system = items.system and r.number = items.number) as reviews";

/// Registers an item with its units, under the next number of its catalogue.
pub(super) async fn register(pool: &Pool, system: &str, new: &NewItem) -> Result<Item, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let next = "insert into counters values ($1, 1) on conflict (system) do update set last = counters.last + 1 \
                returning last";
    let number: i64 = transaction.query_one(next, &[&system]).await?.get(0);
    let insert = format!(
        "insert into items (system, number, name, price_minor, currency, units, attributes) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         returning {COLUMNS}"
    );
    let (amount, currency) = (new.price.amount_minor(), new.price.currency().code());
    let row = transaction
        .query_one(&insert, &[&system, &number, &new.name, &amount, &currency, &new.units, &Json(&new.attributes)])
        .await?;
    let copies = "insert into units (system, number, ordinal) select $1, $2, n from generate_series(1, $3) n";
    transaction.execute(copies, &[&system, &number, &new.units]).await?;
    transaction.commit().await?;
    item(&row)
}

/// Changes an item; `None` when there is none of that number.
pub(super) async fn change(pool: &Pool, system: &str, number: i64, change: &Change) -> Result<Option<Item>, Error> {
    let update = format!(
        "update items set name = coalesce($3, name), price_minor = coalesce($4, price_minor), \
         currency = coalesce($5, currency), attributes = attributes || $6, version = version + 1 \
         where system = $1 and number = $2 and removed_at is null returning {COLUMNS}"
    );
    let amount = change.price.map(Money::amount_minor);
    let currency = change.price.map(|price| price.currency().code());
    let client = pool.get().await?;
    let row = client
        .query_opt(&update, &[&system, &number, &change.name, &amount, &currency, &Json(&change.attributes)])
        .await?;
    row.map(|row| item(&row)).transpose()
}

/// Takes an item off the catalogue, unless a booking holds a unit of it.
pub(super) async fn remove(pool: &Pool, system: &str, number: i64) -> Result<Removed, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    // First, and then the look: this waits for holds that are just being made, and later ones wait for it.
    let remove = "update items set removed_at = now() where system = $1 and number = $2 and removed_at is null";
    if transaction.execute(remove, &[&system, &number]).await? == 0 {
        return Ok(Removed::Unknown);
    }
    let held = "select exists (select from holds join units using (unit) where system = $1 and number = $2 \
                and state in ('held', 'confirmed'))";
    if transaction.query_one(held, &[&system, &number]).await?.get(0) {
        return Ok(Removed::Held);
    }
    transaction.commit().await?;
    Ok(Removed::Removed)
}

/// One item; `None` when there is none of that number.
pub(super) async fn find(pool: &Pool, system: &str, number: i64) -> Result<Option<Item>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from items where system = $1 and number = $2 and removed_at is null"
        ))
        .await?;
    client.query_opt(&select, &[&system, &number]).await?.map(|row| item(&row)).transpose()
}

/// A page of a catalogue: up to `limit` items with a number above `after`.
pub(super) async fn page(pool: &Pool, system: &str, after: i64, limit: i64) -> Result<Vec<Item>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from items where system = $1 and number > $2 and removed_at is null order by number limit $3"
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
        attributes: row.get::<_, Json<Attributes>>("attributes").0,
        reviews: row.get("reviews"),
        created_at: row.get("created_at"),
    })
}
