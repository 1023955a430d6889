//! Sign-in by `OpenID` Connect: the authorization code flow with PKCE, at a provider of the operator's choice.

use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata},
};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What the provider says of itself is asked for again after this time; and after this one when it did not answer.
const FRESH: Duration = Duration::from_mins(10);
const PAUSE: Duration = Duration::from_secs(5);
/// So many come back from the provider at the same moment.
const EXCHANGES_MAX: usize = 32;

/// What is agreed with the provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOLDFAST_OIDC_ISSUER_URL`: the provider, letter by letter as it calls itself.
    pub issuer: IssuerUrl,
    /// `HOLDFAST_OIDC_CLIENT_ID`: what it calls us. Its tokens are for this audience.
    pub client: String,
    /// `HOLDFAST_OIDC_CLIENT_SECRET`: what we show it.
    pub secret: SecretString,
    /// `HOLDFAST_OIDC_SCOPES`: what we ask for beside `openid`, separated by spaces; so that the roles are told.
    pub scopes: String,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Option<Self>, process::settings::Error> {
        use process::settings::{Error, optional, or, required, secret};
        let (name, expected) = ("HOLDFAST_OIDC_ISSUER_URL", "the provider's URL, as it calls itself");
        let Some(issuer) = optional::<String>(name, expected)? else { return Ok(None) };
        let invalid = |error: openidconnect::url::ParseError| Error::Invalid { name, expected, why: error.to_string() };
        let issuer = IssuerUrl::new(issuer).map_err(invalid)?;
        Ok(Some(Self {
            issuer,
            client: required("HOLDFAST_OIDC_CLIENT_ID", "what the provider calls us")?,
            secret: secret("HOLDFAST_OIDC_CLIENT_SECRET", "what we show the provider", 1)?,
            scopes: or("HOLDFAST_OIDC_SCOPES", "words separated by spaces", "profile".to_owned())?,
        }))
    }
}

/// A sign-in under way: what has to fit when the browser comes back.
#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    state: String,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    /// Where they wanted to go.
    pub back: String,
}

/// Why a sign-in did not come about. Only for the log: what the browser brought is not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the sign-in that came back is not the one that went out")]
    AnotherOne,
    #[error("the provider: {0}")]
    Provider(String),
    #[error("the provider did not answer a moment ago")]
    Silent,
    #[error("{EXCHANGES_MAX} others are signing in at this moment")]
    Busy,
}

fn provider(error: impl std::error::Error + 'static) -> Failure {
    Failure::Provider(process::logs::chain(&error))
}

/// A client as the provider describes itself.
macro_rules! client {
    ($provider:expr, $redirect:expr) => {{
        let settings = &$provider.settings;
        let id = ClientId::new(settings.client.clone());
        let secret = ClientSecret::new(settings.secret.expose_secret().to_owned());
        CoreClient::from_provider_metadata($provider.described().await?, id, Some(secret))
            .set_redirect_uri(RedirectUrl::new($redirect).map_err(provider)?)
    }};
}

/// The provider. Whoever comes may begin to sign in: it is asked no more often for that.
pub(in super::super) struct Provider {
    settings: Settings,
    http: Client,
    known: Mutex<Known>,
    exchanges: Semaphore,
}

/// How the provider described itself, and when; or that it did not.
enum Known {
    Nothing,
    Failed(Instant),
    Described(Box<CoreProviderMetadata>, Instant),
}

impl Provider {
    /// # Errors
    /// When the HTTP client for it cannot be made.
    pub(in super::super) fn new(settings: Settings) -> reqwest::Result<Self> {
        // A provider that sends us elsewhere is not followed.
        let http = Client::builder().timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { settings, http, known: Mutex::new(Known::Nothing), exchanges: Semaphore::new(EXCHANGES_MAX) })
    }

    /// What it says of itself: asked once for all who wait.
    async fn described(&self) -> Result<CoreProviderMetadata, Failure> {
        let arrived = Instant::now();
        let mut known = self.known.lock().await;
        match &*known {
            Known::Described(described, at) if at.elapsed() < FRESH => return Ok((**described).clone()),
            Known::Failed(at) if *at >= arrived || at.elapsed() < PAUSE => return Err(Failure::Silent),
            _ => {}
        }
        let described = CoreProviderMetadata::discover_async(self.settings.issuer.clone(), &self.http).await;
        *known = match &described {
            Ok(described) => Known::Described(Box::new(described.clone()), Instant::now()),
            Err(_) => Known::Failed(Instant::now()),
        };
        described.map_err(provider)
    }

    /// Where the browser signs in, and what to remember until it comes back.
    pub(super) async fn begin(&self, public: &Url, back: &str) -> Result<(Url, Pending), Failure> {
        let client = client!(self, redirect(public));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request =
            client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random).set_pkce_challenge(challenge);
        for scope in self.settings.scopes.split_whitespace() {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        let (url, state, nonce) = request.url();
        Ok((url, Pending { state: state.secret().clone(), nonce, verifier, back: back.to_owned() }))
    }

    /// Turns the code that the browser brought back into a token.
    pub(super) async fn finish(
        &self,
        public: &Url,
        pending: Pending,
        state: &str,
        code: &str,
    ) -> Result<String, Failure> {
        if state != pending.state || code.is_empty() {
            return Err(Failure::AnotherOne);
        }
        let _one = self.exchanges.try_acquire().map_err(|_| Failure::Busy)?;
        let client = client!(self, redirect(public));
        let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(provider)?;
        let token = exchange.set_pkce_verifier(pending.verifier).request_async(&self.http).await.map_err(provider)?;
        let token = token.id_token().ok_or(Failure::AnotherOne)?;
        if let Err(error) = token.claims(&client.id_token_verifier(), &pending.nonce) {
            // It may sign with a key that is new.
            *self.known.lock().await = Known::Nothing;
            return Err(provider(error));
        }
        Ok(token.to_string())
    }
}

fn redirect(public: &Url) -> String {
    format!("{}/console/sign-in/callback", public.as_str().trim_end_matches('/'))
}
