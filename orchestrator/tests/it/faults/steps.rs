//! Every step and every undo, with every fault.

use super::case::{Case, Outcome, Road, ending, settle};
use crate::{
    play::{self, Until},
    world::{Kind, World},
};
use dev::simulator::faults::{After, Fault as ProviderFault, Operation};
use futures::{FutureExt, future::LocalBoxFuture};
use orchestrator::host;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;
use workflows::{
    booking::BookingId,
    saga::{Limits, Opening},
};

/// A step that takes longer than this is given up by its saga, in the cases that are about that.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);
/// A provider that takes effect after this time has been given up by its worker before.
const PROVIDER_LATE_MS: u64 = 9_500;
/// The price that every card is declined for.
const DECLINED: i64 = 40_200;

/// Where a story meets an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the point of no return.
    Step,
    /// Before the point of no return, with nothing to undo.
    Ask,
    /// On the way back.
    Undo,
    /// After the point of no return.
    Forward,
}

/// What can go wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Refused,
    ErrorBefore,
    ErrorAfter,
    TimeoutBefore,
    TimeoutAfter,
    AnswerLost,
    ProviderLate,
    RunTwice,
    UndoFirst,
    WorkerGoneBefore,
    WorkerGoneAfter,
}

impl Fault {
    pub const ALL: &'static [Self] = &[
        Self::Refused,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::TimeoutBefore,
        Self::TimeoutAfter,
        Self::AnswerLost,
        Self::ProviderLate,
        Self::RunTwice,
        Self::UndoFirst,
        Self::WorkerGoneBefore,
        Self::WorkerGoneAfter,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ErrorBefore => "error before effect",
            Self::ErrorAfter => "error after effect",
            Self::TimeoutBefore => "timeout before effect",
            Self::TimeoutAfter => "timeout after effect",
            Self::AnswerLost => "answer lost",
            Self::ProviderLate => "provider late",
            Self::RunTwice => "run twice at once",
            Self::UndoFirst => "undo runs first",
            Self::WorkerGoneBefore => "worker gone before effect",
            Self::WorkerGoneAfter => "worker gone after effect",
        }
    }

    /// What an undo would be undone by, what is past undoing, and a provider where there is none, are no cases.
    fn applies(self, target: Target) -> bool {
        match self {
            // How it comes to be refused is its worker's business; what it is told then, each system's own test shows.
            Self::Refused => target.place != Place::Ask && (target.place != Place::Step || target.can_be_refused()),
            Self::UndoFirst => target.place == Place::Step,
            Self::ProviderLate => target.is_about_money(),
            _ => true,
        }
    }
}

/// An activity where a story meets it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub activity: &'static str,
    pub place: Place,
}

impl Target {
    pub fn name(self) -> String {
        let place = match self.place {
            Place::Step => "step",
            Place::Ask => "step without an undo",
            Place::Undo => "undo",
            Place::Forward => "after the point of no return",
        };
        format!("{} ({place})", self.activity)
    }

    /// Of a step: is there somebody else who may have it, or a card that may be declined?
    fn can_be_refused(self) -> bool {
        self.activity == "catalog.hold" || self.is_about_money()
    }

    fn is_about_money(self) -> bool {
        self.activity.starts_with("payment.")
    }
}

/// Everything a saga declares.
pub fn targets(kind: &host::Kind) -> Vec<Target> {
    let declared = (kind.undoable)();
    let steps = declared.iter().map(|(step, _)| Target { activity: step, place: Place::Step });
    let asked = kind.asked.iter().map(|activity| Target { activity, place: Place::Ask });
    let undos = declared.iter().map(|(_, undo)| Target { activity: undo, place: Place::Undo });
    let forward = kind.forward.iter().map(|activity| Target { activity, place: Place::Forward });
    steps.chain(asked).chain(undos).chain(forward).collect()
}

pub fn cases() -> Vec<Box<dyn Case>> {
    let all = host::SAGAS.iter().flat_map(|kind| {
        targets(kind).into_iter().flat_map(move |target| {
            let faults = Fault::ALL.iter().filter(move |fault| fault.applies(target));
            faults.map(move |fault| Box::new(StepCase { kind, target, fault: *fault }) as Box<dyn Case>)
        })
    });
    all.collect()
}

/// What a case of a step is called.
pub fn name(kind: &host::Kind, target: Target, fault: Fault) -> String {
    format!("{}: {}, {}", kind.system, target.name(), fault.name())
}

struct StepCase {
    kind: &'static host::Kind,
    target: Target,
    fault: Fault,
}

impl Case for StepCase {
    fn name(&self) -> String {
        name(self.kind, self.target, self.fault)
    }

    fn play(&self, road: Road) -> LocalBoxFuture<'_, Outcome> {
        self.play(road).boxed_local()
    }
}

impl StepCase {
    async fn play(&self, road: Road) -> Outcome {
        let world = World::new();
        let opening = play::opening(&world, self.kind, self.price(), self.limits(road)).await;
        let id = opening.booking.to_string();
        self.prepare(&world, &opening).await;
        world.begin_of(self.kind.system, opening).await;

        let until = if self.target.place == Place::Undo { Until::Cancelled } else { Until::Completed };
        play::play(&world, self.kind, &id, until).await;
        let booking = settle(&world, &id).await;
        assert!(self.came_about(&world, &id).await, "the fault never came about: {booking:#}");
        Outcome { ending: ending(&booking), booking: id }
    }

    fn limits(&self, road: Road) -> Limits {
        match (self.fault, self.target.place) {
            (Fault::TimeoutBefore | Fault::TimeoutAfter | Fault::UndoFirst, Place::Step | Place::Ask) => {
                Limits { step: GIVEN_UP_AFTER, ..road.limits() }
            }
            (Fault::TimeoutBefore | Fault::TimeoutAfter, _) => Limits { round: GIVEN_UP_AFTER, ..road.limits() },
            _ => road.limits(),
        }
    }

    fn price(&self) -> i64 {
        let declined = self.fault == Fault::Refused && self.target.place == Place::Step && self.target.is_about_money();
        if declined { DECLINED } else { 3000 }
    }

    /// Sets the fault up before the booking begins.
    async fn prepare(&self, world: &World, opening: &Opening) {
        let id = &opening.booking.to_string();
        let (once, twice, always) = (Some(1), Some(2), None);
        let refusal = || Kind::Answer(json!({ "answer": "refused", "reason": "refused_on_demand" }));
        let (times, kind) = match (self.fault, self.target.place) {
            (Fault::Refused, Place::Step) if self.target.is_about_money() => return,
            (Fault::Refused, Place::Step) => {
                assert_eq!(self.target.activity, "catalog.hold", "say here how it comes to be refused");
                // Somebody else has it already; and there is another that is free, where that is asked first.
                let other = World::new();
                world.item_in(self.kind.system, self.price()).await;
                let mut first = opening.clone();
                first.booking = BookingId(Uuid::now_v7());
                first.customer = other.member.subject.parse().unwrap();
                let first = other.begin_of(self.kind.system, first).await;
                let before_the_last = &self.kind.turns[0][..self.kind.turns[0].len() - 1];
                for turn in before_the_last {
                    other.at_stage(&first, turn.stage).await;
                    play::say(&other, &first, turn.says[0].word, turn.says[0].needs, turn.party).await;
                }
                other.until(&first, "held", |booking| booking["times"]["held"].is_string()).await;
                return;
            }
            (Fault::Refused, _) => (once, refusal()),
            (Fault::ErrorBefore, _) => (twice, Kind::FailBefore),
            (Fault::ErrorAfter, _) => (twice, Kind::FailAfter),
            (Fault::TimeoutBefore, Place::Step | Place::Ask) => (always, Kind::GoneBefore),
            (Fault::TimeoutBefore | Fault::WorkerGoneBefore, _) => (once, Kind::GoneBefore),
            (Fault::TimeoutAfter, Place::Step | Place::Ask) => (always, Kind::HoldAfter),
            (Fault::TimeoutAfter, _) => (once, Kind::HoldAfter),
            (Fault::AnswerLost, _) if self.target.is_about_money() => {
                return world.fault(ProviderFault { after: Some(After::DropReply), ..self.provider_fault() }).await;
            }
            (Fault::ProviderLate, _) => {
                let late = Some((PROVIDER_LATE_MS, PROVIDER_LATE_MS));
                return world.fault(ProviderFault { delay_ms: late, ..self.provider_fault() }).await;
            }
            // The answer of its own database: the worker hears an error after the effect.
            (Fault::AnswerLost, _) => (once, Kind::FailAfter),
            (Fault::RunTwice, _) => (once, Kind::UntilRepeated),
            (Fault::UndoFirst, _) => (always, Kind::HoldBefore),
            (Fault::WorkerGoneAfter, _) => (once, Kind::GoneAfter),
        };
        world.worker_fault(id, self.target.activity, times, kind).await;
    }

    /// Something that goes wrong at the provider, once.
    fn provider_fault(&self) -> ProviderFault {
        let operation = match self.target.place {
            Place::Step | Place::Ask => Operation::Charge,
            Place::Undo | Place::Forward => Operation::Refund,
        };
        ProviderFault { operation: Some(operation), times: Some(1), ..ProviderFault::default() }
    }

    async fn came_about(&self, world: &World, id: &str) -> bool {
        match (self.fault, self.target.place) {
            // It shows in the ending.
            (Fault::Refused, Place::Step) => world.booking(id).await["ending"] == "undone",
            (Fault::ProviderLate, _) => world.provider_faults().await.left == 0,
            (Fault::AnswerLost, _) if self.target.is_about_money() => world.provider_faults().await.left == 0,
            (Fault::RunTwice | Fault::WorkerGoneBefore | Fault::WorkerGoneAfter, _) => world.met(id).await.0 == 1,
            _ => world.met(id).await.0 >= 1,
        }
    }
}
