//! Catalogue: what the gateway asks of the catalog worker's HTTP side, and a small memory of it.

use super::problem::{Code, Problem};
use moka::future::Cache;
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;
use workflows::money::Money;

/// A reader has one second in all, and looks at the board too.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// A start waits this long to hear whether the item is listed. Without, the saga finds out.
const HINT_WITHIN: Duration = Duration::from_millis(200);
/// Only an item's existence, its name for display and whether it is one of a kind are taken from memory: price and
/// availability are decided where it is held.
const REMEMBERED: Duration = Duration::from_mins(5);
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
}

/// What may be changed about an item.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new price.
    pub price: Option<Money>,
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
    client: Client,
    base: String,
    authorization: String,
    items: Cache<(String, i64), Item>,
}

impl Catalogue {
    /// The catalogue at `base`, shown the service secret.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: &str, secret: &SecretString) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: Client::builder().timeout(ANSWER_MAX).build()?,
            base: base.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {}", secret.expose_secret()),
            items: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED).build(),
        })
    }

    /// Is it listed? Quick: from memory, or from the catalogue, or *unsure*.
    pub async fn known(&self, system: &str, number: i64) -> Known {
        if let Some(item) = self.items.get(&(system.to_owned(), number)).await {
            return Known::Listed(item);
        }
        match tokio::time::timeout(HINT_WITHIN, self.find(system, number)).await {
            Ok(Ok(Some(item))) => Known::Listed(item),
            Ok(Ok(None)) => Known::Unlisted,
            Ok(Err(_)) | Err(_) => Known::Unsure,
        }
    }

    /// One item.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer.
    pub async fn find(&self, system: &str, number: i64) -> Result<Option<Item>, Problem> {
        let item = self.ask(self.client.get(self.of(system, Some(number)))).await?;
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
        let request = self.client.get(self.of(system, None)).query(&[("after", after), ("limit", limit)]);
        Ok(self.ask(request).await?.unwrap_or_default())
    }

    /// Registers an item.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer: it may or may not be registered.
    pub async fn register(&self, system: &str, item: &NewItem) -> Result<Item, Problem> {
        let item: Option<Item> = self.ask(self.client.post(self.of(system, None)).json(item)).await?;
        let item = item.ok_or_else(|| Problem::new(Code::Unavailable).with("part", "the catalogue"))?;
        self.remember(system, &item).await;
        Ok(item)
    }

    /// Changes an item; `None` when there is none of that number.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the catalogue does not answer: it may or may not be changed.
    pub async fn change(&self, system: &str, number: i64, change: &Change) -> Result<Option<Item>, Problem> {
        let item = self.ask(self.client.patch(self.of(system, Some(number))).json(change)).await?;
        if let Some(item) = &item {
            self.remember(system, item).await;
        }
        Ok(item)
    }

    async fn remember(&self, system: &str, item: &Item) {
        self.items.insert((system.to_owned(), item.number), item.clone()).await;
    }

    fn of(&self, system: &str, number: Option<i64>) -> String {
        let base = &self.base;
        number.map_or_else(|| format!("{base}/items/{system}"), |number| format!("{base}/items/{system}/{number}"))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, Problem> {
        let unavailable = |error: reqwest::Error| Problem::unavailable("the catalogue", &error.without_url());
        let response = request.header("authorization", &self.authorization).send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => response.error_for_status().map_err(unavailable)?.json().await.map(Some).map_err(unavailable),
        }
    }
}
