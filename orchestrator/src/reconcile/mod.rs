//! Reconciliation: do the board, the workers' tables and the sagas still tell the same? After one of them was restored from a
//! backup they do not, and each has promises in it that another has lost.
//!
//! - What a saga was answered is in its history. A worker that knows less is told again, with the same call under the same key.
//! - What a saga came to is on the board. A row that is missing or behind is published again.
//! - What our ledger says of money is what the provider's books say.
//! - What the board shows was told to people. A saga that is behind it is replaced by one that goes on from there
//!   ([`crate::recovery`]), as is one that is gone.
//!
//! After a restore it has to be done before the door is open: what was held and is not known to be could be sold again. Then the
//! sagas are hosted here meanwhile ([`Wanted::alone`]), and publish nothing until they have been compared: one that is behind does
//! not know it, and would show people less than they have seen.

mod compare;
mod facts;
mod mend;
mod money;

use crate::{
    board::Board,
    calls::Calls,
    host::{self, Kind},
    recovery::Recovery,
    worker,
};
use chrono::{DateTime, Utc};
use process::{
    admin::Readiness,
    settings::database,
    temporal::{self, Temporal},
};
use std::{collections::HashSet, fmt};
use tokio_util::sync::CancellationToken;
use workflows::{
    booking::{BookingId, Row},
    calls::Call,
    saga::Limits,
};

/// What could not be compared, or stood in something's way, is looked at once more.
const ROUNDS: usize = 2;

/// What to compare.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of the bookings that have ended, those that ended after this. Every open one is compared.
    pub since: DateTime<Utc>,
    /// Sets right what it finds.
    pub mend: bool,
    /// No orchestrator runs: the sagas are hosted here.
    pub alone: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// So many bookings were compared.
    pub bookings: usize,
    /// So many charges were compared with the provider's books.
    pub charges: usize,
    /// So many differences were found.
    pub differences: usize,
    /// So many of them are left.
    pub left: usize,
}

/// A booking, with its saga: the one that runs, or the last that told it to its end.
struct Subject {
    booking: BookingId,
    kind: &'static Kind,
    workflow: String,
    run: String,
    is_running: bool,
}

/// Something that does not agree.
struct Difference {
    booking: BookingId,
    workflow: String,
    what: What,
}

/// What does not agree.
enum What {
    /// A worker knows less than it has answered.
    Forgotten {
        queue: &'static str,
        answered: String,
        known: String,
        /// It was given back: whoever has it by mistake stands in somebody's way.
        is_back: bool,
        /// What has the worker know it again.
        again: Vec<Call>,
    },
    /// The board shows less than the saga has come to.
    BoardBehind { row: Box<Row>, shown: Option<i32> },
    /// The board shows more than the saga knows.
    SagaBehind { run: String, kind: &'static Kind, shown: i32, known: i32 },
    /// The booking has not ended, and no saga runs.
    SagaGone,
    /// It could not be compared.
    Unknown(anyhow::Error),
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}  ", self.workflow)?;
        match &self.what {
            What::Forgotten { queue, answered, known, .. } => {
                write!(out, "{queue}: answered \"{answered}\", and has \"{known}\"")
            }
            What::BoardBehind { row, shown: None } => write!(out, "board: no row, and its saga is at {}", row.stage),
            What::BoardBehind { row, shown: Some(shown) } => {
                write!(out, "board: shows version {shown}, and its saga is at {} ({})", row.version, row.stage)
            }
            What::SagaBehind { shown, known, .. } => {
                write!(out, "saga: is at version {known}, and the board shows {shown}")
            }
            What::SagaGone => write!(out, "saga: none runs, and the booking has not ended"),
            What::Unknown(error) => write!(out, "could not be compared: {error:#}"),
        }
    }
}

/// Compares, and sets right where that is wanted. Every difference is told, and what is left of them.
///
/// # Errors
/// When Temporal or the board does not answer.
pub async fn reconcile(wanted: Wanted, say: impl Fn(&str)) -> anyhow::Result<Compared> {
    let url = database("HOLDFAST_BOARD_DATABASE_URL")?;
    // What was restored may be older than this program.
    Board::migrate(&url).await?;
    let stop = CancellationToken::new();
    let board = Board::open(&url, stop.clone())?;
    let temporal = temporal::connect(&temporal::Settings::read()?, &process::traces::Traces::default()).await?;
    board.freeze(true);
    let (workers, limits, tasks) = (worker::Settings::read()?, Limits::default(), host::workflow_tasks_usual());
    let hosted = async {
        if wanted.alone {
            host::run(&temporal, board.clone(), &workers, &limits, tasks, Readiness::default(), stop.clone()).await?;
        }
        anyhow::Ok(())
    };
    let work = async {
        let compared = Calls::during(&temporal, async |calls| {
            let recovery = Recovery::new(temporal.client.clone(), board.clone(), limits.clone());
            Reconciler { temporal: &temporal, board: board.clone(), recovery, calls, say }.run(wanted).await
        });
        let compared = compared.await;
        stop.cancel();
        compared
    };
    let (hosted, compared) = tokio::join!(hosted, work);
    let compared = compared??;
    hosted?;
    Ok(compared)
}

struct Reconciler<'a, S> {
    temporal: &'a Temporal,
    board: Board,
    recovery: Recovery,
    calls: Calls,
    say: S,
}

impl<S: Fn(&str)> Reconciler<'_, S> {
    async fn run(&self, wanted: Wanted) -> anyhow::Result<Compared> {
        let (subjects, mut found) = self.subjects(wanted.since).await?;
        found.extend(self.compare(&subjects).await);
        for difference in &found {
            (self.say)(&difference.to_string());
        }
        let (bookings, differences) = (subjects.len(), found.len());
        let mut left = found;
        for _ in 0..if wanted.mend { ROUNDS } else { 0 } {
            if left.is_empty() {
                break;
            }
            let about: HashSet<BookingId> = left.iter().map(|difference| difference.booking).collect();
            self.mend(left).await?;
            let (mut subjects, gone) = self.subjects(wanted.since).await?;
            subjects.retain(|subject| about.contains(&subject.booking));
            left = gone;
            left.extend(self.compare(&subjects).await);
            for difference in &left {
                (self.say)(&format!("LEFT  {difference}"));
            }
        }
        let (charges, differ) = self.compare_money(wanted.since).await?;
        Ok(Compared { bookings, charges, differences: differences + differ, left: left.len() + differ })
    }
}
