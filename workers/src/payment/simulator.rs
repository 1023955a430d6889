//! The payment simulator as a provider. It speaks plain HTTP: `POST /charges`, `GET /charges/{key}`,
//! `POST /charges/{key}/cancel`, `POST /charges/{key}/refund`, `GET /books`.

use super::provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded};
use chrono::{DateTime, Utc};
use process::traces::{self, Context};
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use workflows::money::Money;

/// Shorter than an activity's attempt, so that a lost answer ends as an error of ours.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// So many charges are listed at once.
const PAGE: usize = 100;

/// A client of the payment simulator.
pub struct Simulator {
    client: Client,
    base: String,
}

#[derive(Serialize)]
struct NewCharge<'order> {
    customer: &'order str,
    amount_minor: i64,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'order str>,
}

#[derive(Deserialize)]
struct Charge {
    key: String,
    status: Status,
    reference: Option<String>,
    reason: Option<String>,
    amount_minor: i64,
    currency: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Status {
    Captured,
    Declined,
    Refunded,
    Cancelled,
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Simulator {
    /// A client for the simulator at `base`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(ANSWER_MAX).connect_timeout(Duration::from_secs(2)).build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    fn of(&self, key: &str, what: &str) -> String {
        format!("{}/charges/{key}{what}", self.base)
    }
}

impl Provider for Simulator {
    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        let body = NewCharge {
            customer: &order.customer,
            amount_minor: order.amount.amount_minor(),
            currency: order.amount.currency().code(),
            method: order.method.as_deref(),
        };
        let request = self.client.post(format!("{}/charges", self.base)).headers(traces::headers(&Context::current()));
        let response = request.header("idempotency-key", &order.key).json(&body).send().await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::OK | StatusCode::PAYMENT_REQUIRED => {}
            status => return Err(Error::Unclear { status: status.as_u16() }),
        }
        let charge: Charge = response.json().await?;
        match charge.status {
            Status::Captured | Status::Refunded => Ok(Charged::Captured(captured(charge)?)),
            Status::Declined => {
                Ok(Charged::Declined { reason: charge.reason.unwrap_or_else(|| "declined".to_owned()) })
            }
            Status::Cancelled => Ok(Charged::Declined { reason: "cancelled".to_owned() }),
        }
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        let response = self.client.get(self.of(key, "")).headers(traces::headers(&Context::current())).send().await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => taken(response).await,
            status => Err(Error::Unclear { status: status.as_u16() }),
        }
    }

    async fn cancel(&self, key: &str) -> Result<Cancelled, Error> {
        let response =
            self.client.post(self.of(key, "/cancel")).headers(traces::headers(&Context::current())).send().await?;
        match response.status() {
            StatusCode::OK => Ok(taken(response).await?.map_or(Cancelled::Refused, Cancelled::Captured)),
            status => Err(Error::Unclear { status: status.as_u16() }),
        }
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        let body =
            serde_json::json!({ "reference": captured.reference, "amount_minor": captured.amount.amount_minor() });
        let response = self
            .client
            .post(self.of(key, "/refund"))
            .headers(traces::headers(&Context::current()))
            .json(&body)
            .send()
            .await?;
        match response.status() {
            StatusCode::OK => Ok(Refunded::Done),
            StatusCode::CONFLICT => {
                let refusal: Refusal = response.json().await?;
                Ok(Refunded::Refused { reason: refusal.reason })
            }
            status => Err(Error::Unclear { status: status.as_u16() }),
        }
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        let skip: usize = after.map_or(Ok(0), str::parse).map_err(|_| Error::Nonsense("place in a list"))?;
        let query = [
            ("since_ms", since.timestamp_millis().to_string()),
            ("skip", skip.to_string()),
            ("limit", PAGE.to_string()),
        ];
        let request = self.client.get(format!("{}/books", self.base)).query(&query);
        let response = request.headers(traces::headers(&Context::current())).send().await?;
        if response.status() != StatusCode::OK {
            return Err(Error::Unclear { status: response.status().as_u16() });
        }
        let charges: Vec<Charge> = response.json().await?;
        let after = (charges.len() == PAGE).then(|| (skip + PAGE).to_string());
        let taken = charges.into_iter().filter(|charge| charge.reference.is_some());
        let taken = taken.map(|charge| Ok((charge.key.clone(), captured(charge)?))).collect::<Result<_, Error>>()?;
        Ok(Page { taken, after })
    }
}

/// What was taken, if anything was.
async fn taken(response: Response) -> Result<Option<Captured>, Error> {
    let charge: Charge = response.json().await?;
    match charge.status {
        Status::Captured | Status::Refunded => captured(charge).map(Some),
        Status::Declined | Status::Cancelled => Ok(None),
    }
}

fn captured(charge: Charge) -> Result<Captured, Error> {
    let currency = iso_currency::Currency::from_code(&charge.currency).ok_or(Error::Nonsense("currency"))?;
    Ok(Captured {
        refunded: charge.status == Status::Refunded,
        reference: charge.reference.ok_or(Error::Nonsense("reference"))?,
        amount: Money::new(charge.amount_minor, currency).map_err(|_| Error::Nonsense("amount"))?,
    })
}
