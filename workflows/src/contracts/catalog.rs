//! Catalog: what can be booked, at which price, and who holds it.

use super::{
    Answer, Contract, Due, Duty, Move, No, Settled, Stake, Stand, Undo, activity,
    recovery::{Claims, OpenAfter},
};
use crate::{
    booking::{BookingId, Item, Period, Subject},
    money::Money,
    saga::Stop,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The task queue of the catalog worker.
pub const QUEUE: &str = "catalog";

/// Claims one unit of an item for a booking, exclusively.
///
/// Two live holds never share a unit and a moment: the database says so. A repeat returns the first answer, also when
/// that was a refusal. A hold after its own release is refused.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Hold;

/// What [`Hold`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldRequest {
    /// The key.
    pub booking: BookingId,
    /// Kept beside the hold, with the customer, so that a recovery finds its way back. Opaque to the worker.
    pub workflow: String,
    /// Who books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Subject>,
    /// What is to be held.
    pub item: Item,
    /// For when; without end where absent, for what is lent until it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// What was answered before, where the worker's tables have lost it: a unit is claimed under that name and price. When
    /// none can be, nothing is written down, and it may be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_held: Option<Held>,
}

/// What [`Hold`] answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

    fn granted(self) -> Result<Held, No> {
        match self {
            Self::Held(held) => Ok(held),
            Self::Taken { .. } => Err(No::Refused(Stop::because(ITEM_TAKEN))),
            Self::UnknownItem => Err(No::Refused(Stop::because(UNKNOWN_ITEM))),
            Self::Closed => Err(No::Closed(Stop::because("hold_closed"))),
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
#[derive(Clone, Copy, Debug, Default, JsonSchema)]
pub struct Release;

activity!(Release, "catalog.release", Due => Settled);
impl Contract for Release {
    const NAME: &'static str = "catalog.release";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}
impl Duty for Release {
    const STAKE: Stake = Stake::Hold;
    // Left out, the unit would be nobody's and yet not free.
    const MOVES: &'static [Move] = &[];
}
impl Undo for Release {
    // Once released, another customer may pay for it: one item would owe two people.
    // And while an old voucher is good, it would be sold twice.
    const AFTER: &'static [&'static str] = &[super::payment::Refund::NAME, super::fulfilment::Disable::NAME];
    const DONE: &'static str = "released";
}

/// Asks whether anything of a catalogue is free for a period. It holds nothing: that it is free now is no promise.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Free;

/// What [`Free`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FreeRequest {
    /// Whose catalogue.
    pub system: String,
    /// For when.
    pub period: Option<Period>,
}

/// What [`Free`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum FreeAnswer {
    /// At least one unit is.
    Free,
    /// None is, or none is listed.
    NothingFree,
}

/// An answer of [`FreeAnswer::NothingFree`], as a reason.
pub const NOTHING_FREE: &str = "nothing_free";

impl Answer for FreeAnswer {
    type Granted = ();

    fn granted(self) -> Result<(), No> {
        match self {
            Self::Free => Ok(()),
            Self::NothingFree => Err(No::Refused(Stop::because(NOTHING_FREE))),
        }
    }
}

activity!(Free, "catalog.free", FreeRequest => FreeAnswer);
impl Contract for Free {
    const NAME: &'static str = "catalog.free";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Makes a hold firm: the booking has passed its point of no return. A repeat changes nothing, also after the release;
/// refused (`hold_released`) when the hold is gone without ever having been firm.
#[derive(Clone, Copy, Debug, Default, JsonSchema)]
pub struct Confirm;

activity!(Confirm, "catalog.confirm", Due => Settled);
impl Contract for Confirm {
    const NAME: &'static str = "catalog.confirm";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}
impl Duty for Confirm {
    const STAKE: Stake = Stake::Nothing;
    // A hold that is not firm is as exclusive; only a recovery reads the difference, and it reads the board too.
    const MOVES: &'static [Move] = &[Move::Skip];
}

/// Says what a booking holds, for a recovery that has nothing else to go by.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Look;

/// What [`Look`] answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sight {
    /// Of what a unit was held, when one was.
    pub item: Option<Item>,
    /// Its name and price at that time.
    pub held: Option<Held>,
    /// It was made firm.
    pub confirmed: bool,
    /// It was given back.
    pub released: bool,
}

activity!(Look, "catalog.look", Due => Sight);
impl Contract for Look {
    const NAME: &'static str = "catalog.look";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Lists the bookings that hold something, page by page, for the sweep that looks for those whose saga is gone.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Open;

activity!(Open, "catalog.open", OpenAfter => Claims);
impl Contract for Open {
    const NAME: &'static str = "catalog.open";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}

/// Says how far what is held is for each of some bookings, for a comparison with what their sagas were answered. Of at most
/// 500; those that nothing is known of may be left out.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Stands;

activity!(Stands, "catalog.stands", Vec<BookingId> => Vec<Stand>);
impl Contract for Stands {
    const NAME: &'static str = "catalog.stands";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}
