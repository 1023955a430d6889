//! What a payment provider must be able to do for us. Everything is addressed by *our* key, the booking id.

use chrono::{DateTime, Utc};
use std::time::Duration;
use workflows::money::Money;

/// A payment provider.
///
/// Every call may be repeated under the same key. An [`Error`] means that it is not known whether the call took effect.
pub trait Provider: Send + Sync + 'static {
    /// Leave to charge once, asked for before anybody writes down that a charge begins: whoever is sent away here is in no
    /// doubt afterwards.
    ///
    /// # Errors
    /// [`Error::Resting`] or [`Error::Busy`]: come back later.
    fn admit(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Takes money, once per key, with leave to do so.
    fn charge(&self, order: &Order) -> impl Future<Output = Result<Charged, Error>> + Send;

    /// Looks up what became of a key, in the provider's books, not in its memory of recent requests. `None`: nothing was
    /// taken under it so far.
    fn find(&self, key: &str) -> impl Future<Output = Result<Option<Captured>, Error>> + Send;

    /// Makes sure that nothing will be taken under a key any more.
    fn cancel(&self, key: &str) -> impl Future<Output = Result<Cancelled, Error>> + Send;

    /// Gives back what was taken under a key, once.
    fn refund(&self, key: &str, captured: &Captured) -> impl Future<Output = Result<Refunded, Error>> + Send;

    /// Lists what was taken since a time, from the provider's books, a page at a time.
    fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> impl Future<Output = Result<Page, Error>> + Send;
}

/// A page of the provider's books.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What was taken under which of our keys. What was taken under none is somebody else's.
    pub taken: Vec<(String, Captured)>,
    /// Where the next page begins; none: this is the last.
    pub after: Option<String>,
}

/// What is to be charged.
#[derive(Clone, Debug)]
pub struct Order {
    /// Ours: the booking id.
    pub key: String,
    /// Who pays: an opaque subject.
    pub customer: String,
    /// How much.
    pub amount: Money,
    /// The provider's token for the card; the customer's default when absent.
    pub method: Option<String>,
}

/// The answer to a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// The money was taken.
    Captured(Captured),
    /// Nothing was taken, and nothing will be under this key.
    Declined {
        /// The provider's stable code.
        reason: String,
    },
}

/// Money that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The provider's own number for it.
    pub reference: String,
    /// How much, as the provider has it.
    pub amount: Money,
    /// It has been given back since.
    pub refunded: bool,
}

/// The answer to a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing was taken, and a charge that comes late will be refused.
    Refused,
    /// Too late: the money was taken.
    Captured(Captured),
    /// The provider cannot do this. A charge in doubt may arrive until the window has passed.
    Unsupported {
        /// How long after it was sent a charge may still take effect.
        settle_window: Duration,
    },
}

/// The answer to a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refunded {
    /// The money is given back, now or before.
    Done,
    /// The provider will not, for now. A person has to look at it.
    Refused {
        /// The provider's stable code.
        reason: String,
    },
}

/// It is not known whether the call took effect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or a broken one.
    #[error("the provider could not be reached or did not answer in time")]
    Silent(#[from] reqwest::Error),
    /// An answer that does not say.
    #[error("the provider answered {status}")]
    Unclear {
        /// The HTTP status.
        status: u16,
    },
    /// It was not asked: it is left alone for now.
    #[error("the provider was not asked")]
    Resting(#[from] process::breaker::Resting),
    /// It was not asked: others have asked it as often as is allowed for now.
    #[error("the provider was not asked")]
    Busy {
        /// When there is room again.
        retry_in: Duration,
    },
    /// An answer that cannot be true.
    #[error("the provider's {0} makes no sense")]
    Nonsense(&'static str),
}
