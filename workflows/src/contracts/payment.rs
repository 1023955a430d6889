//! Payment: money taken once per booking, and given back once.

use super::{
    Answer, Contract, Due, Duty, Move, No, Settled, Stake, Stand, Undo, activity,
    recovery::{Claims, OpenAfter},
};
use crate::{
    booking::{BookingId, Subject},
    money::Money,
    saga::Stop,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The task queue of the payment worker.
pub const QUEUE: &str = "payment";

/// Takes money from the customer, once per booking.
///
/// The booking id is the provider's idempotency key too. A declined card is an answer. When the provider's answer was
/// lost, the next attempt looks the charge up under the same key before it sends anything.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Charge;

/// What [`Charge`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChargeRequest {
    /// The key.
    pub booking: BookingId,
    /// Kept beside the charge so that a recovery finds its way back. Opaque to the worker.
    pub workflow: String,
    /// Who pays.
    pub customer: Subject,
    /// How much.
    pub amount: Money,
    /// The provider's token for the card to use; the customer's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// It was captured before, and the worker's tables have lost that: it is looked up at the provider, and never sent.
    /// Declined (`unknown_at_provider`) when nothing is found; then nothing is written down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_captured: bool,
}

/// What [`Charge`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ChargeAnswer {
    /// The money is ours until it is refunded.
    Captured,
    /// The provider said no; nothing was taken.
    Declined {
        /// The provider's stable code, such as `insufficient_funds`.
        reason: String,
    },
    /// This booking has been refunded, or is being refunded: it may not be charged again.
    Closed,
}

/// An answer of [`ChargeAnswer::Declined`], as a reason.
pub const PAYMENT_DECLINED: &str = "payment_declined";

impl Answer for ChargeAnswer {
    type Granted = ();

    fn granted(self) -> Result<(), No> {
        match self {
            Self::Captured => Ok(()),
            Self::Declined { .. } => Err(No::Refused(Stop::because(PAYMENT_DECLINED))),
            Self::Closed => Err(No::Closed(Stop::because("charge_closed"))),
        }
    }
}

activity!(Charge, "payment.charge", ChargeRequest => ChargeAnswer);
impl Contract for Charge {
    const NAME: &'static str = "payment.charge";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
    // A provider takes its time, and a task of the saga that is kept open meanwhile is a place that others need.
    const HAS_NEAR: bool = false;
    const HEARTBEAT: Option<Duration> = Some(Duration::from_secs(3));
}

/// Gives the money of a booking back, once, whatever became of the charge.
///
/// Captured: refunded. Declined or never asked for: nothing to do, and a late [`Charge`] is refused. In doubt: the
/// provider is told to refuse the charge, or, where it was captured after all, to refund it.
///
/// [`ByHand::Resolved`](super::ByHand::Resolved) is believed when the provider's books say so too, and refused
/// (`not_refunded_at_provider`) otherwise. [`ByHand::WrittenOff`](super::ByHand::WrittenOff) closes the charge without
/// a refund; refused (`amount_differs`, `refunded_meanwhile`) unless exactly that much was taken and is still open, and not
/// known yet while a refund may still be on its way at the provider.
#[derive(Clone, Copy, Debug, Default, JsonSchema)]
pub struct Refund;

activity!(Refund, "payment.refund", Due => Settled);
impl Contract for Refund {
    const NAME: &'static str = "payment.refund";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
    // A provider takes its time, and a task of the saga that is kept open meanwhile is a place that others need.
    const HAS_NEAR: bool = false;
    const HEARTBEAT: Option<Duration> = Some(Duration::from_secs(3));
}
impl Duty for Refund {
    const STAKE: Stake = Stake::Money;
    // Left out, the customer would have paid for nothing: money is given back, or given up in the books.
    const MOVES: &'static [Move] = &[Move::Resolve, Move::WriteOff];
}
impl Undo for Refund {
    // Whoever has a good voucher has paid for it.
    const AFTER: &'static [&'static str] = &[super::fulfilment::Disable::NAME];
    const DONE: &'static str = "refunded";
}

/// Lists the bookings whose money is open, page by page, for the sweep that looks for those whose saga is gone.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Open;

activity!(Open, "payment.open", OpenAfter => Claims);
impl Contract for Open {
    const NAME: &'static str = "payment.open";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}

/// Takes the money of bookings that have completed off the list of what is open: it is earned. A repeat changes nothing.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Keep;

activity!(Keep, "payment.keep", Vec<BookingId> => ());
impl Contract for Keep {
    const NAME: &'static str = "payment.keep";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}

/// Says how far the charge is for each of some bookings, for a comparison with what their sagas were answered. Of at most
/// 500; those that nothing is known of may be left out.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Stands;

activity!(Stands, "payment.stands", Vec<BookingId> => Vec<Stand>);
impl Contract for Stands {
    const NAME: &'static str = "payment.stands";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}

/// Compares a page of our ledger with the provider's books, or a page of theirs with our ledger. Nothing is changed. What differs is
/// looked at once more before it is told; what is under way is left out.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Compare;

/// What [`Compare`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ComparePage {
    /// Whose pages.
    pub whose: Whose,
    /// Only what was settled, or taken, after this.
    pub since: DateTime<Utc>,
    /// Where the page before ended, as [`ComparedPage::after`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Whose books are paged through. Ours: what is missing there is found. Theirs: what is missing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Our ledger.
    Ours,
    /// The provider's books.
    Theirs,
}

/// What [`Compare`] answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ComparedPage {
    /// So many charges were compared.
    pub compared: u32,
    /// What differs.
    pub differences: Vec<Discrepancy>,
    /// Where the next page begins; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One charge that our ledger and the provider's books do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discrepancy {
    /// Our key: the booking, as the provider has it.
    pub key: String,
    /// The provider's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why.
    pub cause: Cause,
    /// How much we say it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Money>,
    /// How much they say it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<Money>,
}

/// Why our ledger and the provider's books do not agree on a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// They have money under a key that we know nothing of.
    UnknownToUs,
    /// They have money a second time under a key.
    ChargedTwice,
    /// They have money that we say was never taken.
    CapturedAtProvider,
    /// We say that money was taken, and they know nothing of it.
    UnknownAtProvider,
    /// Both say that it was taken, and not how much.
    AmountDiffers,
    /// They have given back what we still count on.
    RefundedAtProvider,
    /// We say that it went back, and they still have it.
    NotRefundedAtProvider,
    /// They have given back what we had given up.
    RefundedAfterWriteOff,
}

impl Cause {
    /// The cause as written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownToUs => "unknown_to_us",
            Self::ChargedTwice => "charged_twice",
            Self::CapturedAtProvider => "captured_at_provider",
            Self::UnknownAtProvider => "unknown_at_provider",
            Self::AmountDiffers => "amount_differs",
            Self::RefundedAtProvider => "refunded_at_provider",
            Self::NotRefundedAtProvider => "not_refunded_at_provider",
            Self::RefundedAfterWriteOff => "refunded_after_write_off",
        }
    }

    /// What somebody has to do about it.
    #[must_use]
    pub const fn what_to_do(self) -> &'static str {
        match self {
            Self::UnknownToUs => {
                "restore the ledger if it was lost (`--mend`), or else give the money back at the provider"
            }
            Self::ChargedTwice | Self::CapturedAtProvider | Self::NotRefundedAtProvider => {
                "give the money back at the provider"
            }
            Self::UnknownAtProvider => {
                "ask the provider for its records: the booking counts on money that it does not have"
            }
            Self::AmountDiffers => "give the difference back at the provider, or ask it for its records",
            Self::RefundedAtProvider => "cancel the booking: its money has gone back",
            Self::RefundedAfterWriteOff => "nothing is owed any more: correct what was written off in the accounts",
        }
    }
}

activity!(Compare, "payment.compare", ComparePage => ComparedPage);
impl Contract for Compare {
    const NAME: &'static str = "payment.compare";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}
