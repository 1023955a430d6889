//! Cinema: a seat at a movie, paid with the reservation. A movie has as many as its capacity says, one by default.
//!
//! | step             | undo         | turns back when                            |
//! |------------------|--------------|--------------------------------------------|
//! | hold the seat    | release it   | all are taken                              |
//! | charge the price | refund       | the card is declined                       |
//! | (reserved)       | -            | the customer cancels                       |
//! | (watched)        | never undone | from here on we only move forward          |
//! | release the seat | -            | -                                          |
//!
//! A request is *accepted* when the seat is held. The manager says that it was watched; a month after the reservation it
//! counts as watched all the same.
//!
//! The way from request to watched costs Temporal 21 events, beside those of workflow tasks and of deadlines.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party},
    booking_messages,
    contracts::{Contract as _, catalog, payment},
    saga::{
        self, Booking, Forward, Progress, Refusal, Request, Saga, Said, Say, Stage as _, Stop, Turn, Undoable, stage,
    },
    stages,
};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a reservation is, beside the kit's own stages.
    pub enum Stage {
        /// The seat is the customer's until it is released.
        Held = "held",
        /// The seat is paid for.
        Reserved = "reserved",
        /// The movie was watched.
        Watched = "watched",
    }
}

const WORKFLOW: &str = "cinema.reservation";

/// The state of one reservation of a seat.
#[workflow]
pub struct Cinema {
    request: Request,
    progress: Progress,
}

impl Booking for Cinema {
    const SYSTEM: &'static str = "cinema";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Seat";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::HELD;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] =
        &[Undoable::of::<catalog::Hold, catalog::Release>(), Undoable::of::<payment::Charge, payment::Refund>()];
    const FORWARD_STEPS: &'static [&'static str] = &[catalog::Release::NAME];
    const ANNOUNCED: &'static [&'static str] = &[Stage::Reserved.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] =
        &[Turn { stage: Stage::Reserved.as_str(), party: Party::Manager, says: &[Say::plain("watched", "complete")] }];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Cinema {
    async fn reserve(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        let seat = saga.hold(request.hold(request.opening.item.clone())).await?;
        saga.reach(Stage::Held).await;
        saga.charge(request.charge(seat.price)).await?;
        saga.reach(Stage::Reserved.waiting_for(Party::Manager, request.opening.limits.service)).await;
        saga.wait_until_given().await
    }

    async fn watch(watched: &mut Forward<'_, Self>) {
        // Shown first: from now on a recovery carries it on.
        watched.reach(Stage::Watched).await;
        watched.finish(catalog::Release).await;
        watched.complete().await;
    }

    fn may_complete(&self, said: &Said) -> Result<(), Refusal> {
        self.progress.may_complete(said, Stage::Reserved)
    }

    fn completed(&mut self, said: Said) {
        self.progress.complete(said);
    }
}

booking_messages!(Cinema {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request }
    }

    /// The whole reservation.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|seat| seat.request.clone());
        saga::tell(ctx, async |saga| Self::reserve(saga, request).await, Self::watch).await
    }
} hears {
    /// The manager has seen the customer watch it.
    {
        name: "complete", says: Said, may: may_complete, does: completed,
        methods: [complete, validate_complete, signal_complete]
    }
});
