//! Payment: money taken once per booking, and given back once.

use super::{
    Answer, Contract, Due, Duty, Move, No, Settled, Stake, Undo, activity,
    recovery::{Claims, OpenAfter},
};
use crate::{
    booking::{BookingId, Subject},
    money::Money,
    saga::Stop,
};
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
