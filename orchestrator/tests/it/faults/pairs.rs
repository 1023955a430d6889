//! Every two things that people and clocks may do to a rental, one after the other, at every stage of it.

use super::case::{Case, Outcome, Road, ending, settle};
use crate::world::{Kind, Reply, World};
use chrono::{DateTime, Utc};
use dev::simulator::faults::Fault;
use futures::{FutureExt, future::LocalBoxFuture};
use serde_json::Value;
use std::time::Duration;
use workflows::saga::Limits;

/// A deadline that passes while a test waits for it, and not before it has done what comes first.
const SOON: Duration = Duration::from_millis(1_500);

/// Where the rental is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It asks for the book.
    Requested,
    /// It asks for the money.
    Held,
    /// It waits for a decision.
    Paid,
    /// It is lent.
    Approved,
    /// It gives the money back.
    Undoing,
    /// It cannot.
    Stuck,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Cancel,
    Approve,
    Reject,
    /// The limit of the stage passes: of the step, or of the decision.
    Deadline,
}

impl Stage {
    pub const ALL: &'static [Self] =
        &[Self::Requested, Self::Held, Self::Paid, Self::Approved, Self::Undoing, Self::Stuck];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Held => "held",
            Self::Paid => "paid",
            Self::Approved => "approved",
            Self::Undoing => "undoing",
            Self::Stuck => "stuck",
        }
    }

    /// What keeps it there while both acts are done.
    const fn kept_by(self) -> Option<&'static str> {
        match self {
            Self::Requested => Some("catalog.hold"),
            Self::Held => Some("payment.charge"),
            Self::Undoing => Some("payment.refund"),
            Self::Paid | Self::Approved | Self::Stuck => None,
        }
    }

    const fn has_a_deadline(self) -> bool {
        matches!(self, Self::Requested | Self::Held | Self::Paid)
    }
}

impl Act {
    pub const ALL: &'static [Self] = &[Self::Cancel, Self::Approve, Self::Reject, Self::Deadline];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Deadline => "deadline",
        }
    }
}

/// Every pair that makes sense at a stage.
pub fn pairs(stage: Stage) -> Vec<(Act, Act)> {
    let sensible = |act: &&Act| **act != Act::Deadline || stage.has_a_deadline();
    let acts: Vec<Act> = Act::ALL.iter().filter(sensible).copied().collect();
    let all = acts.iter().flat_map(|first| acts.iter().map(|second| (*first, *second)));
    all.filter(|pair| *pair != (Act::Deadline, Act::Deadline)).collect()
}

pub fn cases() -> Vec<Box<dyn Case>> {
    let all = Stage::ALL.iter().flat_map(|stage| {
        let case = |(first, second)| Box::new(PairCase { stage: *stage, first, second }) as Box<dyn Case>;
        pairs(*stage).into_iter().map(case)
    });
    all.collect()
}

/// What a case of a pair is called.
pub fn name(stage: Stage, first: Act, second: Act) -> String {
    format!("{}: {}, then {}", stage.name(), first.name(), second.name())
}

struct PairCase {
    stage: Stage,
    first: Act,
    second: Act,
}

impl Case for PairCase {
    fn name(&self) -> String {
        name(self.stage, self.first, self.second)
    }

    fn play(&self, road: Road) -> LocalBoxFuture<'_, Outcome> {
        self.play(road).boxed_local()
    }
}

impl PairCase {
    async fn play(&self, road: Road) -> Outcome {
        let world = World::new();
        let book = world.book().await;
        let opening = world.opening(book, self.limits(road));
        let id = opening.booking.to_string();
        if let Some(activity) = self.stage.kept_by() {
            world.worker_fault(&id, activity, None, Kind::HoldBefore).await;
        }
        world.begin(opening).await;
        self.reach(&world, book, &id).await;

        let there = world.booking(&id).await;
        let first = act(&world, book, &there, self.first).await;
        let second = act(&world, book, &there, self.second).await;
        world.lift(&id).await;
        world.no_faults().await;

        let booking = self.end(&world, &id).await;
        Outcome { ending: format!("{first}, {second}: {}", ending(&booking)), booking: id }
    }

    fn limits(&self, road: Road) -> Limits {
        let limited = [self.first, self.second].contains(&Act::Deadline);
        match self.stage {
            Stage::Requested | Stage::Held if limited => Limits { step: SOON, ..road.limits() },
            Stage::Paid if limited => Limits { decision: SOON, ..road.limits() },
            _ => road.limits(),
        }
    }

    async fn reach(&self, world: &World, book: i64, id: &str) {
        let at = |stage: &'static str| move |booking: &Value| booking["stage"] == stage;
        match self.stage {
            Stage::Requested | Stage::Held => {}
            Stage::Paid | Stage::Approved | Stage::Undoing | Stage::Stuck => {
                world.until(id, "paid", at("paid")).await;
            }
        }
        match self.stage {
            Stage::Approved => drop(world.decide(book, id, "approve").await.assert_status(200)),
            Stage::Undoing => drop(world.decide(book, id, "reject").await.assert_status(202)),
            Stage::Stuck => {
                world.fault(Fault { refuse_refunds: true, ..Fault::default() }).await;
                world.decide(book, id, "reject").await.assert_status(202);
            }
            Stage::Requested | Stage::Held | Stage::Paid => {}
        }
        world.until(id, self.stage.name(), at(self.stage.name())).await;
    }

    /// A book that is lent is brought back in the end.
    async fn end(&self, world: &World, id: &str) -> Value {
        let over = |booking: &Value| booking["ending"].is_string() || booking["waiting_for"].is_string();
        let booking = world.until(id, "over, or somebody's turn", over).await;
        if booking["stage"] == "paid" {
            // Nothing that was said decided it.
            world.cancel(id).await;
        } else if booking["stage"] == "approved" {
            world.bring_back(id).await.assert_status(200);
        }
        settle(world, id).await
    }
}

/// Does it, and says what was answered: *heard*, or the code of the refusal. `there` is the booking when it reached the
/// stage.
async fn act(world: &World, book: i64, there: &Value, act: Act) -> String {
    let id = there["id"].as_str().unwrap();
    let heard = |reply: Reply| {
        if reply.status.is_success() { "heard".to_owned() } else { reply.body["code"].as_str().unwrap().to_owned() }
    };
    match act {
        Act::Cancel => heard(world.cancel(id).await),
        Act::Approve | Act::Reject => heard(world.decide(book, id, act.name()).await),
        Act::Deadline => {
            passed(world, there).await;
            "passed".to_owned()
        }
    }
}

/// Waits until the limit of the stage has passed: a person's deadline is over, or the story has gone on without its step.
async fn passed(world: &World, there: &Value) {
    let deadline: Option<DateTime<Utc>> = there["deadline_at"].as_str().map(|at| at.parse().unwrap());
    let over = |booking: &Value| match deadline {
        Some(deadline) => deadline < Utc::now() && booking["stage"] != "paid",
        None => booking["version"] != there["version"],
    };
    world.until(there["id"].as_str().unwrap(), "past its limit", over).await;
}
