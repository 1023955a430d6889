//! The HTTP sides of workers, as the gateway asks them: with the service secret, and little patience.

use super::problem::{Code, Problem};
use process::breaker::{Breaker, Settings};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;
use warp::http::header;

/// A reader has one second in all, and looks at the board too.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// A worker that has not answered a few times is not asked for a moment: whoever needs it hears at once that it is away.
const BREAKER: Settings =
    Settings { failures: 5, open: Duration::from_millis(500), open_max: Duration::from_secs(5), probes_max: 8 };

/// A worker that people need something of.
pub(super) struct Worker {
    /// What it is called in a refusal.
    name: &'static str,
    pub(super) client: Client,
    pub(super) base: String,
    authorization: String,
    breaker: Breaker,
}

impl Worker {
    pub(super) fn new(name: &'static str, base: &str, secret: &SecretString) -> Result<Self, reqwest::Error> {
        Ok(Self {
            name,
            client: Client::builder().timeout(ANSWER_MAX).build()?,
            base: base.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {}", secret.expose_secret()),
            breaker: Breaker::new(name, BREAKER),
        })
    }

    /// Asks for something that may not be there.
    ///
    /// # Errors
    /// [`super::problem::Code::Unavailable`] when it does not answer as it should.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, Problem> {
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = response.error_for_status().map_err(|error| self.unavailable(error))?;
        response.json().await.map(Some).map_err(|error| self.unavailable(error))
    }

    /// Sends a request. Of the statuses that are failures, only the caller's own (4xx) come back.
    ///
    /// # Errors
    /// [`super::problem::Code::Unavailable`] when it does not answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Problem> {
        let leave = self.breaker.enter().map_err(|resting| {
            let seconds = resting.retry_in.as_secs() + 1;
            Problem::new(Code::Unavailable).with("part", self.name).header(header::RETRY_AFTER, seconds.to_string())
        })?;
        let answer = request.header("authorization", &self.authorization).send().await;
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
                Err(self.unavailable(error))
            }
        }
    }

    fn unavailable(&self, error: reqwest::Error) -> Problem {
        Problem::unavailable(self.name, &error.without_url())
    }
}
