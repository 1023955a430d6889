//! The API, asked from within: as somebody, with the same rights and the same answers as over HTTP. This is how the console and
//! the command line come in.

use super::{
    Gateway,
    auth::Caller,
    call::Call,
    problem::{Code, Problem},
    routes,
};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;
use warp::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// What the API answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// Why it was refused, in a sentence for people.
    pub(super) fn why(&self) -> String {
        let text = |name: &str| self.body[name].as_str();
        match (text("title"), text("field"), text("expected")) {
            (_, Some(field), Some(expected)) => format!("{field}: expected {expected}."),
            (Some(title), ..) => title.to_owned(),
            (None, ..) => "It was refused.".to_owned(),
        }
    }
}

/// A request to the API.
pub(super) struct Ask<'a> {
    caller: &'a Caller,
    method: Method,
    path: String,
    query: BTreeMap<String, String>,
    body: Option<Value>,
    key: Option<String>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(caller: &'a Caller, method: Method, path: impl Into<String>) -> Self {
        Self { caller, method, path: path.into(), query: BTreeMap::new(), body: None, key: None }
    }

    pub(super) fn get(caller: &'a Caller, path: impl Into<String>) -> Self {
        Self::new(caller, Method::GET, path)
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.query.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Makes a repeat the same request.
    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned()).filter(|key| !key.is_empty());
        self
    }

    /// Asks, whatever the answer is.
    pub(super) async fn answer(self, gateway: &Arc<Gateway>) -> Answer {
        match self.send(gateway).await {
            Ok(answer) => answer,
            Err(problem) => read(problem.into_response()).await,
        }
    }

    /// Asks for something that has to be there.
    ///
    /// # Errors
    /// The API's own refusal.
    pub(super) async fn fetch(self, gateway: &Arc<Gateway>) -> Result<Value, Problem> {
        Ok(self.send(gateway).await?.body)
    }

    async fn send(self, gateway: &Arc<Gateway>) -> Result<Answer, Problem> {
        Ok(read(self.respond(gateway).await?).await)
    }

    /// Asks, for the answer as it is.
    ///
    /// # Errors
    /// The API's own refusal.
    pub(super) async fn respond(self, gateway: &Arc<Gateway>) -> Result<Response, Problem> {
        let (route, parameters) = routes::find(&self.method, &self.path)?;
        route.access.admit(self.caller)?;
        let _slot = gateway.in_flight.try_acquire().map_err(|_| Problem::new(Code::TooBusy))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = self.key.as_deref().and_then(|key| HeaderValue::from_str(key).ok()) {
            headers.insert("idempotency-key", key);
        }
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default().into();
        let arrived = Instant::now();
        let answer_by = arrived + gateway.answer_within;
        let caller = self.caller.clone();
        let call = Call { caller, parameters, query: self.query, headers, body, arrived, answer_by, place: None };
        (route.serve)(gateway.clone(), call).await
    }
}

impl Gateway {
    /// Asks for something as whoever a token names. Path and query as over HTTP; `key` makes a repeat the same request.
    pub async fn ask_as(
        self: &Arc<Self>,
        token: &str,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
        key: Option<&str>,
    ) -> Response {
        let asked = async {
            let caller = self.auth.bearer(token).await?;
            let ask = Ask::new(&caller, method, path).key(key.unwrap_or_default());
            let mut ask = query.iter().fold(ask, |ask, (name, value)| ask.query(name, value));
            ask.body = body;
            ask.respond(self).await
        };
        asked.await.unwrap_or_else(Problem::into_response)
    }
}

async fn read(response: Response) -> Answer {
    let status = response.status();
    let body = match response.into_body().collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    Answer { status, body }
}
