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
//! The way from request to return costs Temporal 36 events, and at most 12 workflow tasks of three events each.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party, Subject},
    contracts::{Contract as _, catalog, payment},
    saga::{
        self, Action, Booking, Foresight, Forward, Heard, Intervention, Opening, Progress, Refusal, Saga, Said,
        Snapshot, Stage as _, Stop, Undoable, stage,
    },
};
use serde::{Deserialize, Serialize};
use std::error::Error;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

/// What a rental begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RentalRequest {
    /// What every booking begins with. The item is the book.
    pub opening: Opening,
    /// The provider's token for the card to charge; the member's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// Where a rental is, beside the kit's own stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The book is the member's until it is released.
    Held,
    /// The fee is taken; an administrator decides.
    Paid,
    /// The book is lent.
    Approved,
    /// The book is back.
    Returned,
}

impl Stage {
    /// As written on the board.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Paid => "paid",
            Self::Approved => "approved",
            Self::Returned => "returned",
        }
    }
}

impl saga::Stage for Stage {
    fn name(self) -> &'static str {
        self.as_str()
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
}

const WORKFLOW: &str = "ebook.rental";
/// The reason of a rental that an administrator rejected.
pub const REJECTED: &str = "rejected";
/// The reason of a rental that nobody decided on in time.
pub const UNDECIDED: &str = "not_decided_in_time";

/// The state of one rental.
#[workflow]
pub struct Rental {
    request: RentalRequest,
    progress: Progress,
    verdict: Option<Verdict>,
    returned: bool,
}

impl Booking for Rental {
    const SYSTEM: &'static str = "ebook";
    const WORKFLOW: &'static str = WORKFLOW;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] =
        &[Undoable::of::<catalog::Hold, catalog::Release>(), Undoable::of::<payment::Charge, payment::Refund>()];
    const FORWARD_STEPS: &'static [&'static str] = &[catalog::Confirm::NAME, catalog::Release::NAME];
    const ANNOUNCED: &'static [&'static str] =
        &[Stage::Paid.as_str(), Stage::Approved.as_str(), Stage::Returned.as_str(), stage::UNDONE];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Rental {
    async fn ask(saga: &mut Saga<Self>, request: RentalRequest) -> Result<(), Stop> {
        let book = saga.step(catalog::Hold, request.hold(), catalog::Release).await?;
        saga.describe(&book.name, book.price);
        saga.reach(Stage::Held).await;

        saga.step(payment::Charge, request.charge(&book), payment::Refund).await?;
        saga.reach(Stage::Paid.waiting_for(Party::Administrator, Some(request.opening.limits.decision))).await;

        match saga.wait(Self::decision).await? {
            Some(Decision::Approve) => Ok(()),
            Some(Decision::Reject) => Err(Stop::because(REJECTED)),
            None => Err(Stop::because(UNDECIDED)),
        }
    }

    async fn lend(lent: &mut Forward<'_, Self>) {
        // Without a limit: the member has paid, and a book that is out late is still theirs to bring back.
        lent.reach(Stage::Approved.waiting_for(Party::Customer, None)).await;
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

    fn may_cancel(&self) -> Result<(), Refusal> {
        match self.decision() {
            None => self.progress.may_cancel(),
            Some(_) => Err(self.progress.refuse("too_late")),
        }
    }

    fn may_return(&self) -> Result<(), Refusal> {
        if self.progress.is_committed() { Ok(()) } else { Err(self.progress.refuse("not_lent")) }
    }
}

impl RentalRequest {
    fn hold(&self) -> catalog::HoldRequest {
        let opening = &self.opening;
        catalog::HoldRequest {
            booking: opening.booking,
            workflow: opening.workflow_id(),
            customer: Some(opening.customer.clone()),
            item: opening.item.clone(),
            period: None,
        }
    }

    fn charge(&self, book: &catalog::Held) -> payment::ChargeRequest {
        payment::ChargeRequest {
            booking: self.opening.booking,
            workflow: self.opening.workflow_id(),
            customer: self.opening.customer.clone(),
            amount: book.price,
            method: self.method.clone(),
        }
    }
}

type Refused = Box<dyn Error + Send + Sync>;

#[workflow_methods]
impl Rental {
    #[init]
    fn new(_: &WorkflowContextView, request: RentalRequest) -> Self {
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

    /// An administrator approves or rejects. The first decision counts.
    #[update(name = "decide")]
    pub fn decide(&mut self, _: &mut SyncWorkflowContext<Self>, verdict: Verdict) -> Heard {
        self.verdict.get_or_insert(verdict);
        self.progress.heard()
    }

    #[update_validator(decide)]
    fn validate_decide(&self, _: &WorkflowContextView, verdict: &Verdict) -> Result<(), Refused> {
        Ok(self.may_decide(verdict)?)
    }

    /// The member brings the book back.
    #[update(name = "return")]
    pub fn bring_back(&mut self, _: &mut SyncWorkflowContext<Self>, _said: Said) -> Heard {
        self.returned = true;
        self.progress.heard()
    }

    #[update_validator(bring_back)]
    fn validate_bring_back(&self, _: &WorkflowContextView, _: &Said) -> Result<(), Refused> {
        Ok(self.may_return()?)
    }

    /// The member changes their mind, before the approval.
    #[update(name = "cancel")]
    pub fn cancel(&mut self, _: &mut SyncWorkflowContext<Self>, said: Said) -> Heard {
        self.progress.cancel(said)
    }

    #[update_validator(cancel)]
    fn validate_cancel(&self, _: &WorkflowContextView, _: &Said) -> Result<(), Refused> {
        Ok(self.may_cancel()?)
    }

    /// An operator does something about what the booking is stuck at.
    #[update(name = "intervene")]
    pub fn intervene(&mut self, _: &mut SyncWorkflowContext<Self>, intervention: Intervention) -> Heard {
        self.progress.intervene(intervention)
    }

    #[update_validator(intervene)]
    fn validate_intervene(&self, _: &WorkflowContextView, intervention: &Intervention) -> Result<(), Refused> {
        self.progress.preview(&intervention.action)?;
        Ok(())
    }

    /// What an intervention would do.
    #[query(name = "foresee")]
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the SDK hands a message over")]
    pub fn foresee(&self, _: &WorkflowContextView, action: Action) -> Foresight {
        self.progress.preview(&action).into()
    }

    /// Where the booking is, also when the board is behind.
    #[query(name = "state")]
    #[must_use]
    pub fn state(&self, _: &WorkflowContextView) -> Snapshot {
        self.progress.snapshot()
    }
}
