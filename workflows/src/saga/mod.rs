//! The saga kit: what carries a booking through outages, refusals, changes of mind and restarts.
//!
//! | verb | meaning |
//! |---|---|
//! | [`Saga::step`] | record the undo, then do it; no answer within the limit means *unknown*, so it is undone |
//! | [`Saga::ask`] | do what has nothing to take back, such as looking something up |
//! | [`Saga::reach`] | move the booking on: its state, and its row on the board with a version one higher |
//! | [`Saga::wait`] | a person's turn, until the deadline of the stage; `None` when that passes |
//! | [`Forward::finish`] | a step after the point of no return: asked for until it is done |
//! | [`tell`] | runs the story, turns back when it stops, and ends when nothing is left open |
//!
//! **A story has two parts**, and between them lies the point of no return. The first part is told on a [`Saga`] and can
//! be undone; the second on a [`Forward`], which has no way to turn round.
//!
//! **Three endings.** *Completed*; *undone*, with a reason; and, while it lasts, *stuck*: a step that must be done (an
//! undo, or one after the point of no return) cannot be done, so the booking stays open, shown to an operator, and goes
//! on trying until it succeeds.
//!
//! **Nothing here is cut short by a cancellation.** Every activity, timer and wait is detached from it: to cancel is one
//! more reason to turn back, looked at between two steps and while a person is waited for.
//!
//! **Nothing is left behind when the engine gives up a booking.** One whose workflow was terminated or deleted is told
//! again from what the board and the workers know ([`Opening::recovered`]): what can be undone is undone, and what is
//! past its point of no return is carried on.
//!
//! The parts: this file tells stories, [`progress`] is what a booking knows of itself, `settle` does what must be done,
//! [`operator`] is what a person may do about what cannot be, `publish` keeps the board, `beside` has what is not waited
//! for.

mod beside;
pub mod operator;
pub mod progress;
mod publish;
mod road;
mod settle;
pub mod turn;

pub use operator::{Action, Audit, Foresight, HoldEffect, Intervention, MoneyEffect, Outcome, Preview, Snapshot};
pub use progress::{
    Deadline, Heard, Limits, Milestone, Opening, Order, Progress, Recovered, Refusal, Request, Said, Stage,
};
pub use turn::{BECAUSE, May, Say, Turn};

use crate::{
    booking::{Ending, Item, Party, Row},
    contracts::{Answer, Contract, Due, Duty, No, Undo, catalog, notification, payment},
    money::Money,
};
use beside::Beside;
use chrono::{DateTime, SubsecRound, Utc};
use settle::Task;
use std::{borrow::Cow, rc::Rc, time::Duration};
use temporalio_common::{error::ActivityExecutionError, search_attributes::SearchAttributeKey};
use temporalio_workflow::{
    ActivityOptions, RetryPolicy, TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowResult, workflows::select,
};

/// Which system a booking belongs to: `ebook`.
pub const BOOKING_SYSTEM: SearchAttributeKey<String> = SearchAttributeKey::keyword("BookingSystem");
/// The stage at which somebody is waited for, or `stuck`.
pub const BOOKING_STAGE: SearchAttributeKey<String> = SearchAttributeKey::keyword("BookingStage");
/// What is booked: `ebook/17`.
pub const BOOKING_ITEM: SearchAttributeKey<String> = SearchAttributeKey::keyword("BookingItem");
/// Who booked, as a subject.
pub const BOOKING_CUSTOMER: SearchAttributeKey<String> = SearchAttributeKey::keyword("BookingCustomer");
/// Who has to act: `administrator`, `customer`, `operator`.
pub const WAITING_FOR: SearchAttributeKey<String> = SearchAttributeKey::keyword("WaitingFor");

/// What the timeline says when a booking was taken over from a saga that had ended before it.
const TAKEN_OVER: &str = "taken_over";
/// Since this patch it is written down that nobody said anything in time, before anything follows from it.
const SILENCE: &str = "silence";

/// The kit's own stages, beside those of each saga.
pub mod stage {
    /// The booking exists; nothing has been asked of anybody yet.
    pub const REQUESTED: &str = "requested";
    /// Turned back: the undos are running.
    pub const UNDOING: &str = "undoing";
    /// Something that must be done cannot be done; it is still tried.
    pub const STUCK: &str = "stuck";
    /// Turned back, and nothing is left of it.
    pub const UNDONE: &str = "undone";
    /// No stage: what the timeline says when a unit was held, whatever the saga calls the stage after it.
    pub const HELD: &str = "held";
    /// No stage: the message that a customer's time is running out.
    pub const REMINDER: &str = "reminder";
}

/// A workflow that is a booking: the kit finds its own part of the state through this.
pub trait Booking: Sized + 'static {
    /// The system, as it appears in workflow ids and on the board.
    const SYSTEM: &'static str;
    /// The workflow type. Its request must be readable from `{"opening": ...}` alone: that is all that is left of a
    /// booking whose workflow was deleted.
    const WORKFLOW: &'static str;
    /// What a booking is called in Temporal's web UI: `Rental`.
    const NOUN: &'static str;
    /// The stages of a story that goes well, in order, as written on the board.
    const STAGES: &'static [&'static str];
    /// What a request waits for before it is answered as accepted: a stage, or [`stage::HELD`].
    const ACCEPTED: &'static str;
    /// Every step with its undo, in the order of the story. [`Saga::step`] refuses one that is not listed, so what goes
    /// by this list (a recovery, the fault tests) cannot miss a step.
    const UNDOABLE_STEPS: &'static [Undoable<Self>];
    /// Every step before the point of no return that has nothing to undo, by contract name. [`Saga::ask`] refuses one that
    /// is not listed.
    const ASKED_STEPS: &'static [&'static str] = &[];
    /// Every step after the point of no return, by contract name. [`Forward::finish`] refuses one that is not listed.
    const FORWARD_STEPS: &'static [&'static str];
    /// The stages whose reaching is told to the customer.
    const ANNOUNCED: &'static [&'static str];
    /// Where the story waits for people before the point of no return, in order. What the inbox offers, and how the fault
    /// tests bring a booking to its end.
    const TURNS: &'static [Turn];
    /// The same, after the point of no return.
    const FORWARD_TURNS: &'static [Turn] = &[];

    /// The kit's part of the state.
    fn progress(&self) -> &Progress;
    /// The kit's part of the state, to change.
    fn progress_mut(&mut self) -> &mut Progress;

    /// May it (still) be cancelled?
    ///
    /// # Errors
    /// What [`Progress::may_cancel`] says, unless the saga knows better.
    fn may_cancel(&self) -> Result<(), Refusal> {
        self.progress().may_cancel()
    }
}

/// A step, and what takes it back.
pub struct Undoable<B> {
    /// The step, by contract name.
    pub step: &'static str,
    /// Its undo, by contract name.
    pub undo: &'static str,
    task: fn(&WorkflowContext<B>) -> Task,
}

impl<B: Booking> Undoable<B> {
    /// A step with its undo.
    #[must_use]
    pub const fn of<Do: Contract, Un: Undo>() -> Self {
        Self { step: Do::NAME, undo: Un::NAME, task: Task::undo::<B, Un> }
    }
}

/// Why a story turns back: a stable code that ends up on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    reason: Cow<'static, str>,
}

impl Stop {
    /// The customer, or somebody in Temporal's web UI, asked for it.
    pub const CANCELLED: Self = Self::because("cancelled");
    /// A worker did not answer within the limit. What it did, if anything, is undone.
    pub const NO_ANSWER: Self = Self::because("no_answer_in_time");

    /// Its saga was terminated, failed or deleted before it had passed its point of no return.
    pub const INTERRUPTED: Self = Self::because("interrupted");

    /// Turns back for a reason of the saga's own.
    #[must_use]
    pub const fn because(reason: &'static str) -> Self {
        Self { reason: Cow::Borrowed(reason) }
    }
}

/// A story being told.
pub struct Saga<B> {
    ctx: WorkflowContext<B>,
    limits: Limits,
    /// What has to be taken back, newest last.
    undo: Vec<Task>,
    /// Notices and late board rows: started, not waited for, collected before the end.
    beside: Rc<Beside>,
    /// The newest row has not been sent to the board: it goes with the next one, or before anything that may take long.
    is_unsent: bool,
}

/// A story past its point of no return: forward only, so nothing here can fail.
pub struct Forward<'saga, B>(&'saga mut Saga<B>);

/// Runs a story to one of its ends: `story` up to the point of no return, `forward` from there on.
///
/// # Errors
/// None of its own: a booking ends as completed or undone, or stays open.
pub async fn tell<B: Booking>(
    ctx: &WorkflowContext<B>,
    story: impl AsyncFnOnce(&mut Saga<B>) -> Result<(), Stop>,
    forward: impl AsyncFnOnce(&mut Forward<'_, B>),
) -> WorkflowResult<Ending> {
    let (limits, recovered) = ctx.state(|booking| {
        let opening = &booking.progress().opening;
        (opening.limits.clone(), opening.recovered.is_some())
    });
    let beside = Rc::new(Beside::new(limits.order.beside));
    let mut saga = Saga { ctx: ctx.clone(), limits, undo: Vec::new(), beside: beside.clone(), is_unsent: false };

    let whole = async {
        let told = if recovered {
            saga.resume().await
        } else {
            saga.open().await;
            story(&mut saga).await
        };
        match told {
            Ok(()) => {
                saga.commit();
                forward(&mut Forward(&mut saga)).await;
                Ending::Completed
            }
            Err(stop) => saga.turn_back(stop).await,
        }
    };
    let ending = beside.tell(whole).await;
    beside.done().await;
    Ok(ending)
}

impl<B: Booking> Saga<B> {
    /// Does something that can be undone, and remembers how before it does.
    ///
    /// # Errors
    /// [`Stop`] when the worker refused, did not answer within [`Limits::step`], or the booking was cancelled meanwhile
    /// (a step that runs is waited for, then undone).
    ///
    /// # Panics
    /// When the step and its undo are missing from [`Booking::UNDOABLE_STEPS`]: that parks the workflow task until the
    /// code is mended.
    pub async fn step<Do: Contract, Un: Undo>(
        &mut self,
        contract: Do,
        input: Do::Input,
        _undo: Un,
    ) -> Result<<Do::Output as Answer>::Granted, Stop>
    where
        Do::Output: Answer,
    {
        let declared = B::UNDOABLE_STEPS.iter().find(|declared| declared.step == Do::NAME && declared.undo == Un::NAME);
        let Some(declared) = declared else { panic!("{} is not among the undoable steps with its undo", Do::NAME) };
        self.stop_if_cancelled()?;
        // Before the step: an answer that gets lost must not become a charge that gets lost.
        self.undo.push((declared.task)(&self.ctx));

        match self.ask_worker(contract, input).await {
            Ok(answer) => match answer.granted() {
                Ok(granted) => self.stop_if_cancelled().map(|()| granted),
                Err(No::Refused(stop)) => {
                    // A refusal is kept by the worker and closes the key: there is nothing to take back.
                    self.undo.pop();
                    Err(stop)
                }
                Err(No::Closed(stop)) => Err(stop),
            },
            Err(_unknown) => {
                // Whoever cancelled was heard: that is the reason they are told.
                self.stop_if_cancelled()?;
                Err(Stop::NO_ANSWER)
            }
        }
    }

    /// Holds a unit, and writes down what it is. Freed again when the story turns back.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn hold(&mut self, request: catalog::HoldRequest) -> Result<catalog::Held, Stop> {
        let held = self.step(catalog::Hold, request, catalog::Release).await?;
        let now = self.now();
        self.ctx.state_mut(|booking| {
            let row = &mut booking.progress_mut().row;
            row.times.entry(stage::HELD.to_owned()).or_insert(now);
        });
        self.describe(&held.name, held.price);
        Ok(held)
    }

    /// Takes money. Given back when the story turns back.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn charge(&mut self, request: payment::ChargeRequest) -> Result<(), Stop> {
        self.step(payment::Charge, request, payment::Refund).await
    }

    /// Does something that leaves nothing to take back.
    ///
    /// # Errors
    /// As [`Self::step`].
    ///
    /// # Panics
    /// When it is missing from [`Booking::ASKED_STEPS`]: that parks the workflow task until the code is mended.
    pub async fn ask<Do: Contract>(
        &mut self,
        contract: Do,
        input: Do::Input,
    ) -> Result<<Do::Output as Answer>::Granted, Stop>
    where
        Do::Output: Answer,
    {
        assert!(B::ASKED_STEPS.contains(&Do::NAME), "{} is not among the steps without an undo", Do::NAME);
        self.stop_if_cancelled()?;
        let answer = self.ask_worker(contract, input).await;
        // Whoever cancelled was heard: that is the reason they are told.
        self.stop_if_cancelled()?;
        match answer.map(Answer::granted) {
            Ok(Ok(granted)) => Ok(granted),
            Ok(Err(No::Refused(stop) | No::Closed(stop))) => Err(stop),
            Err(_unknown) => Err(Stop::NO_ANSWER),
        }
    }

    /// Reads the booking's state.
    pub fn state<T>(&self, read: impl FnOnce(&B) -> T) -> T {
        self.ctx.state(read)
    }

    /// Writes down what is booked, to be published with the next stage: where that is decided on the way.
    pub fn settle_on(&mut self, item: Item) {
        self.ctx.state_mut(|booking| booking.progress_mut().row.item = item);
    }

    /// Writes something down for the system's own pages, to be published with the next stage.
    pub fn note(&mut self, name: &str, value: &str) {
        self.ctx.state_mut(|booking| {
            booking.progress_mut().row.details.insert(name.to_owned(), value.to_owned());
        });
    }

    /// Writes down why somebody turns the booking back, where they said so.
    pub fn note_why(&mut self, because: Option<String>) {
        if let Some(because) = because {
            self.note(BECAUSE, &because);
        }
    }

    /// Asks a worker, and sends what is unsent before that may take long.
    async fn ask_worker<C: Contract>(
        &mut self,
        contract: C,
        input: C::Input,
    ) -> Result<C::Output, ActivityExecutionError> {
        let (ctx, limit) = (self.ctx.clone(), self.limits.step);
        let send = async || {
            if self.is_unsent {
                self.publish().await;
            }
        };
        road::ask(&ctx, contract, input, limit, send).await
    }

    /// A booking exists for people from its first task on, and never as a ghost.
    async fn open(&mut self) {
        self.change(|row, now| Milestone::named(stage::REQUESTED).shown_in(row, now));
        self.is_unsent = self.limits.near && self.limits.order.together && B::ACCEPTED == stage::HELD;
        if !self.is_unsent {
            self.publish().await;
        }
        self.announce();
    }

    /// Moves the booking on to a stage and publishes it. An outage of the board stops nothing.
    pub async fn reach(&mut self, milestone: impl Into<Milestone>) {
        let milestone = milestone.into();
        self.advance(|row, now| milestone.shown_in(row, now)).await;
        self.announce();
    }

    /// Writes down what was booked, to be published with the next stage.
    fn describe(&mut self, name: &str, price: Money) {
        self.ctx.state_mut(|booking| {
            let row = &mut booking.progress_mut().row;
            row.item_name = Some(name.to_owned());
            row.price = Some(price);
        });
    }

    /// Waits for what a person says, until the deadline of the stage that was reached. `None`: it passed.
    ///
    /// What was said counts before a deadline or a cancellation of the same moment.
    ///
    /// # Errors
    /// [`Stop::CANCELLED`] when the booking was cancelled instead.
    pub async fn wait<T>(&mut self, said: impl Fn(&B) -> Option<T>) -> Result<Option<T>, Stop> {
        let row = |booking: &B| (booking.progress().row.waiting_for, booking.progress().row.deadline_at);
        let (party, deadline) = self.ctx.state(row);
        let mut left = deadline.map(|at| (at - self.now()).to_std().unwrap_or_default());
        let heard = |booking: &B| said(booking).is_some() || booking.progress().cancelled_by.is_some();
        if let (Some(Party::Customer), Some(limit)) = (party, left) {
            // Their time is running: half way through, they are told so.
            self.until(heard, Some(limit / 2)).await;
            if !self.ctx.state(heard) && !self.ctx.cancellation_token().is_cancelled() {
                self.tell_customer(stage::REMINDER);
                left = Some(limit / 2);
            }
        }
        self.until(heard, left).await;

        if let Some(said) = self.ctx.state(&said) {
            return Ok(Some(said));
        }
        if self.limits.order.written && !self.ctx.state(heard) && self.ctx.patched(SILENCE) {
            self.ctx.state_mut(|booking| booking.progress_mut().said += 1);
        }
        self.stop_if_cancelled().map(|()| None)
    }

    /// Waits until somebody says that what was booked has been given, or its time has passed: then it has been too.
    ///
    /// # Errors
    /// [`Stop::CANCELLED`] when the booking was cancelled instead.
    pub async fn wait_until_given(&mut self) -> Result<(), Stop> {
        self.wait(|booking| booking.progress().is_completed().then_some(())).await.map(drop)
    }

    /// Passes the point of no return.
    fn commit(&mut self) {
        self.undo.clear();
        self.ctx.state_mut(|booking| booking.progress_mut().row.committed = true);
    }

    /// Takes a booking over whose saga has ended before it. `Ok`: it was past its point of no return.
    async fn resume(&mut self) -> Result<(), Stop> {
        let booking = self.ctx.state(|booking| booking.progress().opening.booking);
        // The board may have missed the last that happened; what is held is known at its own table.
        let options = ActivityOptions::with_start_to_close_timeout(catalog::Look::ATTEMPT)
            .task_queue(catalog::Look::QUEUE.to_owned())
            .cancellation_token(WorkflowCancellationToken::new())
            .retry_policy(retries::<catalog::Look>())
            .build();
        // Without a limit it ends in one way only; to guess would be to undo what is past undoing.
        let Ok(sight) = self.ctx.execute_activity(catalog::Look, Due::of(booking), options).await else {
            panic!("the catalog's answer about {booking} cannot be read");
        };
        if let Some(held) = &sight.held {
            self.describe(&held.name, held.price);
        }
        let now = self.now();
        let (committed, reason) = self.ctx.state_mut(|booking| {
            let progress = booking.progress_mut();
            progress.row.times.insert(TAKEN_OVER.to_owned(), now);
            progress.was_released = sight.released;
            if let Some(item) = sight.item {
                progress.row.item = item;
            }
            (progress.row.committed || sight.confirmed, progress.row.reason.clone())
        });
        if committed {
            return Ok(());
        }
        self.undo = B::UNDOABLE_STEPS.iter().map(|declared| (declared.task)(&self.ctx)).collect();
        Err(reason.map_or(Stop::INTERRUPTED, |reason| Stop { reason: reason.into() }))
    }

    /// Undoes what was done, newest first, and ends the booking.
    async fn turn_back(&mut self, stop: Stop) -> Ending {
        let reason = stop.reason.into_owned();
        self.ctx.state_mut(|booking| booking.progress_mut().turned_back = true);
        let undo: Vec<_> = std::mem::take(&mut self.undo).into_iter().rev().collect();
        if !undo.is_empty() {
            self.advance(|row, now| {
                stage::UNDOING.clone_into(&mut row.stage);
                row.times.entry(stage::UNDOING.to_owned()).or_insert(now);
                row.reason = Some(reason.clone());
                row.stuck = None;
                (row.waiting_for, row.deadline_at) = (None, None);
            })
            .await;
            self.settle(undo).await;
        }

        let ending = Ending::Undone { reason: reason.clone() };
        self.advance(|row, now| {
            stage::UNDONE.clone_into(&mut row.stage);
            row.times.insert(stage::UNDONE.to_owned(), now);
            row.reason = Some(reason);
            row.stuck = None;
            (row.waiting_for, row.deadline_at) = (None, None);
            row.ending = Some(ending.clone());
        })
        .await;
        self.announce();
        ending
    }

    /// Changes the row, and publishes it.
    async fn advance(&mut self, change: impl FnOnce(&mut Row, DateTime<Utc>)) {
        self.change(change);
        self.publish().await;
    }

    /// Changes the row, and gives it the next version. The one place where a version is made.
    fn change(&self, change: impl FnOnce(&mut Row, DateTime<Utc>)) {
        let now = self.now();
        let (row, before) = self.ctx.state_mut(|booking| {
            let progress = booking.progress_mut();
            let before = progress.row.waiting_for;
            change(&mut progress.row, now);
            progress.row.version += 1;
            progress.row.at = now;
            progress.unpublished.push(progress.row.clone());
            (progress.row.clone(), before)
        });
        self.show(&row, before);
    }

    /// Shows a row in Temporal's web UI. Search attributes cost a write each, so they change only where somebody new is
    /// waited for.
    fn show(&self, row: &Row, before: Option<Party>) {
        let waiting = row.waiting_for.map_or("nobody", Party::as_str);
        let name = row.item_name.as_deref().unwrap_or("(not held yet)");
        let price = row.price.map_or_else(|| "-".to_owned(), |price| price.to_string());
        let until = row.deadline_at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339());
        self.ctx.set_current_details(format!(
            "| | |\n|---|---|\n| stage | **{}** |\n| item | {} {name} |\n| price | {price} |\n| waiting for | {waiting} |\n\
             | until | {until} |\n| reason | {} |\n| stuck at | {} |\n| version | {} |\n",
            row.stage,
            row.item,
            row.reason.as_deref().unwrap_or("-"),
            row.stuck.as_ref().map_or("-", |stuck| stuck.step.as_str()),
            row.version,
        ));
        if row.waiting_for.is_some() && row.waiting_for != before {
            self.ctx.upsert_search_attributes([
                BOOKING_STAGE.value_set(row.stage.clone()),
                WAITING_FOR.value_set(waiting.to_owned()),
            ]);
        }
    }

    /// Tells the customer that a stage was reached, where the saga wants that.
    fn announce(&mut self) {
        let stage = self.ctx.state(|booking| booking.progress().row.stage.clone());
        if B::ANNOUNCED.contains(&stage.as_str()) {
            self.tell_customer(&stage);
        }
    }

    /// Tells the customer something, without waiting for it.
    fn tell_customer(&mut self, stage: &str) {
        let row = self.ctx.state(|booking| booking.progress().row.clone());
        let notice = notification::Notice {
            booking: row.booking,
            system: row.system,
            stage: stage.to_owned(),
            customer: row.customer,
            item: row.item.number,
            item_name: row.item_name,
            reason: row.reason,
            money: match (row.times.contains_key("refunded"), row.times.contains_key("written_off")) {
                (true, _) => notification::Money::Refunded,
                (false, true) => notification::Money::WrittenOff,
                (false, false) => notification::Money::NotTaken,
            },
            was_told: false,
        };
        let (ctx, limit) = (self.ctx.clone(), self.limits.notice);
        self.beside.start(async move {
            // Undelivered within the limit: Temporal's history keeps the failure, and no booking waits for a message.
            drop(road::ask(&ctx, notification::Send, notice, limit, async || {}).await);
        });
    }

    /// Waits until the state is as wished, the workflow is cancelled, or the time is up.
    async fn until(&self, wished: impl FnMut(&B) -> bool, limit: Option<Duration>) {
        let mut wished = std::pin::pin!(self.ctx.wait_condition_with_options(wished, detached()));
        let mut cancelled = std::pin::pin!(self.ctx.cancelled());
        let Some(limit) = limit else {
            select! {
                _ = wished => {}
                _ = cancelled => {}
            }
            return;
        };
        let alarm = WorkflowCancellationToken::new();
        let options = TimerOptions::builder(limit).cancellation_token(alarm.clone()).summary("deadline".to_owned());
        let mut timer = self.ctx.timer(options.build());
        select! {
            _ = wished => alarm.cancel(),
            _ = cancelled => alarm.cancel(),
            _ = timer => {}
        }
    }

    /// Waits until the state is as wished, whatever is cancelled meanwhile and however long that takes.
    async fn see(&self, wished: impl FnMut(&B) -> bool) {
        // A detached wait ends in one way only.
        drop(self.ctx.wait_condition_with_options(wished, detached()).await);
    }

    fn stop_if_cancelled(&self) -> Result<(), Stop> {
        let asked = self.ctx.state(|booking| booking.progress().cancelled_by.is_some());
        if asked || self.ctx.cancellation_token().is_cancelled() { Err(Stop::CANCELLED) } else { Ok(()) }
    }

    /// The workflow's clock, in the milliseconds that people are shown.
    fn now(&self) -> DateTime<Utc> {
        self.ctx.workflow_time().map(DateTime::from).unwrap_or_default().trunc_subsecs(3)
    }
}

impl<B: Booking> Forward<'_, B> {
    /// Does something that must be done now: asked for until it is, and shown as stuck when that takes too long.
    ///
    /// # Panics
    /// When it is missing from [`Booking::FORWARD_STEPS`]: that parks the workflow task until the code is mended.
    pub async fn finish<Do: Duty>(&mut self, _duty: Do) {
        assert!(
            B::FORWARD_STEPS.contains(&Do::NAME),
            "{} is not among the steps after the point of no return",
            Do::NAME
        );
        let task = Task::step::<B, Do>(&self.0.ctx);
        let before = self.0.ctx.state(|booking| booking.progress().row.clone());
        self.0.settle(vec![task]).await;
        if self.0.ctx.state(|booking| booking.progress().row.stage == stage::STUCK) {
            // It went through after all: the booking is where it was.
            self.0
                .advance(|row, _| {
                    (row.stage, row.waiting_for, row.deadline_at) =
                        (before.stage, before.waiting_for, before.deadline_at);
                    row.stuck = None;
                })
                .await;
        }
    }

    /// Moves the booking on; see [`Saga::reach`].
    pub async fn reach(&mut self, milestone: impl Into<Milestone>) {
        self.0.reach(milestone).await;
    }

    /// Reads the booking's state.
    pub fn state<T>(&self, read: impl FnOnce(&B) -> T) -> T {
        self.0.state(read)
    }

    /// Writes something down; see [`Saga::note`].
    pub fn note(&mut self, name: &str, value: &str) {
        self.0.note(name, value);
    }

    /// Ends the booking at the stage it is at: where that stage had to be shown before the last steps were done.
    pub async fn complete(&mut self) {
        self.0
            .advance(|row, _| {
                (row.waiting_for, row.deadline_at) = (None, None);
                row.ending = Some(Ending::Completed);
            })
            .await;
    }

    /// Waits for what a person says, for as long as that takes: nothing turns this story back. A recovered booking that
    /// has given its unit back already waits for nobody: what they said has been done.
    pub async fn wait(&mut self, said: impl Fn(&B) -> bool) {
        self.0.see(|booking| booking.progress().was_released || said(booking)).await;
    }
}

/// A wait that no cancellation cuts short.
fn detached() -> WaitConditionOptions {
    WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build()
}

fn retries<C: Contract>() -> RetryPolicy {
    RetryPolicy::builder().initial_interval(C::RETRY_FIRST).maximum_interval(C::RETRY_MAX).build()
}
