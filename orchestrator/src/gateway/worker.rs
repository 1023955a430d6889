//! The HTTP sides of workers, as the gateway asks them: with the service secret, and little patience.

use super::problem::Problem;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A reader has one second in all, and looks at the board too.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// A worker that people need something of.
pub(super) struct Worker {
    /// What it is called in a refusal.
    name: &'static str,
    pub(super) client: Client,
    pub(super) base: String,
    authorization: String,
}

impl Worker {
    pub(super) fn new(name: &'static str, base: &str, secret: &SecretString) -> Result<Self, reqwest::Error> {
        Ok(Self {
            name,
            client: Client::builder().timeout(ANSWER_MAX).build()?,
            base: base.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {}", secret.expose_secret()),
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
        let response = request.header("authorization", &self.authorization).send().await;
        let response = response.map_err(|error| self.unavailable(error))?;
        match response.error_for_status_ref() {
            Err(error) if response.status().is_server_error() => Err(self.unavailable(error)),
            _ => Ok(response),
        }
    }

    fn unavailable(&self, error: reqwest::Error) -> Problem {
        Problem::unavailable(self.name, &error.without_url())
    }
}
