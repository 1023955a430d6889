//! Catalog: what can be booked, at which price, and who holds it.

use super::{Answer, BookingRef, Contract, Settled, Undo, activity};
use crate::{
    booking::{BookingId, Item},
    money::Money,
    saga::Stop,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The task queue of the catalog worker.
pub const QUEUE: &str = "catalog";

/// Claims one unit of an item for a booking, exclusively.
///
/// Two live holds never share a unit and a moment: the database says so. A repeat returns the first answer, also when
/// that was a refusal. A hold after its own release is refused.
#[derive(Clone, Copy, Debug)]
pub struct Hold;

/// What [`Hold`] is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The key.
    pub booking: BookingId,
    /// Kept beside the hold so that a recovery finds its way back. Opaque to the worker.
    pub workflow: String,
    /// What is to be held.
    pub item: Item,
}

/// What [`Hold`] answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HoldAnswer {
    /// A unit is this booking's until it is released.
    Held(Held),
    /// Every unit is held by somebody else.
    Taken {
        /// When the first of them is expected to be free again, where that is known.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    /// The catalogue does not list it (any more).
    UnknownItem,
    /// This booking has been released before: it may not hold again.
    Closed,
}

/// What was held, as the catalogue had it at that moment. The price is what will be charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The item's name.
    pub name: String,
    /// The item's price.
    pub price: Money,
}

/// An answer of [`HoldAnswer::Taken`], as a reason.
pub const ITEM_TAKEN: &str = "item_taken";
/// An answer of [`HoldAnswer::UnknownItem`], as a reason.
pub const UNKNOWN_ITEM: &str = "unknown_item";

impl Answer for HoldAnswer {
    type Granted = Held;

    fn granted(self) -> Result<Held, Stop> {
        match self {
            Self::Held(held) => Ok(held),
            Self::Taken { .. } => Err(Stop::because(ITEM_TAKEN)),
            Self::UnknownItem => Err(Stop::because(UNKNOWN_ITEM)),
            Self::Closed => Err(Stop::because("hold_closed")),
        }
    }
}

activity!(Hold, "catalog.hold", HoldRequest => HoldAnswer);
impl Contract for Hold {
    const NAME: &'static str = "catalog.hold";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Ends the hold of a booking, and no other's. A repeat changes nothing; without a hold, a late [`Hold`] is refused.
#[derive(Clone, Copy, Debug)]
pub struct Release;

activity!(Release, "catalog.release", BookingRef => Settled);
impl Contract for Release {
    const NAME: &'static str = "catalog.release";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}
impl Undo for Release {
    // Once released, another customer may pay for it: one item would owe two people.
    const AFTER: &'static [&'static str] = &[super::payment::Refund::NAME];
    const DONE: &'static str = "released";
}

/// Makes a hold firm: the booking has passed its point of no return. A repeat changes nothing; refused
/// (`hold_released`) when the hold is gone.
#[derive(Clone, Copy, Debug)]
pub struct Confirm;

activity!(Confirm, "catalog.confirm", BookingRef => Settled);
impl Contract for Confirm {
    const NAME: &'static str = "catalog.confirm";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}
