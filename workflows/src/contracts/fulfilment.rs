//! Fulfilment: what a booking gives its customer. Vouchers, one per booking.

use super::{Answer, Contract, Due, Duty, Move, No, Settled, Stake, Stand, Undo, activity};
use crate::{
    booking::{BookingId, Subject},
    saga::Stop,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The task queue of the fulfilment worker.
pub const QUEUE: &str = "fulfilment";

/// Issues the voucher of a booking, once. Its code is the worker's secret: it is in no answer and no history.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Issue;

/// What [`Issue`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IssueRequest {
    /// The key.
    pub booking: BookingId,
    /// Whose voucher it is.
    pub customer: Subject,
}

/// What [`Issue`] and [`Send`] answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum VoucherAnswer {
    /// The voucher is good.
    Good,
    /// It has been disabled, or never was one: it may not be used.
    Closed,
}

impl Answer for VoucherAnswer {
    type Granted = ();

    fn granted(self) -> Result<(), No> {
        match self {
            Self::Good => Ok(()),
            Self::Closed => Err(No::Closed(Stop::because("voucher_closed"))),
        }
    }
}

activity!(Issue, "fulfilment.issue", IssueRequest => VoucherAnswer);
impl Contract for Issue {
    const NAME: &'static str = "fulfilment.issue";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Marks a voucher as sent to its customer. A repeat changes nothing.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Send;

activity!(Send, "fulfilment.send", Due => VoucherAnswer);
impl Contract for Send {
    const NAME: &'static str = "fulfilment.send";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Disables the voucher of a booking. A repeat changes nothing; without a voucher, a late [`Issue`] is refused.
#[derive(Clone, Copy, Debug, Default, JsonSchema)]
pub struct Disable;

activity!(Disable, "fulfilment.disable", Due => Settled);
impl Contract for Disable {
    const NAME: &'static str = "fulfilment.disable";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}
impl Duty for Disable {
    const STAKE: Stake = Stake::Given;
    // Left out, a voucher that nobody paid for would be good.
    const MOVES: &'static [Move] = &[];
}
impl Undo for Disable {
    const AFTER: &'static [&'static str] = &[];
    const DONE: &'static str = "voucher_disabled";
}

/// Says how far the voucher is for each of some bookings, for a comparison with what their sagas were answered. Of at most
/// 500; those that nothing is known of may be left out.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Stands;

activity!(Stands, "fulfilment.stands", Vec<BookingId> => Vec<Stand>);
impl Contract for Stands {
    const NAME: &'static str = "fulfilment.stands";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}
