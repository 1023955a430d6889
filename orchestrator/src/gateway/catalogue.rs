//! Catalogue: what the gateway asks of the catalog worker's HTTP side, and a small memory of it.

use super::problem::{Code, Problem};
use crate::worker::{self, Worker};
use moka::future::Cache;
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use workflows::{
    booking::{BookingId, Row},
    money::Money,
};

/// A start waits this long to hear whether the item is listed. Without, the saga finds out.
const HINT_WITHIN: Duration = Duration::from_millis(200);
/// Only an item's existence, its name for display and whether it is one of a kind are taken from memory: price and
/// availability are decided where it is held.
const REMEMBERED: Duration = Duration::from_mins(5);
/// What many ask for at the same time is asked once.
const LATELY: Duration = Duration::from_millis(500);
const REMEMBERED_MAX: u64 = 10_000;

/// An entry of a catalogue.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// Its number.
    pub number: i64,
    /// What it is called.
    pub name: String,
    /// What a booking of it costs.
    pub price: Money,
    /// How many of it there are.
    pub units: i32,
    /// What its catalogue says of it beside that.
    pub attributes: BTreeMap<String, String>,
    /// How many customers have said something about it.
    pub reviews: i64,
    /// When it was registered.
    pub created_at: chrono::DateTime<chrono::Utc>,
}

/// What is needed to register an item.
#[derive(Debug, Serialize)]
pub struct NewItem {
    /// What it is called.
    pub name: String,
    /// What a booking of it costs.
    pub price: Money,
    /// How many of it there are.
    pub units: i32,
    /// What the catalogue says of it beside that.
    pub attributes: BTreeMap<String, String>,
}

/// What may be changed about an item.
#[derive(Debug, Default, Serialize)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new price.
    pub price: Option<Money>,
    /// Attributes to add or to replace.
    pub attributes: BTreeMap<String, String>,
}

/// What a customer said about an item.
#[derive(Clone, Debug, Deserialize)]
pub struct Review {
    /// Its number.
    pub id: i64,
    /// Of which booking.
    pub booking: BookingId,
    /// What.
    pub content: String,
    /// When.
    pub written_at: chrono::DateTime<chrono::Utc>,
}

/// What is known of an item before a booking of it is started.
pub enum Known {
    /// It is listed.
    Listed(Item),
    /// It is not.
    Unlisted,
    /// The catalogue does not answer, and we do not remember.
    Unsure,
}

/// A client of the catalog worker.
pub struct Catalogue {
    pub(super) worker: Worker,
    items: Cache<(String, i64), Item>,
    /// What was asked a moment ago.
    asked: Cache<(String, i64), Option<Item>>,
}

impl Catalogue {
    /// The catalogue of these workers.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(workers: &worker::Settings) -> Result<Self, reqwest::Error> {
        Ok(Self {
            worker: Worker::new("the catalogue", &workers.catalog, &workers.secret)?,
            asked: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(LATELY).build(),
            items: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED).build(),
        })
    }

    /// Is it listed? Quick: from memory, or from the catalogue, or *unsure*.
    pub async fn known(&self, system: &str, number: i64) -> Known {
        if let Some(item) = self.items.get(&(system.to_owned(), number)).await {
            return Known::Listed(item);
        }
        match tokio::time::timeout(HINT_WITHIN, self.lately(system, number)).await {
            Ok(Ok(Some(item))) => Known::Listed(item),
            Ok(Ok(None)) => Known::Unlisted,
            Ok(Err(_)) | Err(_) => Known::Unsure,
        }
    }

    /// One item, as it was a moment ago at most: those who ask at the same time get one answer.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer.
    pub async fn lately(&self, system: &str, number: i64) -> Result<Option<Item>, Problem> {
        let key = (system.to_owned(), number);
        let asked = self.asked.try_get_with(key, self.find(system, number)).await;
        asked.map_err(|problem| Problem::clone(&problem))
    }

    /// One item.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer.
    pub async fn find(&self, system: &str, number: i64) -> Result<Option<Item>, Problem> {
        let item = self.ask(self.worker.client.get(self.of(system, Some(number)))).await?;
        if let Some(item) = &item {
            self.remember(system, item).await;
        }
        Ok(item)
    }

    /// A page of items with numbers above `after`.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer.
    pub async fn page(&self, system: &str, after: i64, limit: i64) -> Result<Vec<Item>, Problem> {
        let request = self.worker.client.get(self.of(system, None)).query(&[("after", after), ("limit", limit)]);
        Ok(self.ask(request).await?.unwrap_or_default())
    }

    /// Registers an item.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer: it may or may not be registered.
    pub async fn register(&self, system: &str, item: &NewItem) -> Result<Item, Problem> {
        let item: Option<Item> = self.ask(self.worker.client.post(self.of(system, None)).json(item)).await?;
        let item = item.ok_or_else(|| Problem::new(Code::Unavailable).with("part", "the catalogue"))?;
        self.remember(system, &item).await;
        Ok(item)
    }

    /// Changes an item; `None` when there is none of that number.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer: it may or may not be changed.
    pub async fn change(&self, system: &str, number: i64, change: &Change) -> Result<Option<Item>, Problem> {
        let item = self.ask(self.worker.client.patch(self.of(system, Some(number))).json(change)).await?;
        if let Some(item) = &item {
            self.remember(system, item).await;
        }
        Ok(item)
    }

    /// Takes an item off the catalogue.
    ///
    /// # Errors
    /// [`Code::ItemInUse`] while a booking holds it, [`Code::Unavailable`] when the catalogue does not answer: it may or may
    /// not be gone. `None` when there is none of that number.
    pub async fn remove(&self, system: &str, number: i64) -> Result<Option<()>, Problem> {
        let answer = self.worker.send(self.worker.client.delete(self.of(system, Some(number)))).await;
        // Whoever asked meanwhile has it still.
        self.items.invalidate(&(system.to_owned(), number)).await;
        self.asked.invalidate(&(system.to_owned(), number)).await;
        match answer? {
            answer if answer.status() == StatusCode::CONFLICT => {
                Err(Problem::new(Code::ItemInUse).with("item", number))
            }
            answer => Ok((answer.status() != StatusCode::NOT_FOUND).then_some(())),
        }
    }

    /// What was said about an item, after a number, oldest first.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer.
    pub async fn reviews(&self, system: &str, number: i64, after: i64, limit: i64) -> Result<Vec<Review>, Problem> {
        let url = format!("{}/reviews/{system}/{number}", self.worker.base);
        Ok(self
            .ask(self.worker.client.get(url).query(&[("after", after), ("limit", limit)]))
            .await?
            .unwrap_or_default())
    }

    /// Writes down what the customer of a booking says about its item.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer: it may or may not be written. To say it again is harmless.
    pub async fn review(&self, row: &Row, content: &str) -> Result<Option<Review>, Problem> {
        let url = format!("{}/reviews/{}/{}", self.worker.base, row.system, row.item.number);
        let body = json!({ "booking": row.booking, "customer": row.customer, "content": content });
        self.ask(self.worker.client.post(url).json(&body)).await
    }

    async fn remember(&self, system: &str, item: &Item) {
        self.asked.invalidate(&(system.to_owned(), item.number)).await;
        self.items.insert((system.to_owned(), item.number), item.clone()).await;
    }

    fn of(&self, system: &str, number: Option<i64>) -> String {
        let base = &self.worker.base;
        number.map_or_else(|| format!("{base}/items/{system}"), |number| format!("{base}/items/{system}/{number}"))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, Problem> {
        Ok(self.worker.ask(request).await?)
    }
}
