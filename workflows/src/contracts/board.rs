//! Board: the dashboard table, where the state of every booking is published.

use super::{
    Contract, activity,
    recovery::{Claims, OpenAfter},
};
use crate::{booking::Row, saga::Audit};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The orchestrator's own queue, where the sagas run: its process keeps the board too.
pub const QUEUE: &str = "sagas";

/// Writes the rows a booking has not seen acknowledged yet, oldest first, in one statement.
///
/// A row only moves forward: a version that is there already, or an older one, changes nothing, and a booking that has
/// ended does not change any more. Answers with the version the board has of one that has not, where that is another one than it
/// was told: written by another run of its saga, or by this one in a task that was lost and went another way.
#[derive(Clone, Copy, Debug)]
pub struct Publish;

/// What [`Publish`] is told about one booking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rows {
    /// Successive versions, oldest first.
    pub rows: Vec<Row>,
    /// What operators have done to it since the board last acknowledged something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<Audit>,
}

activity!(Publish, "board.publish", Rows => Option<i32>);
impl Contract for Publish {
    const NAME: &'static str = "board.publish";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
}

/// Lists the bookings that have not ended, page by page, for the sweep that looks for those whose saga is gone.
#[derive(Clone, Copy, Debug)]
pub struct Open;

activity!(Open, "board.open", OpenAfter => Claims);
impl Contract for Open {
    const NAME: &'static str = "board.open";
    const QUEUE: &'static str = QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(10);
}
