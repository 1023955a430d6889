//! What Stripe calls us for: that something became of an intent. A call is a hint, and never believed: whatever it says, the
//! booking is looked up. So calls may come twice, late, or in any order, and whichever is quicker, this or the saga's own asking,
//! the ledger ends the same.

use super::{Desk, provider::Provider, stripe};
use crate::store;
use chrono::Utc;
use deadpool_postgres::Pool;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;
use std::{collections::BTreeMap, sync::Arc};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply, http::StatusCode, hyper::body::Bytes, reply::Response};
use workflows::booking::BookingId;

const BODY_BYTES_MAX: u64 = 256 * 1024;
/// A call that was signed longer ago, or later, is somebody else's copy of it.
const SIGNED_WITHIN_SECONDS: u64 = 300;

#[derive(Deserialize)]
struct Event {
    id: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Hears calls until told to stop: `POST /stripe/events`, signed with the secret of the endpoint.
pub async fn hear<P: Provider>(
    listener: TcpListener,
    secret: SecretString,
    desk: Arc<Desk<P>>,
    pool: Pool,
    stop: CancellationToken,
) {
    let secret = Arc::new(secret);
    let call = warp::path!("stripe" / "events")
        .and(warp::post())
        .and(warp::body::content_length_limit(BODY_BYTES_MAX))
        .and(warp::header::optional("stripe-signature"))
        .and(warp::body::bytes())
        .then(move |signature: Option<String>, body: Bytes| {
            let (secret, desk, pool) = (secret.clone(), desk.clone(), pool.clone());
            async move { answer(&secret, &desk, &pool, &signature.unwrap_or_default(), &body).await }
        });
    warp::serve(call).incoming(listener).graceful(async move { stop.cancelled().await }).run().await;
}

async fn answer<P: Provider>(
    secret: &SecretString,
    desk: &Desk<P>,
    pool: &Pool,
    signature: &str,
    body: &[u8],
) -> Response {
    if !is_signed(secret, signature, body, Utc::now().timestamp()) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let Ok(event) = serde_json::from_slice::<Event>(body) else { return StatusCode::BAD_REQUEST.into_response() };
    let booking = event.data.object.metadata.get(stripe::KEY).and_then(|id| id.parse::<BookingId>().ok());
    // Not ours: another program uses the same account.
    let Some(booking) = booking else { return StatusCode::OK.into_response() };
    match heard(desk, pool, &event.id, booking).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            // They call again.
            tracing::warn!(%booking, error = process::logs::chain(&error), "a call of Stripe's has to wait");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn heard<P: Provider>(
    desk: &Desk<P>,
    pool: &Pool,
    event: &str,
    booking: BookingId,
) -> Result<(), super::Unknown> {
    let known = "select from provider_events where event = $1";
    let client = pool.get().await.map_err(store::Error::from)?;
    if client.query_opt(known, &[&event]).await.map_err(store::Error::from)?.is_some() {
        return Ok(());
    }
    drop(client);
    desk.look_again(booking).await?;
    // After its effect: what is lost in between is heard once more.
    let keep = "with old as (delete from provider_events where heard_at < now() - interval '30 days') \
        insert into provider_events (event) values ($1) on conflict do nothing";
    let client = pool.get().await.map_err(store::Error::from)?;
    client.execute(keep, &[&event]).await.map_err(store::Error::from)?;
    Ok(())
}

/// Is this Stripe's? The header holds the time (`t=`) and signatures (`v1=`) of time and body: several while a secret is changed.
fn is_signed(secret: &SecretString, header: &str, body: &[u8], now: i64) -> bool {
    let parts: Vec<_> = header.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let Some((_, time)) = parts.iter().find(|(name, _)| *name == "t") else { return false };
    let in_time = time.parse::<i64>().is_ok_and(|time| now.abs_diff(time) <= SIGNED_WITHIN_SECONDS);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let expected = format!("{:x}", mac.finalize().into_bytes());
    let signed = |(name, given): &(&str, &str)| *name == "v1" && given.as_bytes().ct_eq(expected.as_bytes()).into();
    in_time && parts.iter().any(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_with_the_secret_a_moment_ago_is_believed() {
        let secret = SecretString::from("whsec_test");
        // echo -n '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let good = "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        let body = br#"{"id":"evt_1"}"#;
        assert!(is_signed(&secret, good, body, 1_700_000_100));
        assert!(is_signed(&secret, &format!("{},v1=00,v0=11", good.replace("v1", "v2,v1")), body, 1_700_000_100));
        for (header, body, now) in [
            (good, &b"{}"[..], 1_700_000_100),
            (good, body, 1_700_000_301),
            (good, body, 1_699_999_699),
            ("t=1700000001,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925", body, 1_700_000_100),
            ("t=1700000000", body, 1_700_000_100),
            ("v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925", body, 1_700_000_100),
            ("t=-9223372036854775808,v1=00", body, 1_700_000_100),
            ("", body, 1_700_000_100),
        ] {
            assert!(!is_signed(&secret, header, body, now), "{header}");
        }
        assert!(!is_signed(&SecretString::from("other"), good, body, 1_700_000_100));
    }

    proptest::proptest! {
        /// Whatever comes with a call: nobody signs by chance, and nothing that was signed may be changed.
        #[test]
        fn nothing_is_believed_that_was_not_signed(
            header in "\\PC{0,80}|t=-?[0-9]{1,20}(,v1=[0-9a-f]{0,64}){0,3}",
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            at in 0..20_usize,
        ) {
            let (secret, now) = (SecretString::from("whsec_test"), 1_700_000_000);
            assert!(!is_signed(&secret, &header, &body, now));
            let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_test").unwrap();
            mac.update(b"1700000000.");
            mac.update(&body);
            let signed = format!("t=1700000000,v1={:x}", mac.finalize().into_bytes());
            assert!(is_signed(&secret, &signed, &body, now));
            let mut changed = body.clone();
            changed.insert(at.min(body.len()), b'x');
            assert!(!is_signed(&secret, &signed, &changed, now));
        }
    }
}
