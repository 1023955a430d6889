//! Parcel delivery: paid with the request, picked up and delivered by a courier.
//!
//! | step             | undo         | turns back when                                          |
//! |------------------|--------------|----------------------------------------------------------|
//! | charge the price | refund       | the card is declined                                     |
//! | (paid)           | -            | cancelled, or nobody picks it up within the limit        |
//! | (picked up)      | never undone | from here on we only move forward                        |
//! | (delivered)      | -            | -                                                        |
//!
//! A request is *accepted* when it has begun. Loyalty points are nobody's business here: whoever gives them follows the
//! feed of bookings.
//!
//! The way from request to delivered costs Temporal 18 events, beside those of workflow tasks and of deadlines.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party, Subject},
    booking_messages,
    contracts::payment,
    saga::{
        self, Booking, Deadline, Forward, Progress, Refusal, Request, Saga, Say, Stage as _, Stop, Turn, Undoable,
        stage,
    },
    stages,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a parcel is, beside the kit's own stages.
    pub enum Stage {
        /// The price is taken; a courier comes.
        Paid = "paid",
        /// A courier has the parcel.
        PickedUp = "picked_up",
        /// It is there.
        Delivered = "delivered",
    }
}

const WORKFLOW: &str = "parcel.delivery";
/// The reason of a parcel that nobody picked up in time.
pub const NOT_PICKED_UP: &str = "not_picked_up_in_time";
/// Under which names a courier's report is written down.
pub const LOCATION: &str = "location";
/// See [`LOCATION`].
pub const COURIER: &str = "courierName";

/// A courier says where a parcel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The courier, as signed in.
    pub by: Subject,
    /// How far it has come.
    pub progress: Leg,
    /// The name they give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier: Option<String>,
    /// Where, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// How far a parcel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// With the courier.
    PickedUp,
    /// There.
    Delivered,
}

/// The state of one parcel.
#[workflow]
pub struct Parcel {
    request: Request,
    progress: Progress,
    /// The last that was said.
    report: Option<Report>,
}

impl Booking for Parcel {
    const SYSTEM: &'static str = "parcel";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Parcel";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::REQUESTED;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] = &[Undoable::of::<payment::Charge, payment::Refund>()];
    const FORWARD_STEPS: &'static [&'static str] = &[];
    const ANNOUNCED: &'static [&'static str] = &[Stage::Paid.as_str(), Stage::Delivered.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] = &[Turn {
        stage: Stage::Paid.as_str(),
        party: Party::Courier,
        says: &[Say { fixed: &[("progress", "picked_up")], ..Say::plain("pick_up", "report") }],
    }];
    const FORWARD_TURNS: &'static [Turn] = &[Turn {
        stage: Stage::PickedUp.as_str(),
        party: Party::Courier,
        says: &[Say { fixed: &[("progress", "delivered")], ..Say::plain("deliver", "report") }],
    }];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn may_cancel(&self) -> Result<(), Refusal> {
        match self.report {
            None => self.progress.may_cancel(),
            Some(_) => Err(self.progress.refuse("too_late")),
        }
    }
}

impl Parcel {
    async fn ask(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        saga.charge(request.charge(request.opening.agreed_price())).await?;
        saga.reach(Stage::Paid.waiting_for(Party::Courier, request.opening.limits.decision)).await;
        match saga.wait(|parcel| parcel.report.clone()).await? {
            Some(_) => Ok(()),
            None => Err(Stop::because(NOT_PICKED_UP)),
        }
    }

    async fn deliver(parcel: &mut Forward<'_, Self>) {
        loop {
            let report = parcel.state(|parcel| parcel.report.clone());
            if let Some(Report { courier, location, .. }) = &report {
                for (name, value) in [(COURIER, courier), (LOCATION, location)] {
                    if let Some(value) = value {
                        parcel.note(name, value);
                    }
                }
            }
            if report.as_ref().is_some_and(|report| report.progress == Leg::Delivered) {
                break;
            }
            parcel.reach(Stage::PickedUp.waiting_for(Party::Courier, Deadline::Never)).await;
            parcel.wait(|parcel| parcel.report != report).await;
        }
        parcel.reach(Stage::Delivered.completes()).await;
    }

    fn may_report(&self, report: &Report) -> Result<(), Refusal> {
        if report.by == *self.progress.customer() {
            return Err(self.progress.refuse("own_request"));
        }
        // Whoever has the parcel, and nobody else, knows where it is.
        if self.report.as_ref().is_some_and(|last| last.by != report.by) {
            return Err(self.progress.refuse("forbidden"));
        }
        let delivered = self.report.as_ref().is_some_and(|last| last.progress == Leg::Delivered);
        match report.progress {
            // Said again: nothing new.
            Leg::Delivered if delivered => Ok(()),
            Leg::PickedUp if delivered => Err(self.progress.refuse("too_late")),
            _ if self.progress.is_committed() || self.progress.is_at(Stage::Paid) => Ok(()),
            _ => Err(self.progress.refuse_at_this_stage()),
        }
    }

    fn reported(&mut self, report: Report) {
        if self.report.as_ref().is_none_or(|last| last.progress != Leg::Delivered) {
            self.report = Some(report);
        }
    }
}

booking_messages!(Parcel {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request, report: None }
    }

    /// The whole way.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|parcel| parcel.request.clone());
        saga::tell(ctx, async |saga| Self::ask(saga, request).await, Self::deliver).await
    }
} hears {
    /// A courier says where the parcel is. The first report is the pick-up; after the delivery nothing changes.
    {
        name: "report", says: Report, may: may_report, does: reported,
        methods: [report, validate_report, signal_report]
    }
});
