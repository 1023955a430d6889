//! Sessions: who is signed in, by a cookie that holds their token. Nothing is kept here: any gateway knows any session.

use super::{
    super::{
        Gateway,
        auth::{Caller, is_loopback},
        problem::{Code, Problem},
    },
    Settings, Visit,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use std::{collections::BTreeMap, time::Duration};
use subtle::ConstantTimeEq;
use warp::{
    http::{HeaderMap, HeaderValue, header},
    reply::Response,
};

/// The cookie with the token, and the one that remembers a sign-in under way.
const SESSION: &str = "holdfast_session";
const PENDING: &str = "holdfast_sign_in";
/// The field that every form carries.
pub(super) const CONFIRMATION: &str = "confirmation";

/// Somebody who is signed in.
pub(in super::super) struct Session {
    /// Who.
    pub caller: Caller,
    /// What forms have to carry: known to pages of this session alone.
    pub confirmation: String,
}

impl Session {
    pub(super) fn confirms(&self, form: &BTreeMap<String, String>) -> bool {
        // In a time that does not tell where the difference is.
        form.get(CONFIRMATION).is_some_and(|shown| shown.as_bytes().ct_eq(self.confirmation.as_bytes()).into())
    }
}

/// Signs what browsers keep for us.
pub(in super::super) struct Seal(Hmac<Sha256>);

impl Seal {
    /// A seal that all gateways with the same secret share.
    pub(in super::super) fn new(secret: &SecretString) -> Self {
        // HMAC takes a key of any length.
        let mac = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(mac.expect("a key of any length"))
    }

    fn of(&self, what: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(what, text).finalize().into_bytes())
    }

    fn mac(&self, what: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac
    }

    fn close(&self, what: &str, value: &impl Serialize) -> String {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        format!("{text}.{}", self.of(what, &text))
    }

    fn open<T: DeserializeOwned>(&self, what: &str, sealed: &str) -> Option<T> {
        let (text, mac) = sealed.split_once('.')?;
        self.mac(what, text).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

impl Gateway {
    /// Who is signed in, by the cookie they show.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when that cannot be told now.
    pub(in super::super) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
        let Some(token) = cookie(headers, SESSION) else { return Ok(None) };
        match self.auth.bearer(token).await {
            Ok(caller) => Ok(Some(Session { caller, confirmation: self.seal.of("confirmation", token) })),
            Err(problem) if problem.code == Code::Unauthenticated => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Lets the browser keep a token.
    pub(super) fn keep(&self, response: Response, token: &str) -> Response {
        with_cookie(&self.console, response, SESSION, token, None)
    }

    /// Lets the browser forget everything.
    pub(super) fn forget(&self, response: Response) -> Response {
        let response = with_cookie(&self.console, response, SESSION, "", Some(Duration::ZERO));
        with_cookie(&self.console, response, PENDING, "", Some(Duration::ZERO))
    }

    /// Lets the browser keep what is needed when it comes back from signing in elsewhere.
    pub(super) fn keep_pending(&self, response: Response, pending: &impl Serialize, within: Duration) -> Response {
        let sealed = self.seal.close(PENDING, pending);
        with_cookie(&self.console, response, PENDING, &sealed, Some(within))
    }

    pub(super) fn pending<T: DeserializeOwned>(&self, headers: &HeaderMap) -> Option<T> {
        self.seal.open(PENDING, cookie(headers, PENDING)?)
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let shown = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = shown.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}

fn with_cookie(
    settings: &Settings,
    mut response: Response,
    name: &str,
    value: &str,
    lasts: Option<Duration>,
) -> Response {
    let secure = if settings.public_url.scheme() == "https" { "; Secure" } else { "" };
    let age = lasts.map_or_else(String::new, |lasts| format!("; Max-Age={}", lasts.as_secs()));
    // Lax: who comes back from signing in elsewhere is signed in.
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Was a form sent from one of our own pages? Browsers say so. A name of somebody else's that leads to our address is none of
/// ours.
pub(super) fn is_from_here(settings: &Settings, headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let public = settings.public_url.origin().ascii_serialization();
    let local = is_loopback(&settings.public_url);
    let ours = |origin: &str| origin == public || local && Url::parse(origin).is_ok_and(|origin| is_loopback(&origin));
    let same = said("sec-fetch-site").is_none_or(|site| site == "same-origin");
    match (said("origin"), said("host")) {
        (Some(origin), _) => same && ours(origin),
        // No browser of today sends a form without one of them.
        (None, Some(host)) => {
            said("sec-fetch-site").is_some() && same && ours(&format!("{}://{host}", settings.public_url.scheme()))
        }
        (None, None) => false,
    }
}

/// Where to sign in, and to come back from.
pub(super) fn sign_in_first(visit: &Visit) -> String {
    let query = serde_urlencoded::to_string(&visit.query).unwrap_or_default();
    let back = match (visit.form.is_empty(), query.is_empty()) {
        // What a form does is not done by coming back to it.
        (false, _) => back(visit.said("back")).to_owned(),
        (true, true) => visit.path.clone(),
        (true, false) => format!("{}?{query}", visit.path),
    };
    let back = serde_urlencoded::to_string([("back", back)]).unwrap_or_default();
    format!("/console/sign-in?{back}")
}

/// A path of ours to go back to; nobody is led elsewhere.
pub(super) fn back(text: &str) -> &str {
    let ours = text.starts_with("/console") && !text.contains(['\\', '\r', '\n']) && !text.starts_with("/console/sign");
    if ours { text } else { "/console" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_keeps_for_us_cannot_be_changed_or_used_for_something_else() {
        let (seal, other) = (Seal::new(&"one secret".into()), Seal::new(&"another secret".into()));
        let sealed = seal.close("this", &("state", 7));
        assert_eq!(seal.open::<(String, i32)>("this", &sealed), Some(("state".to_owned(), 7)));
        assert_eq!(seal.open::<(String, i32)>("that", &sealed), None);
        assert_eq!(other.open::<(String, i32)>("this", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap_or_default();
            // The last letter of base64 has bits that mean nothing; a strict decoder refuses them.
            assert_eq!(seal.open::<(String, i32)>("this", &changed), None, "changed at {at}");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(back("/console/inbox?system=ebook"), "/console/inbox?system=ebook");
        for elsewhere in
            ["", "//evil.example", "https://evil.example", "/\\evil", "/console\r\nx: y", "/console/sign-out"]
        {
            assert_eq!(back(elsewhere), "/console", "{elsewhere:?}");
        }
    }
}
