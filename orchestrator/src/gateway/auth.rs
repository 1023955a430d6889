//! Sign-in: who calls, and what their roles allow.

use super::problem::{Code, Problem};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};
use workflows::booking::Subject;

/// Clocks of two machines may differ by this much.
const SKEW_SECONDS_MAX: u64 = 10;
/// A token is short; a longer one is not read.
const TOKEN_BYTES_MAX: usize = 4096;

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

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
    iss: String,
    aud: String,
    exp: u64,
}

/// Whose tokens are accepted.
pub struct Settings {
    /// `HOLDFAST_JWT_SECRET`: what they are signed with.
    pub secret: SecretString,
    /// `HOLDFAST_JWT_ISSUER`: who signs them.
    pub issuer: String,
    /// `HOLDFAST_JWT_AUDIENCE`: for whom.
    pub audience: String,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{or, secret};
        Ok(Self {
            secret: secret("HOLDFAST_JWT_SECRET", "at least 32 random characters", 32)?,
            issuer: or("HOLDFAST_JWT_ISSUER", "the issuer's name", "holdfast".to_owned())?,
            audience: or("HOLDFAST_JWT_AUDIENCE", "the audience's name", "holdfast".to_owned())?,
        })
    }
}

/// Reads and makes tokens: JWT with HS256 and a shared secret.
pub struct Auth {
    reading: DecodingKey,
    making: EncodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
}

impl Auth {
    /// Tokens of one issuer for one audience.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let Settings { secret, issuer, audience } = settings;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = SKEW_SECONDS_MAX;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let secret = secret.expose_secret().as_bytes();
        Self {
            reading: DecodingKey::from_secret(secret),
            making: EncodingKey::from_secret(secret),
            validation,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
        }
    }

    /// Who shows this `Authorization` header?
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] without a valid token. The reason is not told, and the token never logged.
    pub fn caller(&self, header: Option<&str>) -> Result<Caller, Problem> {
        let refused = || Problem::new(Code::Unauthenticated);
        let (scheme, token) = header.and_then(|header| header.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > TOKEN_BYTES_MAX {
            return Err(refused());
        }
        let claims =
            jsonwebtoken::decode::<Claims>(token, &self.reading, &self.validation).map_err(|_| refused())?.claims;
        let subject = Subject::try_from(claims.sub).map_err(|_| refused())?;
        // A role we do not know gives no right here; it may mean something elsewhere.
        let roles = claims.roles.iter().filter_map(|role| role.parse().ok()).collect();
        Ok(Caller { subject, roles })
    }

    /// Makes a token for development.
    ///
    /// # Errors
    /// When the token cannot be signed.
    pub fn token(&self, caller: &Caller, lifetime: Duration) -> anyhow::Result<String> {
        let exp = u64::try_from(chrono::Utc::now().timestamp())? + lifetime.as_secs();
        let claims = Claims {
            sub: caller.subject.to_string(),
            roles: caller.roles.iter().map(ToString::to_string).collect(),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            exp,
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.making)?)
    }
}
