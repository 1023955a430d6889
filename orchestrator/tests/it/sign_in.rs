//! Sign-in with an identity provider's keys: fetched once for all who wait, again for a key that is new, and pinned to
//! algorithms that suit them.

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use orchestrator::gateway::{
    auth::{Auth, Caller, Role, Settings},
    problem::{Code, Problem},
};
use p256::{SecretKey, elliptic_curve::rand_core::OsRng, pkcs8::EncodePrivateKey};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use warp::Filter;

const SECRET: &str = "holdfast-development-secret-0123456789";

/// An identity provider: its keys, and how often it was asked for them.
#[derive(Clone, Default)]
struct Provider {
    keys: Arc<Mutex<Vec<Jwk>>>,
    asked: Arc<AtomicUsize>,
    away: Arc<Mutex<bool>>,
}

/// A key with its name.
struct Signer {
    id: &'static str,
    key: EncodingKey,
    public: Jwk,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let der = SecretKey::random(&mut OsRng).to_pkcs8_der().unwrap();
        let key = EncodingKey::from_ec_der(der.as_bytes());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(id.to_owned());
        Self { id, key, public }
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

impl Provider {
    async fn start(self) -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let provider = self.clone();
        let keys = warp::path!("keys").map(move || {
            provider.asked.fetch_add(1, Ordering::SeqCst);
            let status = if *provider.away.lock().unwrap() { 503 } else { 200 };
            let set = JwkSet { keys: provider.keys.lock().unwrap().clone() };
            warp::reply::with_status(warp::reply::json(&set), warp::http::StatusCode::from_u16(status).unwrap())
        });
        tokio::spawn(warp::serve(keys).incoming(listener).run());
        (self, url)
    }

    fn publish(&self, signer: &Signer) {
        self.keys.lock().unwrap().push(signer.public.clone());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn settings(url: &str, secret: Option<&str>) -> Settings {
    Settings {
        secret: secret.map(SecretString::from),
        keys: Some(url.parse().unwrap()),
        ..Settings::for_development(SECRET.into())
    }
}

fn claims() -> Value {
    let exp = chrono::Utc::now().timestamp() + 600;
    json!({ "sub": "ada", "roles": ["member", "of nothing"], "iss": "holdfast", "aud": ["holdfast"], "exp": exp })
}

fn code(refused: Result<Caller, Problem>) -> Option<Code> {
    refused.err().map(|problem| problem.code)
}

#[tokio::test]
async fn a_hundred_callers_at_once_cost_the_provider_one_question() {
    let (provider, url) = Provider::default().start().await;
    let signer = Signer::new("one");
    provider.publish(&signer);
    let auth = Auth::new(&settings(&url, None)).unwrap();
    let token = signer.token(&claims());

    let callers = futures::future::join_all((0..100).map(|_| auth.bearer(&token))).await;

    for caller in callers {
        let caller = caller.unwrap();
        assert_eq!((caller.subject.as_str(), &caller.roles[..]), ("ada", &[Role::Member][..]));
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn what_the_provider_did_not_sign_for_us_is_refused() {
    let (provider, url) = Provider::default().start().await;
    let (signer, stranger) = (Signer::new("one"), Signer::new("one"));
    let unknown = Signer::new("another");
    provider.publish(&signer);
    let auth = Auth::new(&settings(&url, None)).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.token(&claims)
    };
    let past = chrono::Utc::now().timestamp() - 60;
    let shared = |algorithm, key: &[u8]| {
        let header = Header { kid: Some("one".to_owned()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(key)).unwrap()
    };
    let nameless = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(), &signer.key).unwrap();
    let public = serde_json::to_vec(&signer.public).unwrap();
    let refused = [
        ("signed by somebody else under the same name", stranger.token(&claims())),
        ("signed with a key that is not published", unknown.token(&claims())),
        ("without a key's name", nameless),
        ("signed with the secret of development, where there is none", shared(Algorithm::HS256, SECRET.as_bytes())),
        ("signed with the public key as a secret", shared(Algorithm::HS256, &public)),
        ("expired", with("exp", json!(past))),
        ("not valid yet", with("nbf", json!(past + 600))),
        ("for another audience", with("aud", json!("somebody"))),
        ("of another issuer", with("iss", json!("somebody"))),
        ("too long", with("padding", json!("x".repeat(5000)))),
    ];
    for (what, token) in refused {
        assert_eq!(code(auth.bearer(&token).await), Some(Code::Unauthenticated), "a token {what}");
    }
    auth.bearer(&signer.token(&claims())).await.unwrap();
    // Names that nobody has published do not send us back to the provider each time.
    assert!(provider.asked() <= 2, "asked {} times", provider.asked());
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_nobody_out_whose_key_is_known() {
    let (provider, url) = Provider::default().start().await;
    let signer = Signer::new("one");
    let auth = Auth::new(&settings(&url, Some(SECRET))).unwrap();
    *provider.away.lock().unwrap() = true;
    assert_eq!(code(auth.bearer(&signer.token(&claims())).await), Some(Code::Unavailable), "no key is known yet");
    // Development's tokens need no provider.
    let caller = Caller { subject: "ben".parse().unwrap(), roles: vec![Role::Admin] };
    let token = auth.token(&caller, std::time::Duration::from_mins(1)).unwrap();
    assert_eq!(auth.bearer(&token).await.unwrap(), caller);

    *provider.away.lock().unwrap() = false;
    provider.publish(&signer);
    let known = Auth::new(&settings(&url, None)).unwrap();
    known.bearer(&signer.token(&claims())).await.unwrap();
    *provider.away.lock().unwrap() = true;
    known.bearer(&signer.token(&claims())).await.unwrap();
}

#[tokio::test]
async fn roles_may_lie_deeper_in_a_token() {
    let (provider, url) = Provider::default().start().await;
    let signer = Signer::new("one");
    provider.publish(&signer);
    let auth = Auth::new(&Settings { roles: "realm_access.roles".to_owned(), ..settings(&url, None) }).unwrap();
    let mut claims = claims();
    claims["realm_access"] = json!({ "roles": ["operator"] });
    assert_eq!(auth.bearer(&signer.token(&claims)).await.unwrap().roles, [Role::Operator]);
}

/// Whoever knows the secret of development can be anybody: it is not for addresses that strangers reach.
#[test]
fn the_secret_of_development_stays_on_this_machine() {
    let development = Settings::for_development(SECRET.into());
    let here = "http://127.0.0.1:8080".parse().unwrap();
    development.fit("127.0.0.1:8080".parse().unwrap(), &here).unwrap();
    development.fit("[::1]:8080".parse().unwrap(), &here).unwrap();
    // Behind a proxy the address is this machine's, and its visitors are not.
    let elsewhere = "https://bookings.example".parse().unwrap();
    development.fit("127.0.0.1:8080".parse().unwrap(), &elsewhere).unwrap_err();
    for beyond in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080"] {
        let refused = development.fit(beyond.parse().unwrap(), &here).unwrap_err().to_string();
        assert!(refused.contains("HOLDFAST_JWT_SECRET") && !refused.contains(SECRET), "{refused}");
    }
    let earnest = Settings { secret: None, ..settings("http://127.0.0.1:1/keys", None) };
    earnest.fit("0.0.0.0:8080".parse().unwrap(), &elsewhere).unwrap();
}
