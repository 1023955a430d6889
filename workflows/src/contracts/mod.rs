//! What the sagas ask for, and what everybody who answers has agreed to.
//!
//! A contract is the whole agreement about one activity: its name and queue, what goes in, what comes out, how long one
//! attempt may take, and what a repeat does. Two rules hold for all of them:
//!
//! - **A refusal is an answer** (declined, taken). **An error means "not known yet"** and is tried again.
//! - **The booking id is the key.** A repeat returns the first answer. An undo that comes first closes the key, and the
//!   step that comes late is refused.

pub mod board;
pub mod catalog;
pub mod described;
pub mod fulfilment;
pub mod notification;
pub mod payment;
pub mod recovery;
pub mod road;

use crate::{booking::BookingId, money::Money, saga::Stop};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};
use temporalio_common::ActivityDefinition;

/// The agreement about one activity, beside its types.
pub trait Contract: ActivityDefinition<Input: Clone + Serialize, Output: DeserializeOwned> + Copy + 'static {
    /// What the activity is called, in every language.
    const NAME: &'static str;
    /// The task queue whose workers answer it.
    const QUEUE: &'static str;
    /// How long one attempt may take before it is taken for lost.
    const ATTEMPT: Duration;
    /// Whether a saga may ask over the short road first.
    const HAS_NEAR: bool = true;
    /// How soon a worker that died in the middle is noticed; `None` where [`Contract::ATTEMPT`] is short enough.
    const HEARTBEAT: Option<Duration> = None;
    /// The pause before the second attempt; it doubles from there.
    const RETRY_FIRST: Duration = Duration::from_millis(200);
    /// The longest pause between two attempts.
    const RETRY_MAX: Duration = Duration::from_secs(5);
}

/// A forward step that has an undo: its answer is either what was granted or a refusal that turns the booking back.
pub trait Answer {
    /// What the saga goes on with.
    type Granted;

    /// Splits the answer.
    ///
    /// # Errors
    /// [`No`] when the worker did not grant it.
    fn granted(self) -> Result<Self::Granted, No>;
}

/// A worker's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// Nothing was done, and nothing will be: there is nothing to take back.
    Refused(Stop),
    /// It has been taken back before, or somebody is at it: it is taken back once more, to be sure.
    Closed(Stop),
}

/// What must be done, and for whom: everything else the worker has written down under this key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Due {
    /// The key.
    pub booking: BookingId,
    /// An operator's word, where they dealt with it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
}

impl Due {
    /// What must be done for a booking, by the worker.
    #[must_use]
    pub const fn of(booking: BookingId) -> Self {
        Self { booking, by_hand: None }
    }
}

/// How an operator dealt with something that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ByHand {
    /// They did it where it has to be done. The worker looks there before it believes it.
    Resolved {
        /// What it is called there, such as the provider's number of a refund.
        reference: String,
    },
    /// They gave it up: the money stays where it is, and is written off in our books.
    WrittenOff {
        /// All of it: an amount that differs from what is open is refused.
        amount: Money,
    },
}

/// The answer to something that must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Settled {
    /// It was there and has been dealt with, now or by an earlier call.
    Done,
    /// There was nothing to deal with. The key is closed: a late step will be refused.
    Nothing,
    /// An operator has given it up: nothing more will be done about it.
    GivenUp,
    /// It cannot be done for now; a person has to look at it. The saga keeps asking.
    Refused {
        /// A stable code, such as `refund_refused`.
        reason: String,
    },
}

/// How far something is that a worker does for a booking, as its own tables say. It only moves forward: what stands behind
/// what was answered has been lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing is known of it, or it was refused.
    #[default]
    Nothing,
    /// It was done: held, charged, issued.
    Done,
    /// It was made firm: confirmed, sent.
    Firm,
    /// It was taken back or given up: released, refunded, written off, disabled.
    Back,
}

impl fmt::Display for Standing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Nothing => "nothing",
            Self::Done => "done",
            Self::Firm => "made firm",
            Self::Back => "given back",
        })
    }
}

/// How far it is for one booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stand {
    /// Which.
    pub booking: BookingId,
    /// How far.
    pub standing: Standing,
}

/// Something that must be done, sooner or later: an undo, or a step after the point of no return.
pub trait Duty: Contract + Default + ActivityDefinition<Input = Due, Output = Settled> {
    /// What is at stake while it is not done.
    const STAKE: Stake;
    /// What an operator may do about it, beside asking for it again.
    const MOVES: &'static [Move];
}

/// What is at stake while something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stake {
    /// Money that has to go back.
    Money,
    /// A unit that nobody else can have.
    Hold,
    /// Something that was given to the customer and is not theirs any more.
    Given,
    /// Nothing of anybody's.
    Nothing,
}

/// What an operator may do about a booking that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Ask for it again, now.
    Retry,
    /// Say that it was done by hand: [`ByHand::Resolved`].
    Resolve,
    /// Give it up: [`ByHand::WrittenOff`].
    WriteOff,
    /// Leave it out.
    Skip,
}

impl Move {
    /// Every move there is.
    pub const ALL: &'static [Self] = &[Self::Retry, Self::Resolve, Self::WriteOff, Self::Skip];

    /// The move as written in paths and on the board.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Resolve => "resolve",
            Self::WriteOff => "write-off",
            Self::Skip => "skip",
        }
    }
}

/// A contract that takes a step back.
pub trait Undo: Duty {
    /// The undos that must be done before this one may run.
    const AFTER: &'static [&'static str];
    /// What is written on the board's timeline when it is done: a past participle.
    const DONE: &'static str;
}

/// Ties a unit struct to its name and types.
macro_rules! activity {
    ($contract:ident, $name:literal, $input:ty => $output:ty) => {
        impl temporalio_common::ActivityDefinition for $contract {
            type Input = $input;
            type Output = $output;

            fn name(&self) -> &str {
                $name
            }
        }
    };
}
use activity;
