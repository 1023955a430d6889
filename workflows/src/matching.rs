//! Teacher matching: a student offers an amount, and the first teacher who takes the request visits.
//!
//! | step              | undo         | turns back when                                        |
//! |-------------------|--------------|--------------------------------------------------------|
//! | charge the offer  | refund       | the card is declined                                   |
//! | (listed)          | -            | cancelled, or no teacher takes it within the limit     |
//! | (visit assigned)  | -            | cancelled before the visit has been made               |
//! | (visited)         | never undone | from here on we only move forward                      |
//!
//! Nothing is held: the request itself is what can be taken once, and the saga says by whom. A request is *accepted* when
//! it has begun. A month after the assignment the visit counts as made.
//!
//! The way from request to visited costs Temporal 22 events, beside those of workflow tasks and of deadlines.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party, Subject},
    booking_messages,
    contracts::payment,
    saga::{
        self, Booking, Forward, Progress, Refusal, Request, Saga, Said, Say, Stage as _, Stop, Turn, Undoable, stage,
    },
    stages,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a request is, beside the kit's own stages.
    pub enum Stage {
        /// The offer is taken; any teacher may take the request.
        Listed = "listed",
        /// A teacher has taken it.
        Assigned = "assigned",
        /// The visit has been made.
        Visited = "visited",
    }
}

const WORKFLOW: &str = "matching.request";
/// The reason of a request that no teacher took in time.
pub const NOBODY_CAME: &str = "no_teacher_in_time";
/// Under which names the visit is written down.
pub const TEACHER: &str = "teacher";
/// See [`TEACHER`].
pub const VISIT_DATE: &str = "visitDate";

/// A teacher takes a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    /// The teacher, as signed in.
    pub by: Subject,
    /// The name they give.
    pub teacher: String,
    /// When they come, in their words.
    pub visit_date: String,
}

/// The state of one request for a teacher.
#[workflow]
pub struct Matching {
    request: Request,
    progress: Progress,
    visit: Option<Visit>,
}

impl Booking for Matching {
    const SYSTEM: &'static str = "matching";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Match";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::REQUESTED;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] = &[Undoable::of::<payment::Charge, payment::Refund>()];
    const FORWARD_STEPS: &'static [&'static str] = &[];
    const ANNOUNCED: &'static [&'static str] = &[Stage::Listed.as_str(), Stage::Assigned.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] = &[
        Turn {
            stage: Stage::Listed.as_str(),
            party: Party::Teacher,
            says: &[Say { needs: &[TEACHER, VISIT_DATE], ..Say::plain("visit", "visit") }],
        },
        Turn { stage: Stage::Assigned.as_str(), party: Party::Teacher, says: &[Say::plain("visited", "complete")] },
    ];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Matching {
    async fn find(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        let limits = &request.opening.limits;
        saga.charge(request.charge(request.opening.agreed_price())).await?;
        saga.reach(Stage::Listed.waiting_for(Party::Teacher, limits.decision)).await;

        let Some(visit) = saga.wait(|request| request.visit.clone()).await? else {
            return Err(Stop::because(NOBODY_CAME));
        };
        saga.note(TEACHER, &visit.teacher);
        saga.note(VISIT_DATE, &visit.visit_date);
        saga.reach(Stage::Assigned.waiting_for(Party::Teacher, limits.service)).await;
        saga.wait_until_given().await
    }

    async fn end(visited: &mut Forward<'_, Self>) {
        visited.reach(Stage::Visited.completes()).await;
    }

    fn may_visit(&self, visit: &Visit) -> Result<(), Refusal> {
        if visit.by == *self.progress.customer() {
            return Err(self.progress.refuse("own_request"));
        }
        match &self.visit {
            Some(_) if self.progress.is_turning_back() => Err(self.progress.refuse("too_late")),
            Some(first) if first == visit => Ok(()),
            Some(_) => Err(self.progress.refuse("already_assigned")),
            None if self.progress.is_at(Stage::Listed) => Ok(()),
            None => Err(self.progress.refuse_at_this_stage()),
        }
    }

    fn assigned(&mut self, visit: Visit) {
        self.visit.get_or_insert(visit);
    }

    fn may_complete(&self, said: &Said) -> Result<(), Refusal> {
        // Whoever has the request, and nobody else, knows that they have been there.
        if self.visit.as_ref().is_some_and(|visit| visit.by != said.by) {
            return Err(self.progress.refuse("forbidden"));
        }
        self.progress.may_complete(said, Stage::Assigned)
    }

    fn completed(&mut self, said: Said) {
        self.progress.complete(said);
    }
}

booking_messages!(Matching {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request, visit: None }
    }

    /// The whole request.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|matching| matching.request.clone());
        saga::tell(ctx, async |saga| Self::find(saga, request).await, Self::end).await
    }
} hears {
    /// A teacher takes the request. The first one has it.
    {
        name: "visit", says: Visit, may: may_visit, does: assigned,
        methods: [visit, validate_visit, signal_visit]
    }
    /// The visit has been made.
    {
        name: "complete", says: Said, may: may_complete, does: completed,
        methods: [complete, validate_complete, signal_complete]
    }
});
