//! The words every booking shares: its id, its customer, its item, who is waited for, how it ends.

use crate::{contracts::Move, money::Money};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};
use uuid::Uuid;

/// One customer's request and its whole life. Also the idempotency key of everything done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BookingId(pub Uuid);

impl fmt::Display for BookingId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for BookingId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// What does not look like a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 characters of a-z, A-Z, 0-9, '.', '_', '-'")]
pub struct NotASubject;

/// A person as the sign-in knows them: an opaque subject, never a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]{1,64}$"))]
pub struct Subject(String);

impl Subject {
    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Subject {
    type Error = NotASubject;

    fn try_from(text: String) -> Result<Self, NotASubject> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&text.len()) && text.chars().all(plain) { Ok(Self(text)) } else { Err(NotASubject) }
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        Self::try_from(text.to_owned())
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What can be booked: a number within the catalogue of one system, written `ebook/17`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// The system whose catalogue lists it.
    pub system: String,
    /// Its number in that catalogue, counted from 1; 0 where nothing of a catalogue is booked (yet).
    pub number: i64,
}

impl fmt::Display for Item {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.system, self.number)
    }
}

/// A time with a beginning and an end that is not part of it: one that ends at noon and one that begins at noon touch,
/// and do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "(DateTime<Utc>, DateTime<Utc>)", into = "(DateTime<Utc>, DateTime<Utc>)")]
pub struct Period {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// A period ends after it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a period must end after it begins")]
pub struct NotAPeriod;

impl Period {
    /// From a moment until just before another.
    ///
    /// # Errors
    /// [`NotAPeriod`] when it does not end after it begins.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self, NotAPeriod> {
        if from < to { Ok(Self { from, to }) } else { Err(NotAPeriod) }
    }

    /// When it begins.
    #[must_use]
    pub const fn from(self) -> DateTime<Utc> {
        self.from
    }

    /// The first moment that is no longer part of it.
    #[must_use]
    pub const fn to(self) -> DateTime<Utc> {
        self.to
    }
}

impl TryFrom<(DateTime<Utc>, DateTime<Utc>)> for Period {
    type Error = NotAPeriod;

    fn try_from((from, to): (DateTime<Utc>, DateTime<Utc>)) -> Result<Self, NotAPeriod> {
        Self::new(from, to)
    }
}

impl From<Period> for (DateTime<Utc>, DateTime<Utc>) {
    fn from(period: Period) -> Self {
        (period.from, period.to)
    }
}

/// Who has to do something before a booking goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The person who booked.
    Customer,
    /// Whoever approves or rejects.
    Administrator,
    /// Whoever keeps a cinema.
    Manager,
    /// Whoever keeps a hair salon.
    Shop,
    /// Whoever teaches.
    Teacher,
    /// Whoever carries parcels.
    Courier,
    /// Whoever sends vouchers.
    Sender,
    /// Whoever looks after stuck bookings.
    Operator,
}

impl Party {
    /// Every party there is.
    pub const ALL: &'static [Self] = &[
        Self::Customer,
        Self::Administrator,
        Self::Manager,
        Self::Shop,
        Self::Teacher,
        Self::Courier,
        Self::Sender,
        Self::Operator,
    ];

    /// The party of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|party| party.as_str() == name)
    }

    /// The party as written on the board and in search attributes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Administrator => "administrator",
            Self::Manager => "manager",
            Self::Shop => "shop",
            Self::Teacher => "teacher",
            Self::Courier => "courier",
            Self::Sender => "sender",
            Self::Operator => "operator",
        }
    }
}

/// How a booking ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// It went all the way.
    Completed,
    /// It was turned back, and everything done for it was undone.
    Undone {
        /// A stable code, such as `book_already_rented`.
        reason: String,
    },
}

/// What a booking cannot get done, and what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The step, by contract name.
    pub step: String,
    /// Why it cannot be done, when a worker said so: a stable code. Without, nobody has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The money that has to go back and has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_risk: Option<Money>,
    /// What an operator may do about the step.
    pub moves: Vec<Move>,
}

/// The state of a booking as people see it: one row of the board. `version` rises by one with every change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Whose state this is.
    pub booking: BookingId,
    /// Counts the changes, from 1.
    pub version: i32,
    /// The system, such as `ebook`.
    pub system: String,
    /// A stage of the system's saga, or one of the kit's: `undoing`, `stuck`, `undone`.
    pub stage: String,
    /// Set when nothing more will happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Why the booking was turned back: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it cannot get done, while it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
    /// It has passed its point of no return.
    #[serde(default)]
    pub committed: bool,
    /// Who booked.
    pub customer: Subject,
    /// What is booked.
    pub item: Item,
    /// For when, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// What the system's own pages show beside the rest, by name: never read by the kit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// The item's name when it was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// The price: as it was held, or as it was agreed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Who has to act next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<Party>,
    /// Until when they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<DateTime<Utc>>,
    /// When each stage was reached and each undo was done (`held`, `paid`, `refunded`, ...).
    pub times: BTreeMap<String, DateTime<Utc>>,
    /// A digest of the request body, when the caller sent an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When this version came about.
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_short_and_plain() {
        assert!("member-1.a_B".parse::<Subject>().is_ok());
        for bad in ["", "a b", "a/b", "a\0", "홍길동", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Subject>(), Err(NotASubject), "{bad:?}");
        }
    }
    #[test]
    fn a_period_ends_after_it_begins_also_when_read_from_json() {
        let (one, two) = ("2027-07-23T12:00:00Z", "2027-07-25T12:00:00Z");
        assert!(serde_json::from_str::<Period>(&format!("[\"{one}\",\"{two}\"]")).is_ok());
        for (from, to) in [(two, one), (one, one)] {
            assert!(serde_json::from_str::<Period>(&format!("[\"{from}\",\"{to}\"]")).is_err());
        }
    }
}
