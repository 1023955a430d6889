//! The HTTP sides of workers, as they are asked here: with the service secret, and little patience.

use process::{
    breaker::{Breaker, Resting, Settings as Rest},
    settings::{required_or, secret},
    traces::{self, Traced},
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A reader has one second in all, and looks at the board too.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// A worker that has not answered a few times is not asked for a moment: whoever needs it hears at once that it is away.
const BREAKER: Rest =
    Rest { failures: 5, open: Duration::from_millis(500), open_max: Duration::from_secs(5), probes_max: 8 };

/// Where the workers are.
#[derive(Clone)]
pub struct Settings {
    /// `HOLDFAST_CATALOG_URL`.
    pub catalog: Url,
    /// `HOLDFAST_NOTIFICATION_URL`.
    pub notification: Url,
    /// `HOLDFAST_FULFILMENT_URL`.
    pub fulfilment: Url,
    /// `HOLDFAST_PAYMENT_URL`.
    pub payment: Url,
    /// `HOLDFAST_SERVICE_SECRET`: what we show there.
    pub secret: SecretString,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        Ok(Self {
            catalog: required_or("HOLDFAST_CATALOG_URL", "a URL", "http://127.0.0.1:8181")?,
            notification: required_or("HOLDFAST_NOTIFICATION_URL", "a URL", "http://127.0.0.1:8183")?,
            fulfilment: required_or("HOLDFAST_FULFILMENT_URL", "a URL", "http://127.0.0.1:8182")?,
            payment: required_or("HOLDFAST_PAYMENT_URL", "a URL", "http://127.0.0.1:8184")?,
            secret: secret("HOLDFAST_SERVICE_SECRET", "at least 16 random characters", 16)?,
        })
    }
}

/// A worker did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("{worker} does not answer")]
pub(crate) struct Away {
    /// What it is called in a refusal.
    pub worker: &'static str,
    #[source]
    pub why: Why,
}

/// Why a worker did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    /// It was not asked.
    #[error("it is left alone")]
    Resting(#[from] Resting),
    /// It was asked in vain.
    #[error("it was asked in vain")]
    Failed(#[from] reqwest::Error),
}

/// A worker that something is needed of.
pub(crate) struct Worker {
    name: &'static str,
    pub(crate) client: Client,
    pub(crate) base: String,
    authorization: String,
    breaker: Breaker,
}

impl Worker {
    pub(crate) fn new(name: &'static str, base: &Url, secret: &SecretString) -> Result<Self, reqwest::Error> {
        Ok(Self {
            name,
            client: Client::builder().timeout(ANSWER_MAX).build()?,
            base: base.as_str().trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {}", secret.expose_secret()),
            breaker: Breaker::new(name, BREAKER),
        })
    }

    /// Asks for something that may not be there.
    ///
    /// # Errors
    /// [`Away`] when it does not answer as it should.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, Away> {
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = response.error_for_status().map_err(|error| self.failed(error))?;
        response.json().await.map(Some).map_err(|error| self.failed(error))
    }

    /// Sends a request. Of the statuses that are failures, only the caller's own (4xx) come back.
    ///
    /// # Errors
    /// [`Away`] when it does not answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Away> {
        let away = |resting: Resting| Away { worker: self.name, why: resting.into() };
        let leave = self.breaker.enter().map_err(away)?;
        let span = traces::asking(self.name);
        let request = request.header("authorization", &self.authorization).headers(traces::headers(&span));
        let answer = request.send().with_context(span).await;
        let answer = answer.and_then(|answer| match answer.error_for_status_ref() {
            Err(error) if answer.status().is_server_error() => Err(error),
            _ => Ok(answer),
        });
        match answer {
            Ok(answer) => {
                leave.answered();
                Ok(answer)
            }
            Err(error) => {
                leave.failed();
                Err(self.failed(error))
            }
        }
    }

    fn failed(&self, error: reqwest::Error) -> Away {
        Away { worker: self.name, why: error.without_url().into() }
    }
}
