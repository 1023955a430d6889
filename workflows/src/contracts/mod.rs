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
pub mod notification;
pub mod payment;

use crate::{booking::BookingId, saga::Stop};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use temporalio_common::ActivityDefinition;

/// The agreement about one activity, beside its types.
pub trait Contract: ActivityDefinition + Copy + 'static {
    /// What the activity is called, in every language.
    const NAME: &'static str;
    /// The task queue whose workers answer it.
    const QUEUE: &'static str;
    /// How long one attempt may take before it is taken for lost.
    const ATTEMPT: Duration;
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
    /// [`Stop`] when the worker refused. A refusal promises that nothing was done and nothing will be.
    fn granted(self) -> Result<Self::Granted, Stop>;
}

/// What an undo is told: everything else the worker has written down under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingRef {
    /// The booking whose step is taken back.
    pub booking: BookingId,
}

/// The answer of an undo, or of a step after the point of no return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Settled {
    /// It was there and has been dealt with, now or by an earlier call.
    Done,
    /// There was nothing to deal with. The key is closed: a late step will be refused.
    Nothing,
    /// It cannot be done for now; a person has to look at it. The saga keeps asking.
    Refused {
        /// A stable code, such as `refund_refused`.
        reason: String,
    },
}

/// A contract that takes a step back.
pub trait Undo: Contract + ActivityDefinition<Input = BookingRef, Output = Settled> {
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
