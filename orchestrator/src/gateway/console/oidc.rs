//! Sign-in by `OpenID` Connect: the authorization code flow with PKCE, at a provider of the operator's choice.

use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata},
};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(5);

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
}

fn provider(error: impl std::error::Error + 'static) -> Failure {
    Failure::Provider(process::logs::chain(&error))
}

/// A client as the provider describes itself now.
macro_rules! client {
    ($settings:expr, $redirect:expr, $http:expr) => {{
        let described =
            CoreProviderMetadata::discover_async($settings.issuer.clone(), $http).await.map_err(provider)?;
        let id = ClientId::new($settings.client.clone());
        let secret = ClientSecret::new($settings.secret.expose_secret().to_owned());
        CoreClient::from_provider_metadata(described, id, Some(secret))
            .set_redirect_uri(RedirectUrl::new($redirect).map_err(provider)?)
    }};
}

fn http() -> Result<Client, Failure> {
    // A provider that sends us elsewhere is not followed.
    let client = Client::builder().timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(provider)
}

fn redirect(public: &Url) -> String {
    format!("{}/console/sign-in/callback", public.as_str().trim_end_matches('/'))
}

/// Where the browser signs in, and what to remember until it comes back.
pub(super) async fn begin(settings: &Settings, public: &Url, back: &str) -> Result<(Url, Pending), Failure> {
    let client = client!(settings, redirect(public), &http()?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let mut request =
        client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random).set_pkce_challenge(challenge);
    for scope in settings.scopes.split_whitespace() {
        request = request.add_scope(Scope::new(scope.to_owned()));
    }
    let (url, state, nonce) = request.url();
    Ok((url, Pending { state: state.secret().clone(), nonce, verifier, back: back.to_owned() }))
}

/// Turns the code that the browser brought back into a token.
pub(super) async fn finish(
    settings: &Settings,
    public: &Url,
    pending: Pending,
    state: &str,
    code: &str,
) -> Result<String, Failure> {
    if state != pending.state || code.is_empty() {
        return Err(Failure::AnotherOne);
    }
    let http = http()?;
    let client = client!(settings, redirect(public), &http);
    let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(provider)?;
    let token = exchange.set_pkce_verifier(pending.verifier).request_async(&http).await.map_err(provider)?;
    let token = token.id_token().ok_or(Failure::AnotherOne)?;
    token.claims(&client.id_token_verifier(), &pending.nonce).map_err(provider)?;
    Ok(token.to_string())
}
