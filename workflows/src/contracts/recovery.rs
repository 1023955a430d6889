//! Recovery: finding bookings that something is still open for, and whose saga has ended before them.

use super::{Contract, activity};
use crate::booking::{BookingId, Item, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The orchestrator's own queue: its process knows Temporal and the board.
pub const QUEUE: &str = super::board::QUEUE;

/// Which page of what is open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpenAfter {
    /// The last booking of the page before.
    #[serde(default)]
    pub after: Option<BookingId>,
    /// Only what has been open for so many seconds: a saga may still be on its way to the board.
    pub seconds: u32,
}

/// A page of what is open, by booking. An empty page is the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Claims {
    /// What is open.
    pub claims: Vec<Claim>,
}

/// Something is open for a booking: a unit, or money.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Which booking.
    pub booking: BookingId,
    /// Its workflow id, as it was told to the worker.
    pub workflow: String,
    /// Who booked, where the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Subject>,
    /// What is booked, where the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}

/// Recovers the bookings whose workflow was terminated, failed or timed out of late.
#[derive(Clone, Copy, Debug)]
pub struct RecoverEnded;

activity!(RecoverEnded, "recovery.ended", () => u32);
impl Contract for RecoverEnded {
    const NAME: &'static str = "recovery.ended";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(30);
}

/// Recovers those bookings of a page whose saga is gone, and tells whose money is earned.
#[derive(Clone, Copy, Debug)]
pub struct RecoverOpen;

/// What [`RecoverOpen`] answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reviewed {
    /// How many bookings are being recovered.
    pub recovered: u32,
    /// Bookings of the page that have completed: what was charged for them is earned.
    pub completed: Vec<BookingId>,
}

activity!(RecoverOpen, "recovery.open", Claims => Reviewed);
impl Contract for RecoverOpen {
    const NAME: &'static str = "recovery.open";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(30);
}
