//! Notification: one message per booking and stage.

use super::{Contract, activity};
use crate::booking::{BookingId, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The task queue of the notification worker.
pub const QUEUE: &str = "notification";

/// Tells the customer that the booking reached a stage. The key is the booking *and* the stage: a repeat sends nothing.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Send;

/// What [`Send`] is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Which booking.
    pub booking: BookingId,
    /// The system, such as `ebook`: it chooses the words.
    pub system: String,
    /// The stage it reached.
    pub stage: String,
    /// Whom to tell.
    pub customer: Subject,
    /// The number of what was booked, in its system's catalogue; 0 where there is none.
    #[serde(default)]
    pub item: i64,
    /// What was booked, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// Why it was turned back, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of the money, when it was turned back.
    #[serde(default)]
    pub money: Money,
    /// They were told before, and the worker's tables have lost that: it is written down, and nothing is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_told: bool,
}

/// What became of the money of a booking that was turned back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Money {
    /// None was taken.
    #[default]
    NotTaken,
    /// It went back.
    Refunded,
    /// It did not, and a person decided so.
    WrittenOff,
}

activity!(Send, "notification.send", Notice => ());
impl Contract for Send {
    const NAME: &'static str = "notification.send";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
    const RETRY_MAX: Duration = Duration::from_mins(1);
}

/// Says of which stages the customer of each of some bookings was told, for a comparison with what their sagas were answered.
/// Of at most 500; those of whom nothing is known may be left out.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Told;

/// What [`Told`] answers of one booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heard {
    /// Which.
    pub booking: BookingId,
    /// The stages, in any order.
    pub stages: Vec<String>,
}

activity!(Told, "notification.told", Vec<BookingId> => Vec<Heard>);
impl Contract for Told {
    const NAME: &'static str = "notification.told";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}
