//! How a message leaves: by mail, by text, or into the log.

use super::words::Language;
use crate::notification::words;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::time::Duration;
use workflows::contracts::notification::Notice;

/// One attempt at a server: shorter than the attempt of the activity around it.
const ATTEMPT: Duration = Duration::from_secs(4);

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is delivered.
    Sent,
    /// It is not, and may be tried again.
    NotYet(&'static str),
    /// It is not, and will not be.
    Refused(&'static str),
    /// Nobody knows: to try again might be to tell it twice.
    Unknown(&'static str),
}

/// Mail by SMTP.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mail {
    /// A mail server by URL (`smtps://user:password@host`, `smtp://host:25` without TLS), and whom mail comes from.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: &SecretString, from: Mailbox) -> Result<Self, lettre::transport::smtp::Error> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())?;
        Ok(Self { transport: transport.timeout(Some(ATTEMPT)).build(), from })
    }

    pub(super) async fn send(&self, notice: &Notice, address: &str, language: Language, text: &str) -> Outcome {
        let Ok(to) = address.parse::<Mailbox>() else { return Outcome::Refused("bad_address") };
        let message = Message::builder()
            // The same for every attempt: a mailbox that has it already can tell.
            .message_id(Some(format!("<{}.{}@holdfast>", notice.booking, notice.stage)))
            .from(self.from.clone())
            .to(to)
            .subject(words::subject(notice, language))
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned());
        let Ok(message) = message else { return Outcome::Refused("bad_message") };
        // A server that is not there has taken nothing: that is told apart from one that breaks off in the middle.
        if !self.transport.test_connection().await.unwrap_or(false) {
            return Outcome::NotYet("mail_server_away");
        }
        match self.transport.send(message).await {
            Ok(_) => Outcome::Sent,
            Err(error) if error.is_permanent() => Outcome::Refused("mail_refused"),
            Err(error) if error.is_transient() => Outcome::NotYet("mail_deferred"),
            Err(_) => Outcome::Unknown("outcome_unknown"),
        }
    }
}

/// Text messages by a provider's HTTP interface: `POST {"to", "text"}` with an `Idempotency-Key`.
pub struct Text {
    client: reqwest::Client,
    url: reqwest::Url,
    token: Option<SecretString>,
}

impl Text {
    /// A provider at a URL, shown a bearer token where it wants one.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(url: reqwest::Url, token: Option<SecretString>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: reqwest::Client::builder().timeout(ATTEMPT).build()?, url, token })
    }

    pub(super) async fn send(&self, notice: &Notice, phone: &str, text: &str) -> Outcome {
        let key = format!("{}.{}", notice.booking, notice.stage);
        let request = self.client.post(self.url.clone()).header("idempotency-key", key);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        // The key makes a repeat harmless, so what is not known is simply tried again.
        match request.json(&json!({ "to": phone, "text": text })).send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Sent,
            Ok(answer) if answer.status().is_client_error() && answer.status().as_u16() != 429 => {
                Outcome::Refused("text_refused")
            }
            Ok(_) => Outcome::NotYet("text_deferred"),
            Err(_) => Outcome::NotYet("text_provider_away"),
        }
    }
}
