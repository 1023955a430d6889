//! Every step and every undo, with every fault.

use super::case::{Case, Outcome, ending, settle};
use crate::world::{Kind, World};
use dev::simulator::faults::{After, Fault as ProviderFault, Operation};
use futures::{FutureExt, future::LocalBoxFuture};
use serde_json::json;
use std::time::Duration;
use workflows::{
    rental::Rental,
    saga::{Booking, Limits},
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
            Place::Undo => "undo",
            Place::Forward => "after the point of no return",
        };
        format!("{} ({place})", self.activity)
    }

    fn is_about_money(self) -> bool {
        self.activity.starts_with("payment.")
    }
}

/// Everything a saga declares.
pub fn targets<B: Booking>() -> Vec<Target> {
    let declared = B::UNDOABLE_STEPS;
    let steps = declared.iter().map(|step| Target { activity: step.step, place: Place::Step });
    let undos = declared.iter().map(|step| Target { activity: step.undo, place: Place::Undo });
    let forward = B::FORWARD_STEPS.iter().map(|activity| Target { activity, place: Place::Forward });
    steps.chain(undos).chain(forward).collect()
}

pub fn cases() -> Vec<Box<dyn Case>> {
    let all = targets::<Rental>().into_iter().flat_map(|target| {
        let faults = Fault::ALL.iter().filter(move |fault| fault.applies(target));
        faults.map(move |fault| Box::new(StepCase { target, fault: *fault }) as Box<dyn Case>)
    });
    all.collect()
}

/// What a case of a step is called.
pub fn name(target: Target, fault: Fault) -> String {
    format!("{}, {}", target.name(), fault.name())
}

struct StepCase {
    target: Target,
    fault: Fault,
}

impl Case for StepCase {
    fn name(&self) -> String {
        name(self.target, self.fault)
    }

    fn play(&self) -> LocalBoxFuture<'_, Outcome> {
        self.play().boxed_local()
    }
}

impl StepCase {
    async fn play(&self) -> Outcome {
        let world = World::new();
        let book = world.book_at(self.price()).await;
        let opening = world.opening(book, self.limits());
        let id = opening.booking.to_string();
        self.prepare(&world, book, &id).await;
        world.begin(opening).await;

        self.drive(&world, book, &id).await;
        let booking = settle(&world, &id).await;
        assert!(self.came_about(&world, &id).await, "the fault never came about: {booking:#}");
        Outcome { ending: ending(&booking), booking: id }
    }

    fn limits(&self) -> Limits {
        match (self.fault, self.target.place) {
            (Fault::TimeoutBefore | Fault::TimeoutAfter | Fault::UndoFirst, Place::Step) => {
                Limits { step: GIVEN_UP_AFTER, ..Limits::default() }
            }
            (Fault::TimeoutBefore | Fault::TimeoutAfter, _) => Limits { round: GIVEN_UP_AFTER, ..Limits::default() },
            _ => Limits::default(),
        }
    }

    fn price(&self) -> i64 {
        let declined = self.fault == Fault::Refused && self.target.place == Place::Step && self.target.is_about_money();
        if declined { DECLINED } else { 3000 }
    }

    /// Sets the fault up before the booking begins.
    async fn prepare(&self, world: &World, book: i64, id: &str) {
        let (once, twice, always) = (Some(1), Some(2), None);
        let refusal = || Kind::Answer(json!({ "answer": "refused", "reason": "refused_on_demand" }));
        let (times, kind) = match (self.fault, self.target.place) {
            (Fault::Refused, Place::Step) if self.target.is_about_money() => return,
            (Fault::Refused, Place::Step) => {
                assert_eq!(self.target.activity, "catalog.hold", "say here how it comes to be refused");
                World::new().rent(book).await.assert_status(201);
                return;
            }
            (Fault::Refused, _) => (once, refusal()),
            (Fault::ErrorBefore, _) => (twice, Kind::FailBefore),
            (Fault::ErrorAfter, _) => (twice, Kind::FailAfter),
            (Fault::TimeoutBefore, Place::Step) => (always, Kind::GoneBefore),
            (Fault::TimeoutBefore | Fault::WorkerGoneBefore, _) => (once, Kind::GoneBefore),
            (Fault::TimeoutAfter, Place::Step) => (always, Kind::HoldAfter),
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
            Place::Step => Operation::Charge,
            Place::Undo | Place::Forward => Operation::Refund,
        };
        ProviderFault { operation: Some(operation), times: Some(1), ..ProviderFault::default() }
    }

    /// Takes the booking where it meets the fault, and on to its end.
    async fn drive(&self, world: &World, book: i64, id: &str) {
        let past_payment = |booking: &serde_json::Value| booking["stage"] == "paid" || booking["ending"].is_string();
        let booking = world.until(id, "paid, or ended", past_payment).await;
        if booking["ending"].is_string() {
            return;
        }
        if self.target.place == Place::Undo {
            let heard = world.decide(book, id, "reject").await.status;
            assert!(heard.is_success(), "{heard}");
            return;
        }
        let heard = world.decide(book, id, "approve").await.status;
        assert!(heard.is_success(), "{heard}");
        let heard = world.bring_back(id).await.status;
        assert!(heard.is_success(), "{heard}");
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
