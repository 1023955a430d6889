//! E-book rental: one book, lent to one member, after payment and approval.
//!
//! | step            | undo         | turns back when                                 |
//! |-----------------|--------------|-------------------------------------------------|
//! | hold the book   | release it   | another member has it                           |
//! | charge the fee  | refund       | the card is declined                            |
//! | approval        | -            | rejected, cancelled, or undecided at the deadline |
//! | (lent)          | never undone | from here on we only move forward               |
//! | return, release | -            | -                                               |
//!
//! A request is *accepted* when the book is held.
//!
//! The way from request to return costs Temporal 21 events and at most 4 workflow tasks of three events each; on the long road to the
//! workers alone 34 and 12.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party, Subject},
    booking_messages,
    contracts::{Contract as _, catalog, payment},
    saga::{
        self, BECAUSE, Booking, Deadline, Forward, May, Progress, Refusal, Request, Saga, Said, Say, Stage as _, Stop,
        Turn, Undoable, stage,
    },
    stages,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a rental is, beside the kit's own stages.
    pub enum Stage {
        /// The book is the member's until it is released.
        Held = "held",
        /// The fee is taken; an administrator decides.
        Paid = "paid",
        /// The book is lent.
        Approved = "approved",
        /// The book is back.
        Returned = "returned",
    }
}

/// An administrator's yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Lend the book.
    Approve,
    /// Turn the request back.
    Reject,
}

/// Who decided what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The administrator.
    pub by: Subject,
    /// The decision.
    pub decision: Decision,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

const WORKFLOW: &str = "ebook.rental";
/// The reason of a rental that an administrator rejected.
pub const REJECTED: &str = "rejected";
/// The reason of a rental that nobody decided on in time.
pub const UNDECIDED: &str = "not_decided_in_time";

/// The state of one rental.
#[workflow]
pub struct Rental {
    request: Request,
    progress: Progress,
    verdict: Option<Verdict>,
    returned: bool,
}

impl Booking for Rental {
    const SYSTEM: &'static str = "ebook";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Rental";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::HELD;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] =
        &[Undoable::of::<catalog::Hold, catalog::Release>(), Undoable::of::<payment::Charge, payment::Refund>()];
    const FORWARD_STEPS: &'static [&'static str] = &[catalog::Confirm::NAME, catalog::Release::NAME];
    const ANNOUNCED: &'static [&'static str] =
        &[Stage::Paid.as_str(), Stage::Approved.as_str(), Stage::Returned.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] = &[Turn {
        stage: Stage::Paid.as_str(),
        party: Party::Administrator,
        says: &[
            Say { fixed: &[("decision", "approve")], ..Say::plain("approve", "decide") },
            Say { fixed: &[("decision", "reject")], takes: &[May::Text(BECAUSE)], ..Say::plain("reject", "decide") },
        ],
    }];
    const FORWARD_TURNS: &'static [Turn] =
        &[Turn { stage: Stage::Approved.as_str(), party: Party::Customer, says: &[Say::plain("return", "return")] }];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn may_cancel(&self) -> Result<(), Refusal> {
        match self.decision() {
            None => self.progress.may_cancel(),
            Some(_) => Err(self.progress.refuse("too_late")),
        }
    }
}

impl Rental {
    async fn ask(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        let book = saga.hold(request.hold(request.opening.item.clone())).await?;
        saga.reach(Stage::Held).await;

        saga.charge(request.charge(book.price)).await?;
        saga.reach(Stage::Paid.waiting_for(Party::Administrator, request.opening.limits.decision)).await;

        match saga.wait(|rental| rental.verdict.clone()).await? {
            Some(Verdict { decision: Decision::Approve, .. }) => Ok(()),
            Some(Verdict { decision: Decision::Reject, because, .. }) => {
                saga.note_why(because);
                Err(Stop::because(REJECTED))
            }
            None => Err(Stop::because(UNDECIDED)),
        }
    }

    async fn lend(lent: &mut Forward<'_, Self>) {
        // Without a limit: the member has paid, and a book that is out late is still theirs to bring back.
        lent.reach(Stage::Approved.waiting_for(Party::Customer, Deadline::Never)).await;
        lent.finish(catalog::Confirm).await;

        lent.wait(|rental| rental.returned).await;
        // Released before it is shown as returned: whoever reads "returned" can rent it.
        lent.finish(catalog::Release).await;
        lent.reach(Stage::Returned.completes()).await;
    }

    fn decision(&self) -> Option<Decision> {
        self.verdict.as_ref().map(|verdict| verdict.decision)
    }

    fn may_decide(&self, verdict: &Verdict) -> Result<(), Refusal> {
        if verdict.by == *self.progress.customer() {
            return Err(self.progress.refuse("own_request"));
        }
        match self.decision() {
            Some(decided) if decided == verdict.decision => Ok(()),
            Some(_) => Err(self.progress.refuse("decided_otherwise")),
            None if self.progress.is_at(Stage::Paid) => Ok(()),
            None if self.progress.is_turning_back() || self.progress.is_committed() => {
                Err(self.progress.refuse("too_late"))
            }
            None => Err(self.progress.refuse("not_paid_yet")),
        }
    }

    fn may_return(&self, _: &Said) -> Result<(), Refusal> {
        if self.progress.is_committed() { Ok(()) } else { Err(self.progress.refuse("not_lent")) }
    }

    fn decided(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    fn brought_back(&mut self, _: Said) {
        self.returned = true;
    }
}

booking_messages!(Rental {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request, verdict: None, returned: false }
    }

    /// The whole rental.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|rental| rental.request.clone());
        saga::tell(ctx, async |saga| Self::ask(saga, request).await, Self::lend).await
    }
} hears {
    /// An administrator approves or rejects. The first decision counts.
    {
        name: "decide", says: Verdict, may: may_decide, does: decided,
        methods: [decide, validate_decide, signal_decide]
    }
    /// The member brings the book back.
    {
        name: "return", says: Said, may: may_return, does: brought_back,
        methods: [bring_back, validate_bring_back, signal_bring_back]
    }
});
