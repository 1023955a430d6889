//! What must be done is done: undos, and steps after the point of no return.
//!
//! In rounds. Each round asks for everything that is open, newest first, in bounded bursts of attempts. What cannot be
//! done is parked and holds back only what depends on it. Between two rounds there is a pause, which an operator's *retry*
//! cuts short; it is never one activity with an endless back-off, which nobody could reach.

use super::{Booking, Saga, options, settled, stage};
use crate::{
    booking::Party,
    contracts::{BookingRef, Contract, Settled, Undo},
};
use futures_util::future::LocalBoxFuture;
use std::time::Duration;
use temporalio_workflow::WorkflowContext;

const PAUSE_FIRST: Duration = Duration::from_secs(1);

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
        let patience_ends = self.now() + self.limits.undo_patience;
        let mut pause = PAUSE_FIRST.min(self.limits.pause_max);
        self.ctx.state_mut(|booking| booking.progress_mut().settling = true);
        loop {
            let asked = self.ctx.state(|booking| booking.progress().retries_asked);
            let (parked, refusal) = self.round(open).await;
            let Some(first) = parked.first() else { break };
            if refusal.is_some() || self.now() >= patience_ends {
                self.show_stuck(first.name, refusal.as_deref()).await;
            }
            open = parked;
            self.until(|booking| booking.progress().retries_asked > asked, Some(pause)).await;
            pause = (pause * 2).min(self.limits.pause_max);
        }
        self.ctx.state_mut(|booking| booking.progress_mut().settling = false);
    }

    /// Asks once for everything that nothing parked holds back. Gives back what is still open, and a refusal's reason.
    async fn round(&mut self, open: Vec<Task>) -> (Vec<Task>, Option<String>) {
        let mut parked: Vec<Task> = Vec::new();
        let mut refusal = None;
        for task in open {
            if parked.iter().any(|earlier| task.after.contains(&earlier.name)) {
                parked.push(task);
                continue;
            }
            match (task.ask)().await {
                Some(Settled::Done) => self.note(task.done),
                Some(Settled::Nothing) => {}
                Some(Settled::Refused { reason }) => {
                    refusal.get_or_insert(reason);
                    parked.push(task);
                }
                None => parked.push(task),
            }
        }
        (parked, refusal)
    }

    fn note(&self, done: Option<&'static str>) {
        let now = self.now();
        if let Some(done) = done {
            self.ctx.state_mut(|booking| booking.progress_mut().row.times.insert(done.to_owned(), now));
        }
    }

    /// Puts the booking before an operator, once for each step that it is stuck at.
    async fn show_stuck(&mut self, step: &'static str, refusal: Option<&str>) {
        let shown = self.ctx.state(|booking| booking.progress().row.stuck_step.as_deref() == Some(step));
        if shown {
            return;
        }
        let reason = refusal.map(str::to_owned);
        self.advance(|row, now| {
            stage::STUCK.clone_into(&mut row.stage);
            row.times.entry(stage::STUCK.to_owned()).or_insert(now);
            row.stuck_step = Some(step.to_owned());
            row.stuck_reason = reason;
            row.waiting_for = Some(Party::Operator);
            row.deadline_at = None;
        })
        .await;
    }
}
