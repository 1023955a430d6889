//! The provider that a worker was told to use.

use super::{
    Simulator, Stripe,
    provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded},
    stripe,
};
use chrono::{DateTime, Utc};
use process::settings::{self, optional, or, required, required_or, secret};
use reqwest::Url;
use secrecy::SecretString;
use std::net::SocketAddr;

/// Which provider, and what is needed to ask it.
#[derive(Clone, Debug)]
pub enum Settings {
    /// The stand-in for development.
    Simulator {
        /// `HOLDFAST_PAYMENT_PROVIDER_URL`.
        url: Url,
    },
    /// Stripe.
    Stripe {
        /// `HOLDFAST_PAYMENT_PROVIDER_URL`: where its API is, if not at its usual place.
        url: Url,
        /// How it is asked.
        settings: stripe::Settings,
        /// `HOLDFAST_STRIPE_EVENTS`: where its calls are heard, and `HOLDFAST_STRIPE_EVENTS_SECRET`: what they are signed with.
        events: Option<(SocketAddr, SecretString)>,
    },
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, settings::Error> {
        let (name, url) = ("HOLDFAST_PAYMENT_PROVIDER", "HOLDFAST_PAYMENT_PROVIDER_URL");
        let expected = "simulator or stripe";
        match or(name, expected, "simulator".to_owned())?.as_str() {
            "simulator" => Ok(Self::Simulator { url: required(url, "the base URL of the payment provider")? }),
            "stripe" => {
                let at: Option<SocketAddr> = optional("HOLDFAST_STRIPE_EVENTS", "address:port")?;
                let signed =
                    || secret("HOLDFAST_STRIPE_EVENTS_SECRET", "the signing secret of the endpoint (whsec_...)", 16);
                Ok(Self::Stripe {
                    url: required_or(url, "the base URL of Stripe's API", "https://api.stripe.com")?,
                    settings: stripe::Settings {
                        secret_key: secret("HOLDFAST_STRIPE_SECRET_KEY", "the account's secret key (sk_...)", 8)?,
                        method: optional("HOLDFAST_STRIPE_METHOD", "a payment method (pm_...)")?,
                    },
                    events: at.map(|at| Ok((at, signed()?))).transpose()?,
                })
            }
            other => Err(settings::Error::Invalid { name, expected, why: format!("{other:?} is neither") }),
        }
    }
}

/// One of the providers we know.
pub(super) enum Chosen {
    Simulator(Simulator),
    Stripe(Stripe),
}

impl Chosen {
    pub(super) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        Ok(match settings {
            Settings::Simulator { url } => Self::Simulator(Simulator::new(url.as_str())?),
            Settings::Stripe { url, settings, .. } => Self::Stripe(Stripe::new(url, settings.clone())?),
        })
    }
}

impl Provider for Chosen {
    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        match self {
            Self::Simulator(simulator) => simulator.charge(order).await,
            Self::Stripe(stripe) => Box::pin(stripe.charge(order)).await,
        }
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        match self {
            Self::Simulator(simulator) => simulator.find(key).await,
            Self::Stripe(stripe) => Box::pin(stripe.find(key)).await,
        }
    }

    async fn cancel(&self, key: &str) -> Result<Cancelled, Error> {
        match self {
            Self::Simulator(simulator) => simulator.cancel(key).await,
            Self::Stripe(stripe) => Box::pin(stripe.cancel(key)).await,
        }
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        match self {
            Self::Simulator(simulator) => simulator.refund(key, captured).await,
            Self::Stripe(stripe) => Box::pin(stripe.refund(key, captured)).await,
        }
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        match self {
            Self::Simulator(simulator) => simulator.list(since, after).await,
            Self::Stripe(stripe) => Box::pin(stripe.list(since, after)).await,
        }
    }
}
