//! What must be done is done: undos, and steps after the point of no return.
//!
//! In rounds. Each round asks for everything that is open, newest first, in bounded bursts of attempts. What cannot be
//! done is parked and holds back only what depends on it. Between two rounds there is a pause, which an operator's *retry*
//! cuts short; it is never one activity with an endless back-off, which nobody could reach. A cancellation cuts nothing
//! short: there is nothing left to turn back.

use super::{Booking, Saga, options, settled, stage};
use crate::{
    booking::Party,
    contracts::{BookingRef, Contract, Settled, Undo},
};
use futures_util::future::LocalBoxFuture;
use std::time::Duration;
use temporalio_workflow::{
    TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, workflows::select,
};

const PAUSE_MIN: Duration = Duration::from_secs(1);
/// A pause is this part of the time it has taken so far. So whoever comes back is noticed soon after a short absence, and
/// a booking that is stuck for months does not fill its history with attempts.
const PAUSE_PART: i32 = 10;

/// What a round left open.
#[derive(Default)]
struct Parked {
    tasks: Vec<Task>,
    /// The first step that was refused, and why.
    refused: Option<(&'static str, String)>,
}

/// One thing that must be done.
pub(super) struct Task {
    name: &'static str,
    /// What must be done before.
    after: &'static [&'static str],
    /// What the timeline says when it is done.
    done: Option<&'static str>,
    ask: Box<dyn Fn() -> LocalBoxFuture<'static, Option<Settled>>>,
}

impl Task {
    pub(super) fn undo<B: Booking, U: Undo>(ctx: &WorkflowContext<B>, undo: U) -> Self {
        Self { after: U::AFTER, done: Some(U::DONE), ..Self::step(ctx, undo) }
    }

    pub(super) fn step<B: Booking, C>(ctx: &WorkflowContext<B>, contract: C) -> Self
    where
        C: Contract<Input = BookingRef, Output = Settled>,
    {
        let ctx = ctx.clone();
        let ask = move || -> LocalBoxFuture<'static, Option<Settled>> {
            let ctx = ctx.clone();
            Box::pin(async move {
                let (booking, round) = ctx.state(|saga| {
                    let opening = &saga.progress().opening;
                    (opening.booking, opening.limits.round)
                });
                settled(ctx.execute_activity(contract, BookingRef { booking }, options::<C>(round)).await)
            })
        };
        Self { name: C::NAME, after: &[], done: None, ask: Box::new(ask) }
    }
}

impl<B: Booking> Saga<B> {
    /// Does all of it, however long that takes.
    pub(super) async fn settle(&mut self, mut open: Vec<Task>) {
        let began = self.now();
        self.ctx.state_mut(|booking| booking.progress_mut().settling = true);
        loop {
            let asked = self.ctx.state(|booking| booking.progress().retries_asked);
            let parked = self.round(open).await;
            let Some(first) = parked.tasks.first() else { break };
            let took = self.now() - began;
            match parked.refused {
                Some((step, reason)) => self.show_stuck(step, Some(reason)).await,
                None if took.to_std().unwrap_or_default() >= self.limits.undo_patience => {
                    self.show_stuck(first.name, None).await;
                }
                None => {}
            }
            open = parked.tasks;
            let pause = (took / PAUSE_PART).to_std().unwrap_or_default().max(PAUSE_MIN).min(self.limits.pause_max);
            self.retry_or(asked, pause).await;
        }
        self.ctx.state_mut(|booking| booking.progress_mut().settling = false);
    }

    /// Asks once for everything that nothing parked holds back.
    async fn round(&mut self, open: Vec<Task>) -> Parked {
        let mut parked = Parked::default();
        for task in open {
            if parked.tasks.iter().any(|earlier| task.after.contains(&earlier.name)) {
                parked.tasks.push(task);
                continue;
            }
            match (task.ask)().await {
                Some(Settled::Done) => self.note(task.done),
                Some(Settled::Nothing) => {}
                Some(Settled::Refused { reason }) => {
                    parked.refused.get_or_insert((task.name, reason));
                    parked.tasks.push(task);
                }
                None => parked.tasks.push(task),
            }
        }
        parked
    }

    /// Waits for an operator's *retry*, or until the pause is over.
    async fn retry_or(&self, asked: u32, pause: Duration) {
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let retried = |booking: &B| booking.progress().retries_asked > asked;
        let mut retried = std::pin::pin!(self.ctx.wait_condition_with_options(retried, detached));
        let alarm = WorkflowCancellationToken::new();
        let options = TimerOptions::builder(pause).cancellation_token(alarm.clone()).summary("next attempt".to_owned());
        let mut timer = self.ctx.timer(options.build());
        select! {
            _ = retried => alarm.cancel(),
            _ = timer => {}
        }
    }

    fn note(&self, done: Option<&'static str>) {
        let now = self.now();
        if let Some(done) = done {
            self.ctx.state_mut(|booking| booking.progress_mut().row.times.insert(done.to_owned(), now));
        }
    }

    /// Puts the booking before an operator, anew when the step or the reason is another.
    async fn show_stuck(&mut self, step: &'static str, reason: Option<String>) {
        let shown = self.ctx.state(|booking| {
            let row = &booking.progress().row;
            row.stuck_step.as_deref() == Some(step) && row.stuck_reason == reason
        });
        if shown {
            return;
        }
        self.advance(|row, now| {
            stage::STUCK.clone_into(&mut row.stage);
            row.times.entry(stage::STUCK.to_owned()).or_insert(now);
            (row.stuck_step, row.stuck_reason) = (Some(step.to_owned()), reason);
            (row.waiting_for, row.deadline_at) = (Some(Party::Operator), None);
        })
        .await;
    }
}
