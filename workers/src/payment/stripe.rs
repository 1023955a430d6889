//! Stripe as a provider: `PaymentIntents` and `Refunds` over its HTTP API.
//!
//! Our key is the idempotency key of the intent, and stands in its metadata. Stripe cannot be told to refuse a key that it has not
//! seen, but it answers one key for one set of parameters only: so a key is *fenced* by using it up for an intent that is never
//! confirmed. A charge that arrives later under the same key is refused by Stripe itself.
//!
//! Source: Stripe's API reference, version [`VERSION`].

use super::provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded};
use chrono::{DateTime, TimeDelta, Utc};
use iso_currency::Currency;
use process::traces::{self, Context};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, time::Duration};
use workflows::money::Money;

/// What we speak. An account may be set to another; this is sent with every request.
pub const VERSION: &str = "2025-08-27.basil";
/// Shorter than an activity's attempt, so that a lost answer ends as an error of ours.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// The search finds an intent about a minute after it was made, the list at once: so the youngest are looked for there.
const SEARCH_LAGS: TimeDelta = TimeDelta::minutes(3);
/// With more intents than this in that time, a key that has none cannot be looked up: some five charges in a second.
const PAGE_MAX: usize = 100;
const PAGES_MAX: usize = 10;
/// Where an intent says which of our keys it is for: the booking's.
pub(super) const KEY: &str = "booking";
/// Where an intent says which key it has used up.
const FENCED: &str = "fenced";

/// What is needed to ask Stripe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOLDFAST_STRIPE_SECRET_KEY`: the account's secret key.
    pub secret_key: SecretString,
    /// `HOLDFAST_STRIPE_METHOD`: how those pay who name no payment method; without, they are declined.
    pub method: Option<String>,
}

/// A client of Stripe.
pub struct Stripe {
    client: Client,
    base: String,
    settings: Settings,
}

#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    status: String,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    latest_charge: Option<Expanded<Charge>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expanded<T> {
    Whole(T),
    #[expect(dead_code, reason = "only its id is given where it was not asked for")]
    Id(String),
}

#[derive(Debug, Deserialize)]
struct Charge {
    refunded: bool,
}

#[derive(Deserialize)]
struct Listed<T> {
    data: Vec<T>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Refund {
    status: Option<String>,
    failure_reason: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: Why,
}

#[derive(Deserialize)]
struct Why {
    r#type: String,
    code: Option<String>,
    decline_code: Option<String>,
}

/// What Stripe answers: what was asked for, or why not.
type Answer<T> = Result<T, (StatusCode, Why)>;

impl Stripe {
    /// A client for Stripe at `base`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: &Url, settings: Settings) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(ANSWER_MAX).connect_timeout(Duration::from_secs(2)).build()?;
        Ok(Self { client, base: format!("{}/v1", base.as_str().trim_end_matches('/')), settings })
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, Error> {
        let request = request.bearer_auth(self.settings.secret_key.expose_secret()).header("stripe-version", VERSION);
        let response = request.headers(traces::headers(&Context::current())).send().await?;
        let status = response.status();
        match status {
            StatusCode::OK => Ok(Ok(response.json().await?)),
            StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::NOT_FOUND => {
                let failure: Failure = response.json().await?;
                Ok(Err((status, failure.error)))
            }
            // Too many requests, the same key at the same moment, a failure of theirs, or a key of ours that is not theirs.
            status => Err(unclear(status)),
        }
    }

    /// Every intent whose metadata hold a key, as far as Stripe knows by now.
    async fn intents(&self, field: &str, key: &str) -> Result<Vec<Intent>, Error> {
        // A key has no quote in it: it is a booking's id.
        let search = [("query", format!("metadata['{field}']:'{key}'")), ("expand[]", "data.latest_charge".to_owned())];
        let found: Listed<Intent> = self.known(self.get("/payment_intents/search").query(&search)).await?;
        if !found.data.is_empty() {
            return Ok(found.data);
        }
        let since = Utc::now() - SEARCH_LAGS;
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(since, after.as_deref()).await?;
            after = page.data.last().map(|intent| intent.id.clone());
            let found: Vec<_> =
                page.data.into_iter().filter(|intent| intent.metadata.get(field).is_some_and(|is| is == key)).collect();
            if !found.is_empty() || !page.has_more {
                return Ok(found);
            }
        }
        // There may be more of the last minutes than we look at.
        Err(Error::Nonsense("number of payment intents in three minutes"))
    }

    /// A page of all intents since a time, the youngest first.
    async fn page(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Listed<Intent>, Error> {
        let mut list = vec![("created[gte]", since.timestamp().to_string()), ("limit", PAGE_MAX.to_string())];
        list.push(("expand[]", "data.latest_charge".to_owned()));
        list.extend(after.map(|after| ("starting_after", after.to_owned())));
        self.known(self.get("/payment_intents").query(&list)).await
    }

    /// An answer that cannot be a refusal.
    async fn known<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        self.ask(request).await?.map_err(|(status, _)| unclear(status))
    }

    /// Makes sure that an intent is never confirmed. `false`: it is too late for that.
    async fn give_up(&self, intent: &Intent) -> Result<bool, Error> {
        if intent.status == "canceled" {
            return Ok(true);
        }
        let cancel = self.post(&format!("/payment_intents/{}/cancel", intent.id));
        Ok(self.ask::<Intent>(cancel.form(&[("cancellation_reason", "abandoned")])).await?.is_ok())
    }

    /// Uses a key up, so that no charge can be made under it any more. `false`: it is used already.
    async fn fence(&self, key: &str) -> Result<bool, Error> {
        let form = [
            ("amount", "100"),
            ("currency", "usd"),
            ("payment_method_types[]", "card"),
            (&*format!("metadata[{FENCED}]"), key),
        ];
        match self.ask::<Intent>(self.post("/payment_intents").header("idempotency-key", key).form(&form)).await? {
            Ok(intent) => {
                // Nobody could pay it, but it would stand open in their dashboard.
                self.give_up(&intent).await?;
                Ok(true)
            }
            Err((_, why)) if why.r#type == "idempotency_error" => Ok(false),
            Err((status, _)) => Err(unclear(status)),
        }
    }
}

impl Provider for Stripe {
    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        let Some(method) = order.method.as_ref().or(self.settings.method.as_ref()) else {
            return Ok(declined("no_payment_method"));
        };
        if !is_minor_alike(order.amount) {
            return Ok(declined("currency_not_supported"));
        }
        let form = [
            ("amount", order.amount.amount_minor().to_string()),
            ("currency", order.amount.currency().code().to_lowercase()),
            ("payment_method", method.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("confirm", "true".to_owned()),
            // Nobody is there who could be asked for more.
            ("error_on_requires_action", "true".to_owned()),
            (&*format!("metadata[{KEY}]"), order.key.clone()),
            ("expand[]", "latest_charge".to_owned()),
        ];
        let request = self.post("/payment_intents").header("idempotency-key", &order.key).form(&form);
        match self.ask::<Intent>(request).await? {
            Ok(intent) if intent.status == "succeeded" => Ok(Charged::Captured(captured(&intent)?)),
            Ok(_) => Err(Error::Nonsense("status of a confirmed payment intent")),
            Err((StatusCode::PAYMENT_REQUIRED, why)) => {
                Ok(declined(why.decline_code.or(why.code).as_deref().unwrap_or("declined")))
            }
            // Other parameters under this key: it was fenced, or it is ours with another default method.
            Err((status, why)) if why.r#type == "idempotency_error" => match self.find(&order.key).await? {
                Some(captured) => Ok(Charged::Captured(captured)),
                None if self.intents(FENCED, &order.key).await?.is_empty() => Err(unclear(status)),
                None => Ok(declined("cancelled")),
            },
            // It says what is wrong with it, and nothing was taken.
            Err((StatusCode::BAD_REQUEST, why)) if why.r#type == "invalid_request_error" => {
                Ok(declined(why.code.as_deref().unwrap_or("invalid_request")))
            }
            Err((status, _)) => Err(unclear(status)),
        }
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        let intents = self.intents(KEY, key).await?;
        if intents.iter().any(|intent| intent.status == "processing") {
            return Err(Error::Nonsense("status while it is processed"));
        }
        intents.iter().find(|intent| intent.status == "succeeded").map(captured).transpose()
    }

    async fn cancel(&self, key: &str) -> Result<Cancelled, Error> {
        let intents = self.intents(KEY, key).await?;
        if let Some(paid) = intents.iter().find(|intent| intent.status == "succeeded") {
            return captured(paid).map(Cancelled::Captured);
        }
        for intent in &intents {
            if !self.give_up(intent).await? {
                return Err(Error::Nonsense("status of a payment intent that cannot be cancelled"));
            }
        }
        // None: it may still arrive. Used already, and yet not to be found: it will be, in a moment.
        if !intents.is_empty() || self.fence(key).await? {
            Ok(Cancelled::Refused)
        } else {
            Err(Error::Nonsense("list of payment intents"))
        }
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        let page = self.page(since, after).await?;
        let after = page.data.last().filter(|_| page.has_more).map(|intent| intent.id.clone());
        let paid = page.data.iter().filter(|intent| intent.status == "succeeded");
        let ours = paid.filter_map(|intent| Some((intent.metadata.get(KEY)?.clone(), captured(intent))));
        let taken = ours.map(|(key, captured)| Ok((key, captured?))).collect::<Result<_, Error>>()?;
        Ok(Page { taken, after })
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        // Without an idempotency key: an intent is refunded in full once, whoever asks, and a refusal is not to be remembered.
        let form = [("payment_intent", captured.reference.as_str()), (&*format!("metadata[{KEY}]"), key)];
        match self.ask::<Refund>(self.post("/refunds").form(&form)).await? {
            Ok(refund) => match refund.status.as_deref() {
                Some("succeeded" | "pending") => Ok(Refunded::Done),
                Some("failed" | "canceled") => {
                    Ok(Refunded::Refused { reason: refund.failure_reason.unwrap_or_else(|| "failed".to_owned()) })
                }
                _ => Err(Error::Nonsense("status of a refund")),
            },
            Err((_, Why { code: Some(code), .. })) if code == "charge_already_refunded" => Ok(Refunded::Done),
            Err((_, why)) => Ok(Refunded::Refused { reason: why.code.unwrap_or(why.r#type) }),
        }
    }
}

/// Is a minor unit of this currency the same to Stripe as to us? Some have no minor unit there that have one here, and the other
/// way round; of those with three decimals the last has to be a zero.
///
/// Source: Stripe's list of zero-decimal, special-case and three-decimal currencies.
fn is_minor_alike(amount: Money) -> bool {
    match amount.currency() {
        Currency::MGA | Currency::ISK | Currency::UGX => false,
        Currency::BHD | Currency::JOD | Currency::KWD | Currency::OMR | Currency::TND => {
            amount.amount_minor() % 10 == 0
        }
        _ => true,
    }
}

fn declined(reason: &str) -> Charged {
    Charged::Declined { reason: reason.to_owned() }
}

fn unclear(status: StatusCode) -> Error {
    Error::Unclear { status: status.as_u16() }
}

fn captured(intent: &Intent) -> Result<Captured, Error> {
    let currency = Currency::from_code(&intent.currency.to_uppercase()).ok_or(Error::Nonsense("currency"))?;
    Ok(Captured {
        refunded: matches!(intent.latest_charge, Some(Expanded::Whole(Charge { refunded: true }))),
        amount: Money::new(intent.amount_received, currency).map_err(|_| Error::Nonsense("amount"))?,
        reference: intent.id.clone(),
    })
}
