//! Hair salon: a stylist at a time. Every request is accepted; it is confirmed only with a stylist who is free then.
//!
//! | step                      | undo         | turns back when                                       |
//! |---------------------------|--------------|-------------------------------------------------------|
//! | ask whether one is free   | -            | nobody is                                             |
//! | (offered to the shop)     | -            | rejected, cancelled, or unanswered when the time comes |
//! | hold the stylist          | release      | somebody else has them at that time                   |
//! | (confirmed)               | -            | cancelled                                             |
//! | (served)                  | never undone | from here on we only move forward                     |
//! | release the stylist       | -            | -                                                     |
//!
//! A request is *accepted* when it has begun. Nothing is paid here.
//!
//! The way from request to served costs Temporal 32 events, beside those of workflow tasks and of deadlines.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Item, Party, Subject},
    booking_messages,
    contracts::{
        Contract as _,
        catalog::{self, FreeRequest},
    },
    saga::{
        self, BECAUSE, Booking, Forward, May, Progress, Refusal, Request, Saga, Said, Say, Stage as _, Stop, Turn,
        Undoable, stage,
    },
    stages,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a reservation is, beside the kit's own stages.
    pub enum Stage {
        /// Somebody is free; the shop assigns a stylist.
        Offered = "offered",
        /// A stylist is the customer's at that time.
        Confirmed = "confirmed",
        /// The customer has been served.
        Served = "served",
    }
}

const WORKFLOW: &str = "salon.reservation";
/// The reason of a reservation that the shop rejected.
pub const REJECTED: &str = "rejected";
/// The reason of a reservation that the shop did not answer in time.
pub const UNANSWERED: &str = "not_decided_in_time";

/// The shop's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Who answers for the shop.
    pub by: Subject,
    /// What.
    pub decision: Decision,
    /// The stylist's number; the one the customer wishes for when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stylist: Option<i64>,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// The shop's yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A stylist is assigned.
    Assign,
    /// Nobody can.
    Reject,
}

/// The state of one reservation of a stylist.
#[workflow]
pub struct Salon {
    request: Request,
    progress: Progress,
    assignment: Option<Assignment>,
}

impl Booking for Salon {
    const SYSTEM: &'static str = "salon";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Appointment";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::REQUESTED;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] = &[Undoable::of::<catalog::Hold, catalog::Release>()];
    const ASKED_STEPS: &'static [&'static str] = &[catalog::Free::NAME];
    const FORWARD_STEPS: &'static [&'static str] = &[catalog::Release::NAME];
    const ANNOUNCED: &'static [&'static str] =
        &[stage::REQUESTED, Stage::Confirmed.as_str(), Stage::Served.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] = &[
        Turn {
            stage: Stage::Offered.as_str(),
            party: Party::Shop,
            says: &[
                Say {
                    fixed: &[("decision", "assign")],
                    takes: &[May::Item("stylist")],
                    is_sure: false,
                    ..Say::plain("assign", "assign")
                },
                Say {
                    fixed: &[("decision", "reject")],
                    takes: &[May::Text(BECAUSE)],
                    is_sure: false,
                    ..Say::plain("reject", "assign")
                },
            ],
        },
        Turn { stage: Stage::Confirmed.as_str(), party: Party::Shop, says: &[Say::plain("served", "complete")] },
    ];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Salon {
    async fn reserve(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        let opening = &request.opening;
        let limits = &opening.limits;
        let wanted = FreeRequest { system: Self::SYSTEM.to_owned(), period: opening.period };
        saga.ask(catalog::Free, wanted).await?;
        saga.reach(Stage::Offered.waiting_for(Party::Shop, opening.until_it_begins(limits.decision))).await;

        let stylist = match saga.wait(|salon| salon.assignment.clone()).await? {
            None => return Err(Stop::because(UNANSWERED)),
            Some(Assignment { decision: Decision::Reject, because, .. }) => {
                saga.note_why(because);
                return Err(Stop::because(REJECTED));
            }
            Some(Assignment { stylist, .. }) => stylist.unwrap_or(opening.item.number),
        };
        let stylist = Item { system: Self::SYSTEM.to_owned(), number: stylist };
        saga.settle_on(stylist.clone());
        saga.hold(request.hold(stylist)).await?;
        saga.reach(Stage::Confirmed.waiting_for(Party::Shop, opening.until_it_is_over(limits.service))).await;
        saga.wait_until_given().await
    }

    async fn end(served: &mut Forward<'_, Self>) {
        // Shown first: from now on a recovery carries it on.
        served.reach(Stage::Served).await;
        served.finish(catalog::Release).await;
        served.complete().await;
    }

    fn may_assign(&self, assignment: &Assignment) -> Result<(), Refusal> {
        if assignment.by == *self.progress.customer() {
            return Err(self.progress.refuse("own_request"));
        }
        if assignment.decision == Decision::Assign
            && assignment.stylist.is_none()
            && self.request.opening.item.number == 0
        {
            return Err(self.progress.refuse("stylist_needed"));
        }
        let same = |first: &Assignment| first.decision == assignment.decision && first.stylist == assignment.stylist;
        match &self.assignment {
            Some(first) if same(first) => Ok(()),
            Some(_) => Err(self.progress.refuse("decided_otherwise")),
            None if self.progress.is_at(Stage::Offered) => Ok(()),
            None => Err(self.progress.refuse_at_this_stage()),
        }
    }

    fn assigned(&mut self, assignment: Assignment) {
        self.assignment.get_or_insert(assignment);
    }

    fn may_complete(&self, said: &Said) -> Result<(), Refusal> {
        self.progress.may_complete(said, Stage::Confirmed)
    }

    fn completed(&mut self, said: Said) {
        self.progress.complete(said);
    }
}

booking_messages!(Salon {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request, assignment: None }
    }

    /// The whole reservation.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|salon| salon.request.clone());
        saga::tell(ctx, async |saga| Self::reserve(saga, request).await, Self::end).await
    }
} hears {
    /// The shop assigns a stylist, or rejects. The first answer counts.
    {
        name: "assign", says: Assignment, may: may_assign, does: assigned,
        methods: [assign, validate_assign, signal_assign]
    }
    /// The customer has been served.
    {
        name: "complete", says: Said, may: may_complete, does: completed,
        methods: [complete, validate_complete, signal_complete]
    }
});
