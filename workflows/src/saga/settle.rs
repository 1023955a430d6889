//! What must be done is done: undos, and steps after the point of no return.
//!
//! In rounds. Each round asks for everything that is open, newest first, in bounded bursts of attempts. What cannot be
//! done is parked and holds back only what depends on it. Between two rounds there is a pause, which an operator's move
//! cuts short; it is never one activity with an endless back-off, which nobody could reach. A cancellation cuts nothing
//! short: there is nothing left to turn back.

use super::{
    Audit, Booking, Intervention, Saga,
    operator::{OpenTask, is_settled},
    options, stage,
};
use crate::{
    booking::{Party, Stuck},
    contracts::{ByHand, Due, Duty, Move, Settled, Stake, Undo},
};
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;
use std::time::Duration;
use temporalio_workflow::{
    TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, workflows::select,
};

const PAUSE_MIN: Duration = Duration::from_secs(1);
/// A pause is this part of the time it has taken so far. So whoever comes back is noticed soon after a short absence, and
/// a booking that is stuck for months does not fill its history with attempts.
const PAUSE_PART: i32 = 10;
/// What the timeline says when money was given up.
const WRITTEN_OFF: &str = "written_off";
/// What the timeline says when something was left out.
const SKIPPED: &str = "skipped";

/// One thing that must be done.
pub struct Task {
    name: &'static str,
    stake: Stake,
    moves: &'static [Move],
    /// What must be done before.
    after: &'static [&'static str],
    /// What the timeline says when it is done.
    done: Option<&'static str>,
    ask: Box<dyn Fn(Option<ByHand>) -> LocalBoxFuture<'static, Option<Settled>>>,
    /// An operator's word about it, until it is answered.
    by_hand: Option<ByHand>,
    /// Why it was refused the last time it was asked for.
    refused: Option<String>,
}

impl Task {
    pub(super) fn undo<B: Booking, U: Undo>(ctx: &WorkflowContext<B>) -> Self {
        Self { after: U::AFTER, done: Some(U::DONE), ..Self::step::<B, U>(ctx) }
    }

    pub(super) fn step<B: Booking, D: Duty>(ctx: &WorkflowContext<B>) -> Self {
        let ctx = ctx.clone();
        let ask = move |by_hand| -> LocalBoxFuture<'static, Option<Settled>> {
            let ctx = ctx.clone();
            Box::pin(async move {
                let (booking, round) = ctx.state(|saga| {
                    let opening = &saga.progress().opening;
                    (opening.booking, opening.limits.round)
                });
                // No answer is the same as not yet.
                ctx.execute_activity(D::default(), Due { booking, by_hand }, options::<D>(round)).await.ok()
            })
        };
        Self {
            name: D::NAME,
            stake: D::STAKE,
            moves: D::MOVES,
            after: &[],
            done: None,
            ask: Box::new(ask),
            by_hand: None,
            refused: None,
        }
    }

    fn shown(&self) -> OpenTask {
        OpenTask { name: self.name, stake: self.stake, moves: self.moves, refused: self.refused.clone() }
    }
}

impl<B: Booking> Saga<B> {
    /// Does all of it, however long that takes.
    pub(super) async fn settle(&mut self, mut open: Vec<Task>) {
        let began = self.now();
        self.show_open(&open);
        loop {
            let (heard, before) = self.hear(&mut open);
            open = self.round(open).await;
            self.show_open(&open);
            self.write_down(heard, before).await;
            if open.is_empty() {
                break;
            }
            let took = self.now() - began;
            let refused = open.iter().any(|task| task.refused.is_some());
            if refused || took.to_std().unwrap_or_default() >= self.limits.undo_patience {
                self.show_stuck().await;
            }
            self.pause(took).await;
        }
        self.ctx.state_mut(|booking| booking.progress_mut().interventions.attempts = 0);
    }

    /// Asks once for everything that nothing parked holds back. Gives back what is still open.
    async fn round(&mut self, open: Vec<Task>) -> Vec<Task> {
        let mut parked: Vec<Task> = Vec::new();
        for mut task in open {
            if parked.iter().any(|earlier| task.after.contains(&earlier.name)) {
                parked.push(task);
                continue;
            }
            let answer = (task.ask)(task.by_hand.clone()).await;
            if is_settled(answer.as_ref()) {
                self.note(&task, answer == Some(Settled::Done));
                continue;
            }
            if let Some(Settled::Refused { reason }) = answer {
                // An operator's word counts once: what is refused is asked for as before.
                (task.refused, task.by_hand) = (Some(reason), None);
            }
            parked.push(task);
        }
        parked
    }

    /// Lets the pause between two rounds pass, unless an operator says something.
    async fn pause(&self, took: TimeDelta) {
        let part = (took / PAUSE_PART).to_std().unwrap_or_default();
        let pause = part.max(PAUSE_MIN).min(self.limits.pause_max);
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let said = |booking: &B| !booking.progress().interventions.pending.is_empty();
        let mut said = std::pin::pin!(self.ctx.wait_condition_with_options(said, detached));
        let alarm = WorkflowCancellationToken::new();
        let options = TimerOptions::builder(pause).cancellation_token(alarm.clone()).summary("next attempt".to_owned());
        let mut timer = self.ctx.timer(options.build());
        select! {
            _ = said => alarm.cancel(),
            _ = timer => {}
        }
    }

    /// Takes what operators have said to the tasks it is about.
    fn hear(&self, open: &mut Vec<Task>) -> (Vec<Intervention>, Option<Stuck>) {
        let (heard, before, at) = self.ctx.state_mut(|booking| {
            let progress = booking.progress_mut();
            let heard = std::mem::take(&mut progress.interventions.pending);
            (heard, progress.stuck(), progress.stuck_at().map(|task| task.name))
        });
        for intervention in &heard {
            let Some(place) = open.iter().position(|task| Some(task.name) == at) else { continue };
            if intervention.action.kind() == Move::Skip {
                open.remove(place);
                self.time(SKIPPED);
            } else {
                open[place].by_hand = intervention.action.by_hand();
            }
        }
        (heard, before)
    }

    /// Writes down what operators did, with what was open before and after, and shows that something has happened.
    async fn write_down(&mut self, heard: Vec<Intervention>, before: Option<Stuck>) {
        if heard.is_empty() {
            return;
        }
        let at = self.now();
        let open = self.ctx.state_mut(|booking| {
            let progress = booking.progress_mut();
            let (booking, version, after) = (progress.row.booking, progress.row.version, progress.stuck());
            for intervention in heard {
                progress.interventions.count += 1;
                let number = progress.interventions.count;
                let (before, after) = (before.clone(), after.clone());
                let audit = Audit { booking, number, version, at, intervention, before, after };
                progress.interventions.unpublished.push(audit);
            }
            after
        });
        // What ends here is shown by what follows.
        if let Some(stuck) = open {
            self.advance(|row, _| row.stuck = row.stuck.take().map(|_| stuck)).await;
        }
    }

    /// Lets operators see what is open, and counts the attempts.
    fn show_open(&self, open: &[Task]) {
        self.ctx.state_mut(|booking| {
            let interventions = &mut booking.progress_mut().interventions;
            let asked_before = !interventions.open.is_empty();
            interventions.attempts += u32::from(asked_before);
            interventions.open = open.iter().map(Task::shown).collect();
        });
    }

    /// Puts the booking before an operator, anew when the step or the reason is another.
    async fn show_stuck(&mut self) {
        let (shown, stuck) = self.ctx.state(|booking| {
            let progress = booking.progress();
            (progress.row.stuck.clone(), progress.stuck())
        });
        if shown == stuck {
            return;
        }
        self.advance(|row, now| {
            stage::STUCK.clone_into(&mut row.stage);
            row.times.entry(stage::STUCK.to_owned()).or_insert(now);
            row.stuck = stuck;
            (row.waiting_for, row.deadline_at) = (Some(Party::Operator), None);
        })
        .await;
    }

    /// Puts on the timeline what became of a task.
    fn note(&self, task: &Task, done: bool) {
        match (&task.by_hand, task.done) {
            (Some(ByHand::WrittenOff { .. }), _) if done => self.time(WRITTEN_OFF),
            (_, Some(what)) if done => self.time(what),
            _ => {}
        }
    }

    fn time(&self, what: &str) {
        let now = self.now();
        self.ctx.state_mut(|booking| booking.progress_mut().row.times.insert(what.to_owned(), now));
    }
}
