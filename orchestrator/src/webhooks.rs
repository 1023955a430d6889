//! Webhooks: tells registered receivers of every change, in order, by a call that is signed as *Standard Webhooks* says.
//!
//! Each receiver has a place in the feed. It is told one change after the other and moves on when it has answered with a
//! status of 2xx; until then it is told the same change again, after longer and longer pauses. After that it is paused, and
//! nothing is skipped: whoever resumes it decides from where. A change may be told twice (an answer can get lost), always
//! with the same `webhook-id`.

use crate::{
    board::{Board, Change, Error, Outcome, Receiver},
    metrics::DELIVERIES,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use hmac::{Hmac, Mac};
use reqwest::{Client, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A receiver has this long to answer. What it answers beside the status is not read.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many receivers are called at the same time.
const AT_ONCE: usize = 4;
/// How long one is ours, and how many changes it is told in that time at most.
const LEASE: Duration = Duration::from_mins(2);
const TOLD_AT_ONCE: usize = 20;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// The first pause and the longest; a receiver is paused after so many attempts, which is some 16 hours.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_hours(4);
const ATTEMPTS_MAX: i32 = 18;
/// How a secret begins when people see it.
const SECRET_PREFIX: &str = "whsec_";

/// A new secret: 256 bits of chance.
#[must_use]
pub fn new_secret() -> SecretString {
    let random: [u8; 32] = rand::random();
    format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random)).into()
}

/// What `webhook-signature` says of a message.
#[must_use]
pub fn signature(secret: &SecretString, id: &str, timestamp: i64, body: &str) -> String {
    let key = secret.expose_secret().trim_start_matches(SECRET_PREFIX);
    let key = BASE64_STANDARD.decode(key).unwrap_or_default();
    // A key of any length is one.
    let signed = Hmac::<Sha256>::new_from_slice(&key).map(|mut mac| {
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    });
    format!("v1,{}", signed.unwrap_or_default())
}

/// Calls receivers until told to stop.
///
/// # Errors
/// When the HTTP client cannot be made.
pub fn start(board: &Board, stop: &CancellationToken) -> anyhow::Result<()> {
    // A redirect would carry a signed message somewhere nobody has registered.
    let client = Client::builder().timeout(ANSWER_WITHIN).redirect(Policy::none()).build()?;
    for _ in 0..AT_ONCE {
        tokio::spawn(serve(board.clone(), client.clone(), stop.clone()));
    }
    Ok(())
}

async fn serve(board: Board, client: Client, stop: CancellationToken) {
    let mut forget_at = Instant::now() + FORGET_EVERY;
    while !stop.is_cancelled() {
        if Instant::now() > forget_at {
            forget_at = Instant::now() + FORGET_EVERY;
            drop(board.receivers().forget().await);
        }
        match serve_one(&board, &client).await {
            Ok(true) => {}
            outcome => {
                if let Err(error) = outcome {
                    tracing::warn!(error = process::logs::chain(&error), "webhooks wait: the board does not answer");
                }
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
            }
        }
    }
}

/// Tells one receiver what it has not been told. `false`: nobody is waiting.
async fn serve_one(board: &Board, client: &Client) -> Result<bool, Error> {
    let Some(mut receiver) = board.receivers().lease(LEASE).await? else { return Ok(false) };
    // All of them: what is not for this one is stepped over for good, and not looked at again.
    let changes = board.changes(receiver.position).await?;
    let more = changes.len() > TOLD_AT_ONCE;
    for change in changes.into_iter().take(TOLD_AT_ONCE) {
        if receiver.system.as_ref().is_some_and(|system| *system != change.system) {
            if !board.receivers().skip(&receiver, change.place).await? {
                return Ok(true);
            }
            receiver.position = change.place;
            continue;
        }
        let status = tell(client, &receiver, &change).await;
        let outcome = match status {
            Some(200..=299) => Outcome::Delivered,
            _ if receiver.attempts + 1 >= ATTEMPTS_MAX => Outcome::GivenUp,
            _ => Outcome::Failed(pause(receiver.attempts)),
        };
        let word = if outcome == Outcome::Delivered { "delivered" } else { "failed" };
        DELIVERIES.with_label_values(&[word]).inc();
        let ours = board.receivers().record(&receiver, &change, status, outcome).await?;
        if !ours || outcome != Outcome::Delivered {
            if outcome == Outcome::GivenUp {
                tracing::warn!(receiver = %receiver.id, "a webhook receiver is paused: it does not take its changes");
            }
            return Ok(true);
        }
        (receiver.position, receiver.attempts) = (change.place, 0);
    }
    let next = if more { Duration::ZERO } else { LOOK_EVERY };
    board.receivers().give_back(receiver.id, next).await?;
    Ok(more)
}

fn pause(attempts: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(u32::try_from(attempts).unwrap_or_default());
    PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX)
}

/// The status it answered with; none where it did not answer.
async fn tell(client: &Client, receiver: &Receiver, change: &Change) -> Option<u16> {
    let id = format!("msg_{}", change.place);
    let timestamp = Utc::now().timestamp();
    let body = json!({
        "type": format!("booking.{}", change.stage), "timestamp": change.at, "data": change,
    });
    let body = body.to_string();
    let request = client
        .post(&receiver.url)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature(&receiver.secret, &id, timestamp, &body))
        .body(body);
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn a_message_is_signed_as_the_standard_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(pause(0), PAUSE_FIRST);
        assert_eq!(pause(3), PAUSE_FIRST * 8);
        assert_eq!(pause(30), PAUSE_MAX);
    }
}
