//! Recovery: what looks for bookings whose saga has ended before them, and has them taken over.
//!
//! Two kinds of search, run by schedules. One asks Temporal for sagas that ended as they should not: it is quick. The other
//! goes through what is on the board, held and charged, and finds also those that Temporal has forgotten: it is thorough. A booking is
//! taken over by a new saga under the *same workflow id* ([`crate::saga::Recovered`]), so Temporal itself keeps two from
//! running at the same time, and a search that finds a booking twice changes nothing.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::BookingId,
    contracts::{Contract, board, catalog, payment, recovery},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, ContinueAsNewOptions, WorkflowContext, WorkflowContextView, WorkflowResult,
};

/// How long one page or query may take with all its attempts. A search that fails is made again by the schedule.
const LIMIT: Duration = Duration::from_mins(2);
/// How many pages one run looks at before it goes on in a new one.
const PAGES_MAX: usize = 100;

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Among the sagas that ended of late.
    Ended,
    /// Among the bookings on the board that have not ended.
    Rows(Place),
    /// Among the units that are held.
    Holds(Place),
    /// Among the charges that are open.
    Charges(Place),
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// After this booking.
    #[serde(default)]
    pub after: Option<BookingId>,
    /// Only what has been open for so many seconds.
    pub seconds: u32,
}

/// One search.
#[workflow]
pub struct Sweep {
    search: Search,
}

#[workflow_methods]
impl Sweep {
    #[init]
    fn new(_: &WorkflowContextView, search: Search) -> Self {
        Self { search }
    }

    /// Searches, and gives back how many bookings are being recovered.
    ///
    /// # Errors
    /// When a part that is needed does not answer.
    #[run(name = "recovery.sweep")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<u32> {
        let mut search = ctx.state(|sweep| sweep.search);
        let mut recovered = 0;
        for _ in 0..PAGES_MAX {
            let place = match &mut search {
                Search::Ended => {
                    let ended = recovery::RecoverEnded;
                    return Ok(ctx.execute_activity(ended, (), options::<recovery::RecoverEnded>()).await?);
                }
                Search::Rows(place) | Search::Holds(place) | Search::Charges(place) => place,
            };
            let page = recovery::OpenAfter { after: place.after, seconds: place.seconds };
            let open = match ctx.state(|sweep| sweep.search) {
                Search::Rows(_) => ctx.execute_activity(board::Open, page, options::<board::Open>()).await?,
                Search::Charges(_) => ctx.execute_activity(payment::Open, page, options::<payment::Open>()).await?,
                Search::Ended | Search::Holds(_) => {
                    ctx.execute_activity(catalog::Open, page, options::<catalog::Open>()).await?
                }
            };
            let Some(last) = open.claims.last() else { return Ok(recovered) };
            place.after = Some(last.booking);
            let reviewed =
                ctx.execute_activity(recovery::RecoverOpen, open, options::<recovery::RecoverOpen>()).await?;
            recovered += reviewed.recovered;
            if matches!(search, Search::Charges(_)) && !reviewed.completed.is_empty() {
                ctx.execute_activity(payment::Keep, reviewed.completed, options::<payment::Keep>()).await?;
            }
        }
        ctx.continue_as_new(search, ContinueAsNewOptions::default())?;
        Ok(recovered)
    }
}

fn options<C: Contract>() -> ActivityOptions {
    let timeouts =
        ActivityCloseTimeouts::ScheduleAndStartToClose { start_to_close: C::ATTEMPT, schedule_to_close: LIMIT };
    ActivityOptions::with_close_timeouts(timeouts).task_queue(C::QUEUE.to_owned()).build()
}
