//! The public keys of an identity provider (JWKS), remembered for a while.

use super::super::problem::{Code, Problem};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::{Client, Url};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Keys are asked for again after this time, so that one that was withdrawn is not believed for ever.
const FRESH: Duration = Duration::from_mins(10);
/// A provider that does not answer leaves us what we knew, for so long.
const KNOWN: Duration = Duration::from_hours(24);
/// Whatever callers show, the provider is not asked more often.
const PAUSE: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(2);
const SET_BYTES_MAX: u64 = 256 * 1024;
const KEYS_MAX: usize = 100;

/// An identity provider's keys.
pub(super) struct Keys {
    url: Url,
    client: Client,
    known: RwLock<Option<Known>>,
    /// Whoever holds this asks; the others wait for what they hear. When it was last tried.
    asking: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<JwkSet>,
    since: Instant,
}

impl Known {
    fn is_believed(&self) -> bool {
        self.since.elapsed() < KNOWN
    }
}

/// Why there is no set of keys. Only for the log.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the identity provider did not answer")]
    Silent(#[from] reqwest::Error),
    #[error("the set of keys is larger than {SET_BYTES_MAX} bytes or has more than {KEYS_MAX} keys")]
    TooLarge,
    #[error("the set of keys cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

impl Keys {
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { url, client, known: RwLock::default(), asking: Mutex::default() })
    }

    /// The key of this id. One that is not known may be new: then the provider is asked, once for all who wait. One that has
    /// been known for a while is believed while the provider is asked again, so that nobody waits for a slow one.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] when there is none, [`Code::Unavailable`] when no key is known at all.
    pub(super) async fn find(self: &Arc<Self>, id: &str) -> Result<Jwk, Problem> {
        if let Some(known) = self.known().filter(Known::is_believed)
            && let Some(key) = known.keys.find(id)
        {
            if known.since.elapsed() >= FRESH && self.asking.try_lock().is_ok() {
                let keys = self.clone();
                tokio::spawn(async move { keys.refresh().await });
            }
            return Ok(key.clone());
        }
        self.refresh().await;
        let known = self.known().filter(Known::is_believed);
        let known = known.ok_or_else(|| Problem::new(Code::Unavailable).with("part", "sign-in"))?;
        known.keys.find(id).cloned().ok_or_else(|| Problem::new(Code::Unauthenticated))
    }

    async fn refresh(&self) {
        let arrived = Instant::now();
        let mut tried = self.asking.lock().await;
        // Somebody has asked while we waited, or it was only just now.
        if tried.is_some_and(|tried| tried >= arrived || tried.elapsed() < PAUSE) {
            return;
        }
        let outcome = self.fetch().await;
        *tried = Some(Instant::now());
        match outcome {
            Ok(keys) => {
                let known = Known { keys: Arc::new(keys), since: Instant::now() };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Err(error) => {
                tracing::warn!(error = process::logs::chain(&error), "the keys for sign-in stay as they were");
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, Failure> {
        let mut response = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await? {
            text.extend_from_slice(&part);
            if text.len() as u64 > SET_BYTES_MAX {
                return Err(Failure::TooLarge);
            }
        }
        let keys: JwkSet = serde_json::from_slice(&text)?;
        if keys.keys.len() > KEYS_MAX { Err(Failure::TooLarge) } else { Ok(keys) }
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::{net::TcpListener, time::timeout};

    #[tokio::test]
    async fn nobody_waits_for_a_provider_that_hangs_when_their_key_is_known() {
        let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", hangs.local_addr().unwrap()).parse().unwrap();
        let keys = Arc::new(Keys::new(url).unwrap());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg", "kid": "a" }] });
        let known = Known {
            keys: Arc::new(serde_json::from_value(set).unwrap()),
            since: Instant::now().checked_sub(FRESH).unwrap(),
        };
        *keys.known.write().unwrap() = Some(known);
        for _ in 0..3 {
            let key = timeout(ANSWER_MAX / 4, keys.find("a")).await.expect("it waits");
            assert_eq!(key.ok().unwrap().common.key_id.as_deref(), Some("a"));
        }
        timeout(ANSWER_MAX, hangs.accept()).await.expect("nobody asks the provider").unwrap();
    }
}
