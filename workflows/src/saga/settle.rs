//! What must be done is done: undos, and steps after the point of no return.
//!
//! In rounds. Each round asks for everything that is open, newest first, in bounded bursts of attempts. What cannot be
//! done is parked and holds back only what depends on it. Between two rounds there is a pause, which an operator's move
//! cuts short; it is never one activity with an endless back-off, which nobody could reach. A cancellation cuts nothing
//! short: there is nothing left to turn back.

use super::{
    Booking, Outcome, Saga, detached,
    operator::{OpenTask, Pending},
    road, stage,
};
use crate::{
    booking::Party,
    contracts::{ByHand, Due, Duty, Move, Settled, Stake, Undo},
};
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;
use std::time::Duration;
use temporalio_workflow::{TimerOptions, WorkflowCancellationToken, WorkflowContext, workflows::select};

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
    /// Why it was refused when it was last asked for without one.
    refused: Option<String>,
}

/// What a round has come to.
#[derive(Default)]
struct Round {
    /// Still open.
    open: Vec<Task>,
    /// What each step was answered that was asked for.
    answers: Vec<(&'static str, Option<Settled>)>,
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
                road::ask(&ctx, D::default(), Due { booking, by_hand }, round, async || {}).await.ok()
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
        while !open.is_empty() {
            self.take_up(&mut open).await;
            let round = self.round(open).await;
            open = round.open;
            self.show_open(&open);
            self.conclude(&round.answers, &open).await;
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
        self.ctx.state_mut(|booking| {
            let interventions = &mut booking.progress_mut().interventions;
            interventions.attempts = 0;
            // Said while the last of it was being done.
            if let Some(Pending { mut audit, .. }) = interventions.pending.take() {
                audit.outcome = Some(Outcome::NotNeeded);
                interventions.tell(audit);
            }
        });
    }

    /// Asks once for everything that nothing parked holds back.
    async fn round(&mut self, open: Vec<Task>) -> Round {
        let mut round = Round::default();
        for mut task in open {
            if round.open.iter().any(|earlier| task.after.contains(&earlier.name)) {
                round.open.push(task);
                continue;
            }
            let answer = (task.ask)(task.by_hand.clone()).await;
            match &answer {
                Some(Settled::Done) => self.time(task.done),
                Some(Settled::GivenUp) => self.time(Some(WRITTEN_OFF)),
                // An operator's word counts once: after that it is asked for as before.
                Some(Settled::Refused { .. }) if task.by_hand.take().is_some() => {}
                Some(Settled::Refused { reason }) => task.refused = Some(reason.clone()),
                Some(Settled::Nothing) | None => {}
            }
            round.answers.push((task.name, answer.clone()));
            if matches!(answer, Some(Settled::Refused { .. }) | None) {
                round.open.push(task);
            }
        }
        round
    }

    /// Lets the pause between two rounds pass, unless an operator says something.
    async fn pause(&self, took: TimeDelta) {
        let part = (took / PAUSE_PART).to_std().unwrap_or_default();
        let pause = part.max(PAUSE_MIN).min(self.limits.pause_max);
        let said = |booking: &B| {
            let pending = booking.progress().interventions.pending.as_ref();
            pending.is_some_and(|pending| !pending.taken_up)
        };
        let mut said = std::pin::pin!(self.ctx.wait_condition_with_options(said, detached()));
        let alarm = WorkflowCancellationToken::new();
        let options = TimerOptions::builder(pause).cancellation_token(alarm.clone()).summary("next attempt".to_owned());
        let mut timer = self.ctx.timer(options.build());
        select! {
            _ = said => alarm.cancel(),
            _ = timer => {}
        }
    }

    /// Takes what an operator has said to the step it is about, once the board has its record: no move without one.
    async fn take_up(&mut self, open: &mut Vec<Task>) {
        let now = self.now();
        let heard = self.ctx.state_mut(|booking| {
            let interventions = &mut booking.progress_mut().interventions;
            let pending = interventions.pending.as_mut().filter(|pending| !pending.taken_up)?;
            (pending.taken_up, pending.audit.at) = (true, now);
            let audit = pending.audit.clone();
            interventions.tell(audit.clone());
            Some(audit)
        });
        let Some(audit) = heard else { return };
        self.publish().await;
        self.see(|booking| booking.progress().interventions.unpublished.is_empty()).await;

        // It may have been done, or refused, since that was said.
        let Some(place) = open.iter().position(|task| task.name == audit.step) else { return };
        let kind = audit.intervention.action.kind();
        if kind != Move::Skip {
            open[place].by_hand = audit.intervention.action.by_hand();
        } else if open[place].refused.is_none() && open[place].moves.contains(&kind) {
            open.remove(place);
            self.time(Some(SKIPPED));
        }
    }

    /// Writes down what came of what an operator said, and shows that something has happened.
    async fn conclude(&mut self, answers: &[(&'static str, Option<Settled>)], open: &[Task]) {
        let shown = self.ctx.state_mut(|booking| {
            let progress = booking.progress_mut();
            let pending = progress.interventions.pending.as_ref().filter(|pending| pending.taken_up)?;
            let mut audit = pending.audit.clone();
            let task = open.iter().find(|task| task.name == audit.step);
            if task.is_some_and(|task| task.by_hand.is_some()) {
                // Not answered yet: it is asked for with the same word again.
                return None;
            }
            let answer = answers.iter().find(|(step, _)| *step == audit.step).and_then(|(_, answer)| answer.as_ref());
            audit.outcome = Some(match (task, answer, audit.intervention.action.kind()) {
                (None, None, Move::Skip) | (None, Some(Settled::Done | Settled::GivenUp), _) => Outcome::Done,
                (None, ..) => Outcome::NotNeeded,
                (Some(_), _, Move::Skip) => Outcome::Refused { reason: "move_not_allowed".to_owned() },
                (Some(_), Some(Settled::Refused { reason }), _) => Outcome::Refused { reason: reason.clone() },
                (Some(_), ..) => Outcome::NoAnswer,
            });
            audit.after = progress.stuck();
            progress.interventions.pending = None;
            progress.interventions.tell(audit);
            Some(progress.stuck())
        });
        // What ends here is shown by what follows.
        if let Some(Some(stuck)) = shown {
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

    /// Puts something on the timeline.
    fn time(&self, what: Option<&str>) {
        let now = self.now();
        if let Some(what) = what {
            self.ctx.state_mut(|booking| booking.progress_mut().row.times.insert(what.to_owned(), now));
        }
    }
}
