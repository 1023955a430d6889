//! The saga kit by itself: a made-up saga on the real engine, whose steps and undos this test answers.

use crate::world::World;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use temporalio_client::{WorkflowGetResultOptions, WorkflowStartOptions};
use temporalio_common::ActivityDefinition;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    Runtime, Worker, WorkerOptions,
    activities::{ActivityContext, ActivityError},
};
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Ending, Item},
    contracts::{Answer, Contract, Due, Duty, Move, No, Settled, Stake, Undo},
    saga::{self, Booking, Forward, Limits, Opening, Progress, Saga, Stop, Turn, Undoable, stage},
};

const QUEUE: &str = "kit-test";

/// An answer that is always yes.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Yes;

impl Answer for Yes {
    type Granted = ();

    fn granted(self) -> Result<(), No> {
        Ok(())
    }
}

macro_rules! contracts {
    ($($step:ident $name:literal, $undo:ident $undo_name:literal after $after:expr;)*) => { $(
        #[derive(Clone, Copy)]
        pub struct $step;
        impl ActivityDefinition for $step {
            type Input = Due;
            type Output = Yes;
            fn name(&self) -> &str { $name }
        }
        impl Contract for $step {
            const NAME: &'static str = $name;
            const QUEUE: &'static str = QUEUE;
            const ATTEMPT: Duration = Duration::from_secs(5);
        }
        #[derive(Clone, Copy, Default)]
        pub struct $undo;
        impl ActivityDefinition for $undo {
            type Input = Due;
            type Output = Settled;
            fn name(&self) -> &str { $undo_name }
        }
        impl Contract for $undo {
            const NAME: &'static str = $undo_name;
            const QUEUE: &'static str = QUEUE;
            const ATTEMPT: Duration = Duration::from_secs(5);
        }
        impl Duty for $undo {
            const STAKE: Stake = Stake::Nothing;
            const MOVES: &'static [Move] = &[];
        }
        impl Undo for $undo {
            const AFTER: &'static [&'static str] = $after;
            const DONE: &'static str = $undo_name;
        }
    )* };
}

contracts! {
    Room "kit.room", LeaveRoom "kit.leave-room" after &["kit.take-money-back"];
    Badge "kit.badge", TakeBadgeBack "kit.take-badge-back" after &[];
    Money "kit.money", TakeMoneyBack "kit.take-money-back" after &[];
}

/// Room, badge and money, and then it turns back.
#[workflow]
struct Trip {
    opening: Opening,
    progress: Progress,
}

impl Booking for Trip {
    const SYSTEM: &'static str = "kit";
    const WORKFLOW: &'static str = "kit.trip";
    const NOUN: &'static str = "Trip";
    const STAGES: &'static [&'static str] = &[];
    const ACCEPTED: &'static str = stage::REQUESTED;
    const TURNS: &'static [Turn] = &[];
    const UNDOABLE_STEPS: &'static [Undoable<Self>] = &[
        Undoable::of::<Room, LeaveRoom>(),
        Undoable::of::<Badge, TakeBadgeBack>(),
        Undoable::of::<Money, TakeMoneyBack>(),
    ];
    const FORWARD_STEPS: &'static [&'static str] = &[];
    const ANNOUNCED: &'static [&'static str] = &[];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

#[workflow_methods]
impl Trip {
    #[init]
    fn new(_: &WorkflowContextView, opening: Opening) -> Self {
        Self { progress: Progress::new(&opening), opening }
    }

    #[run(name = "kit.trip")]
    async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let due = Due::of(ctx.state(|trip| trip.opening.booking));
        let there_and_back = async |saga: &mut Saga<Self>| {
            saga.step(Room, due.clone(), LeaveRoom).await?;
            saga.step(Badge, due.clone(), TakeBadgeBack).await?;
            saga.step(Money, due, TakeMoneyBack).await?;
            Err(Stop::because("changed_our_minds"))
        };
        saga::tell(ctx, there_and_back, async |_: &mut Forward<'_, Self>| {}).await
    }
}

/// What was done, in order, and what fails how often before it is done.
#[derive(Default)]
struct Script {
    done: Mutex<Vec<&'static str>>,
    failures: Mutex<HashMap<&'static str, u32>>,
}

impl Script {
    fn perform(&self, name: &'static str) -> Result<(), ActivityError> {
        if let Some(left) = self.failures.lock().unwrap().get_mut(name).filter(|left| **left > 0) {
            *left -= 1;
            return Err(anyhow::anyhow!("not yet").into());
        }
        self.done.lock().unwrap().push(name);
        Ok(())
    }
}

mod answers {
    #![expect(dead_code, reason = "the SDK's macro makes a constant of each activity")]
    #![expect(clippy::unused_async, reason = "activities are asynchronous, also where they only write down")]

    use super::{
        ActivityContext, ActivityError, Arc, Badge, Due, LeaveRoom, Money, Room, Script, Settled, TakeBadgeBack,
        TakeMoneyBack, Yes, activities,
    };

    pub(super) struct Answers(pub(super) Arc<Script>);

    #[activities]
    impl Answers {
        #[activity(definition = Room)]
        async fn room(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Yes, ActivityError> {
            self.0.perform("room").map(|()| Yes)
        }

        #[activity(definition = Badge)]
        async fn badge(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Yes, ActivityError> {
            self.0.perform("badge").map(|()| Yes)
        }

        #[activity(definition = Money)]
        async fn money(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Yes, ActivityError> {
            self.0.perform("money").map(|()| Yes)
        }

        #[activity(definition = LeaveRoom)]
        async fn leave_room(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Settled, ActivityError> {
            self.0.perform("room left").map(|()| Settled::Done)
        }

        #[activity(definition = TakeBadgeBack)]
        async fn take_badge_back(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Settled, ActivityError> {
            self.0.perform("badge back").map(|()| Settled::Done)
        }

        #[activity(definition = TakeMoneyBack)]
        async fn take_money_back(self: Arc<Self>, _: ActivityContext, _b: Due) -> Result<Settled, ActivityError> {
            self.0.perform("money back").map(|()| Settled::Done)
        }
    }
}

/// Plays a trip, and gives back what was done in which order.
async fn trip(failures: &[(&'static str, u32)]) -> Vec<&'static str> {
    let world = World::new();
    let temporal = world.temporal().await;
    let script = Arc::new(Script { failures: Mutex::new(failures.iter().copied().collect()), ..Script::default() });
    // A queue of sagas for each trip, and one worker that answers for both.
    let options = WorkerOptions::new(QUEUE)
        .register_workflow::<Trip>()
        .unwrap()
        .register_activities(answers::Answers(script.clone()))
        .build();
    let runtime = Runtime::from_current_tokio(temporalio_sdk::runtime::RuntimeOptions::default()).unwrap();
    let mut worker = Worker::new(&runtime, temporal.clone(), options).unwrap();
    let stop = worker.shutdown_handle();

    let limits = Limits {
        round: Duration::from_millis(700),
        pause_max: Duration::from_millis(100),
        undo_patience: Duration::from_millis(300),
        ..Limits::default()
    };
    let item = Item { system: "kit".to_owned(), number: 1 };
    let opening = Opening::new(BookingId(Uuid::now_v7()), world.member.subject.parse().unwrap(), item, limits);
    let id = opening.booking.to_string();
    let play = async {
        let options = WorkflowStartOptions::new(QUEUE, opening.workflow_id()).build();
        let handle = temporal.start_workflow(Trip::run, opening, options).await.unwrap();
        let ending = handle.get_result(WorkflowGetResultOptions::default()).await.unwrap();
        assert_eq!(ending, Ending::Undone { reason: "changed_our_minds".to_owned() });
        stop();
    };
    let (outcome, ()) = tokio::join!(worker.run(), play);
    outcome.unwrap();

    // This worker cannot write to the board itself: every row went by the far road, and none is missing.
    let booking = world.booking(&id).await;
    let versions: Vec<_> =
        booking["timeline"].as_array().unwrap().iter().map(|change| change["version"].as_i64()).collect();
    assert_eq!(versions, (1..=versions.len()).map(|version| i64::try_from(version).ok()).collect::<Vec<_>>());
    assert_eq!(booking["ending"], "undone");
    let mut done = script.done.lock().unwrap().clone();
    // An engine that has not heard of a step in time has it done again: at least once, and in this order.
    done.dedup();
    done
}

/// One test: the trips share a queue, so they take turns.
#[tokio::test]
async fn undos_run_newest_first_and_one_that_fails_holds_back_only_what_depends_on_it() {
    let done = trip(&[]).await;
    assert_eq!(done, ["room", "badge", "money", "money back", "badge back", "room left"]);

    // Long enough for it to be shown as stuck on the way.
    let done = trip(&[("money back", 8)]).await;
    assert_eq!(done, ["room", "badge", "money", "badge back", "money back", "room left"]);

    let done = trip(&[("badge back", 4)]).await;
    assert_eq!(done, ["room", "badge", "money", "money back", "room left", "badge back"]);
}
