//! Sign-in: who calls, and what their roles allow.
//!
//! Callers show a token (JWT). In earnest it is signed by an identity provider, whose public keys are fetched; for development
//! it is signed with a secret that both sides know.

mod keys;

use super::problem::{Code, Problem};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use keys::Keys;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};
use workflows::booking::Subject;

/// Clocks of two machines may differ by this much.
const SKEW_SECONDS_MAX: u64 = 10;
/// A token is short; a longer one is not read.
const TOKEN_BYTES_MAX: usize = 4096;
/// How an identity provider may sign. Nothing symmetric: its public keys are no secret.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Books, pays, returns.
    Member,
    /// Keeps the catalogues of books and resorts, approves and rejects.
    Admin,
    /// Keeps a cinema or a hair salon.
    Manager,
    /// Takes requests for a teacher.
    Teacher,
    /// Carries parcels.
    Courier,
    /// Sends vouchers.
    Sender,
    /// Looks after stuck bookings.
    Operator,
}

impl Role {
    /// Every role there is.
    pub const ALL: &'static [Self] =
        &[Self::Member, Self::Admin, Self::Manager, Self::Teacher, Self::Courier, Self::Sender, Self::Operator];

    /// The role as written in tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Teacher => "teacher",
            Self::Courier => "courier",
            Self::Sender => "sender",
            Self::Operator => "operator",
        }
    }
}

/// What does not name a role.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("expected member, admin, manager, teacher, courier, sender or operator")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or(NotARole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As whom.
    pub subject: Subject,
    /// What they may be.
    pub roles: Vec<Role>,
}

impl Caller {
    /// Have they any of these roles?
    #[must_use]
    pub fn is_any(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }

    /// May they see everybody's bookings, whatever system they belong to?
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.is_any(&[Role::Admin, Role::Operator])
    }
}

/// What we read of a token's claims beside those that the library checks.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Whose tokens are accepted.
pub struct Settings {
    /// `HOLDFAST_JWT_SECRET`: what tokens are signed with during development.
    pub secret: Option<SecretString>,
    /// `HOLDFAST_JWKS_URL`: where the identity provider publishes its keys.
    pub keys: Option<Url>,
    /// `HOLDFAST_JWT_ISSUER`: who signs them.
    pub issuer: String,
    /// `HOLDFAST_JWT_AUDIENCE`: for whom.
    pub audience: String,
    /// `HOLDFAST_JWT_ROLES`: the claim with the roles; dots lead into it, such as `realm_access.roles`.
    pub roles: String,
}

impl Settings {
    /// Tokens of development, signed with a secret.
    #[must_use]
    pub fn for_development(secret: SecretString) -> Self {
        let name = || "holdfast".to_owned();
        Self { secret: Some(secret), keys: None, issuer: name(), audience: name(), roles: "roles".to_owned() }
    }

    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{Error, optional, optional_secret, or};
        let settings = Self {
            secret: optional_secret("HOLDFAST_JWT_SECRET", "at least 32 random characters", 32)?,
            keys: optional("HOLDFAST_JWKS_URL", "where the identity provider publishes its keys")?,
            issuer: or("HOLDFAST_JWT_ISSUER", "the issuer's name", "holdfast".to_owned())?,
            audience: or("HOLDFAST_JWT_AUDIENCE", "the audience's name", "holdfast".to_owned())?,
            roles: or("HOLDFAST_JWT_ROLES", "the claim with the roles", "roles".to_owned())?,
        };
        if settings.secret.is_none() && settings.keys.is_none() {
            let expected = "where the identity provider publishes its keys (or HOLDFAST_JWT_SECRET, for development)";
            return Err(Error::Missing { name: "HOLDFAST_JWKS_URL", expected });
        }
        Ok(settings)
    }

    /// Who knows the secret of development can be anybody. So it goes with an address that only this machine reaches, or with
    /// somebody who says that they know (`HOLDFAST_JWT_SECRET_BEYOND_LOOPBACK=yes`).
    ///
    /// # Errors
    /// [`process::settings::Error`] for the secret on an address that others reach.
    pub fn fit(&self, http: SocketAddr, public: &Url) -> Result<(), process::settings::Error> {
        let consent: Option<String> = process::settings::optional("HOLDFAST_JWT_SECRET_BEYOND_LOOPBACK", "yes")?;
        let here = http.ip().is_loopback() && is_loopback(public);
        if self.secret.is_none() || here || consent.as_deref() == Some("yes") {
            return Ok(());
        }
        Err(process::settings::Error::Invalid {
            name: "HOLDFAST_JWT_SECRET",
            expected: "HOLDFAST_JWKS_URL instead, or HOLDFAST_JWT_SECRET_BEYOND_LOOPBACK=yes where no stranger gets",
            why: "it is for development, and HOLDFAST_HTTP or HOLDFAST_PUBLIC_URL is not on this machine".to_owned(),
        })
    }
}

/// Reads tokens, and makes those of development.
pub struct Auth {
    shared: Option<(DecodingKey, EncodingKey)>,
    keys: Option<Arc<Keys>>,
    validation: Validation,
    issuer: String,
    audience: String,
    roles: String,
}

impl Auth {
    /// Tokens of one issuer for one audience.
    ///
    /// # Errors
    /// When the HTTP client for the identity provider cannot be made.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let Settings { secret, keys, issuer, audience, roles } = settings;
        // Which algorithm is accepted is decided for each token, by where its key comes from.
        let mut validation = Validation::default();
        validation.leeway = SKEW_SECONDS_MAX;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let shared = |secret: &SecretString| {
            let secret = secret.expose_secret().as_bytes();
            (DecodingKey::from_secret(secret), EncodingKey::from_secret(secret))
        };
        Ok(Self {
            shared: secret.as_ref().map(shared),
            keys: keys.clone().map(Keys::new).transpose()?.map(Arc::new),
            validation,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            roles: roles.to_owned(),
        })
    }

    /// Who shows this `Authorization` header?
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] without a valid token. The reason is not told, and the token never logged.
    pub async fn caller(&self, header: Option<&str>) -> Result<Caller, Problem> {
        let (scheme, token) = header.and_then(|header| header.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        self.bearer(token).await
    }

    /// Who shows this token?
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] when it is not valid, [`Code::Unavailable`] when no keys are known yet.
    pub async fn bearer(&self, token: &str) -> Result<Caller, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused())?;
        let claims = match (header.alg, &self.shared, &self.keys) {
            (Algorithm::HS256, Some((key, _)), _) => self.claims(token, key, Algorithm::HS256)?,
            (algorithm, _, Some(keys)) if ALGORITHMS.contains(&algorithm) => {
                let key = keys.find(&header.kid.ok_or_else(refused)?).await?;
                let other = key.common.key_algorithm.is_some_and(|of| of.to_string() != format!("{algorithm:?}"));
                let key = DecodingKey::from_jwk(&key).ok().filter(|_| !other).ok_or_else(refused)?;
                self.claims(token, &key, algorithm)?
            }
            _ => return Err(refused()),
        };
        let subject = Subject::try_from(claims.sub).map_err(|_| refused())?;
        let mut steps = self.roles.split('.');
        let first = steps.next().and_then(|name| claims.others.get(name));
        let listed = steps.fold(first, |value, name| value.and_then(|value| value.get(name)));
        let names = listed.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        // A role we do not know gives no right here; it may mean something elsewhere.
        Ok(Caller { subject, roles: names.filter_map(|role| role.parse().ok()).collect() })
    }

    fn claims(&self, token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Problem> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        Ok(jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|_| refused())?.claims)
    }

    /// Is there nobody but us who says who somebody is?
    #[must_use]
    pub const fn is_for_development(&self) -> bool {
        self.shared.is_some() && self.keys.is_none()
    }

    /// Makes a token for development.
    ///
    /// # Errors
    /// When there is no secret to sign it with.
    pub fn token(&self, caller: &Caller, lifetime: Duration) -> anyhow::Result<String> {
        let (_, key) = self.shared.as_ref().ok_or_else(|| anyhow::anyhow!("HOLDFAST_JWT_SECRET is not set"))?;
        let exp = u64::try_from(chrono::Utc::now().timestamp())? + lifetime.as_secs();
        let mut claims = json!({ "sub": caller.subject, "iss": self.issuer, "aud": self.audience, "exp": exp });
        // The innermost name holds the list.
        let names = self.roles.rsplit('.');
        let roles = names.fold(json!(caller.roles), |value, name| json!({ name: value }));
        if let (Some(claims), Value::Object(roles)) = (claims.as_object_mut(), roles) {
            claims.extend(roles);
        }
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)?)
    }
}

fn refused() -> Problem {
    Problem::new(Code::Unauthenticated)
}

/// Does a URL lead to this machine alone?
#[must_use]
pub(super) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    proptest::proptest! {
        /// Whatever is shown as a token: nobody is believed whose token was changed, or is none.
        #[test]
        fn no_token_is_believed_that_was_changed(header in "\\PC{0,60}|[Bb]earer [A-Za-z0-9_=.-]{0,80}", at in 0..1_000_usize, to in "[A-Za-z0-9._-]") {
            let secret = SecretString::from("a secret of more than 32 characters, for this test");
            let auth = Auth::new(&Settings::for_development(secret)).unwrap();
            let caller = Caller { subject: "17".parse().unwrap(), roles: vec![Role::Member] };
            let token = auth.token(&caller, Duration::from_mins(1)).unwrap();
            let runtime = Builder::new_current_thread().build().unwrap();
            assert!(runtime.block_on(auth.caller(Some(&header))).is_err());
            assert_eq!(runtime.block_on(auth.bearer(&token)).unwrap().subject, caller.subject);
            let at = at % token.len();
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            if changed != token {
                assert!(runtime.block_on(auth.bearer(&changed)).is_err(), "{changed}");
            }
        }
    }
}
