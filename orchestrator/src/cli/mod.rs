//! The command line: another way in, to the same use cases as HTTP.
//!
//! Usually it asks a gateway (`HOLDFAST_URL`). With `--direct` it is one: with the settings of `holdfast serve` it goes to
//! Temporal and the board itself, also when no gateway runs. Either way `HOLDFAST_TOKEN` says who asks, and they may do what
//! they may do anywhere.

pub mod bookings;
pub mod forget;
pub mod stuck;

use crate::{board::Board, gateway::Gateway};
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use process::{
    settings::{database, required_or, secret},
    temporal,
};
use reqwest::{Client, Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// The API, from a terminal.
pub struct Api {
    token: SecretString,
    way: Way,
}

enum Way {
    Gateway { client: Client, url: Url },
    Direct(Arc<Gateway>),
}

/// What is asked of the API.
pub(super) struct Request<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'a str, String)],
    body: Option<Value>,
    /// Makes a repeat the same request.
    key: Option<&'a str>,
}

impl<'a> Request<'a> {
    const fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, query: &[], body: None, key: None }
    }

    pub(super) const fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) const fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn query(self, query: &'a [(&'a str, String)]) -> Self {
        Self { query, ..self }
    }

    pub(super) fn body(self, body: impl Into<Value>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    pub(super) fn key(self, key: Option<&'a str>) -> Self {
        Self { key, ..self }
    }
}

/// An answer that comes bit by bit.
pub struct Answer {
    status: u16,
    body: Body,
}

enum Body {
    Gateway(reqwest::Response),
    Direct(Box<warp::reply::Response>),
}

impl Api {
    /// The API as the environment says.
    ///
    /// # Errors
    /// For a variable that cannot be used, or when Temporal does not answer.
    pub async fn read(direct: bool) -> anyhow::Result<Self> {
        let token = secret("HOLDFAST_TOKEN", "the bearer token of whoever asks", 1)?;
        let way = if direct {
            let settings = crate::gateway::Settings::read()?;
            let stop = CancellationToken::new();
            let board = Board::open(&database("HOLDFAST_BOARD_DATABASE_URL")?, stop.clone())?;
            let temporal = temporal::connect(&temporal::Settings::read()?, &process::traces::Traces::default()).await?;
            Way::Direct(Arc::new(Gateway::new(&settings, temporal.client, board, stop)?))
        } else {
            let client = Client::builder().connect_timeout(CONNECT_MAX).build()?;
            Way::Gateway { client, url: required_or("HOLDFAST_URL", "where the gateway is", "http://127.0.0.1:8080")? }
        };
        Ok(Self { token, way })
    }

    /// Asks for something, for the answer as JSON.
    pub(super) async fn send(&self, request: Request<'_>) -> anyhow::Result<Value> {
        let asked = async { self.ask(request).await?.read().await };
        tokio::time::timeout(ANSWER_MAX, asked).await.context("the gateway takes too long")?
    }

    /// Asks for something that comes bit by bit.
    pub(super) async fn open(&self, request: Request<'_>) -> anyhow::Result<Answer> {
        let answer = self.ask(request).await?;
        if (200..300).contains(&answer.status) {
            Ok(answer)
        } else {
            answer.read().await.and_then(|_| bail!("refused"))
        }
    }

    async fn ask(&self, Request { method, path, query, body, key }: Request<'_>) -> anyhow::Result<Answer> {
        match &self.way {
            Way::Gateway { client, url } => {
                let url = format!("{}{path}", url.as_str().trim_end_matches('/'));
                let mut request = client.request(method, url).bearer_auth(self.token.expose_secret()).query(query);
                if let Some(body) = &body {
                    request = request.json(body);
                }
                if let Some(key) = key {
                    request = request.header("idempotency-key", key);
                }
                let answer = request.send().await.context("the gateway does not answer: is HOLDFAST_URL right?")?;
                Ok(Answer { status: answer.status().as_u16(), body: Body::Gateway(answer) })
            }
            Way::Direct(gateway) => {
                let answer = gateway.ask_as(self.token.expose_secret(), method, path, query, body, key).await;
                Ok(Answer { status: answer.status().as_u16(), body: Body::Direct(Box::new(answer)) })
            }
        }
    }
}

impl Answer {
    /// The next part; `None` when it is over.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn chunk(&mut self) -> anyhow::Result<Option<Bytes>> {
        match &mut self.body {
            Body::Gateway(answer) => Ok(answer.chunk().await?),
            Body::Direct(answer) => loop {
                match answer.body_mut().frame().await.transpose() {
                    Ok(None) => return Ok(None),
                    Ok(Some(frame)) => {
                        if let Ok(part) = frame.into_data() {
                            return Ok(Some(part));
                        }
                    }
                    Err(_) => bail!("the answer broke off"),
                }
            },
        }
    }

    async fn read(mut self) -> anyhow::Result<Value> {
        let mut text = Vec::new();
        while let Some(part) = self.chunk().await? {
            text.extend_from_slice(&part);
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        if !(200..300).contains(&self.status) {
            let title = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("no explanation");
            bail!("{} ({}): {title}", answer["code"].as_str().unwrap_or("refused"), self.status);
        }
        Ok(answer)
    }
}
