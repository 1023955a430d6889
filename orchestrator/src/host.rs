//! Host: runs the sagas in this process, on the gateway's own connection, and keeps their board.

use crate::{
    board::{self, Board},
    near,
    recovery::{self, Recovery},
    worker,
};
use process::{admin::Readiness, temporal::Temporal};
use std::{num::NonZeroUsize, time::Duration};
use temporalio_common::{data_converters::DataConverter, search_attributes::SearchAttributes};
use temporalio_sdk::{
    Worker, WorkerOptions,
    runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
    workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions},
};
use tokio_util::sync::CancellationToken;
use workflows::{
    booking::BookingId,
    cinema::Cinema,
    contracts,
    matching::Matching,
    parcel::Parcel,
    recovery::Sweep,
    rental::Rental,
    resort::Resort,
    saga::{self, Booking, Limits, Opening, Turn},
    salon::Salon,
};

/// How long running tasks may finish after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How soon the bookings of an orchestrator that was killed move on elsewhere.
const STICKY: Duration = Duration::from_secs(2);
/// For each processor, unless configured otherwise. An engine that many sagas push at the same time has no time left for those
/// who ask for a new one.
const WORKFLOW_TASKS_EACH: usize = 4;
const LOCAL_ACTIVITIES_MAX: usize = 200;
const ACTIVITIES_MAX: usize = 50;

/// A kind of saga, with what it declares of itself.
#[derive(Debug)]
pub struct Kind {
    /// Its system.
    pub system: &'static str,
    /// Its workflow type.
    pub workflow: &'static str,
    /// What a booking is called in Temporal's web UI.
    pub noun: &'static str,
    /// The stages of a story that goes well, in order.
    pub stages: &'static [&'static str],
    /// What a request waits for before it is answered as accepted.
    pub accepted: &'static str,
    /// Its steps with their undos, by contract name.
    pub undoable: fn() -> Vec<(&'static str, &'static str)>,
    /// Its steps that have nothing to undo.
    pub asked: &'static [&'static str],
    /// Its steps after the point of no return.
    pub forward: &'static [&'static str],
    /// The stages that its customer is told of.
    pub announced: &'static [&'static str],
    /// Where it waits for people before the point of no return, and after it.
    pub turns: [&'static [Turn]; 2],
}

impl Kind {
    /// What a saga declares.
    #[must_use]
    pub const fn of<B: Booking>() -> Self {
        Self {
            system: B::SYSTEM,
            workflow: B::WORKFLOW,
            noun: B::NOUN,
            stages: B::STAGES,
            accepted: B::ACCEPTED,
            undoable: || B::UNDOABLE_STEPS.iter().map(|step| (step.step, step.undo)).collect(),
            asked: B::ASKED_STEPS,
            forward: B::FORWARD_STEPS,
            announced: B::ANNOUNCED,
            turns: [B::TURNS, B::FORWARD_TURNS],
        }
    }

    /// Is nothing accepted before its item is held? Then whoever comes too late can be told at once.
    #[must_use]
    pub fn holds_at_once(&self) -> bool {
        self.accepted == saga::stage::HELD
    }

    /// Where a booking of this kind waits at a stage.
    #[must_use]
    pub fn turn(&self, stage: &str) -> Option<&'static Turn> {
        self.turns.iter().copied().flatten().find(|turn| turn.stage == stage)
    }
}

/// Every saga that is run here: [`run`] registers the same.
pub static SAGAS: &[Kind] = &[
    Kind::of::<Rental>(),
    Kind::of::<Resort>(),
    Kind::of::<Cinema>(),
    Kind::of::<Matching>(),
    Kind::of::<Salon>(),
    Kind::of::<Parcel>(),
];

/// The saga of a system.
#[must_use]
pub fn kind(system: &str) -> Option<&'static Kind> {
    SAGAS.iter().find(|kind| kind.system == system)
}

/// What a workflow id stands for; `None` when it is not that of a booking.
#[must_use]
pub fn kind_of(workflow_id: &str) -> Option<(&'static Kind, BookingId)> {
    let (system, booking) = workflow_id.split_once('/')?;
    Some((kind(system)?, booking.parse().ok()?))
}

/// What a saga can be found by in Temporal's web UI, from its first moment on.
pub(crate) fn found_by(opening: &Opening) -> SearchAttributes {
    SearchAttributes::new([
        saga::BOOKING_SYSTEM.value_set(opening.item.system.clone()),
        saga::BOOKING_ITEM.value_set(opening.item.to_string()),
        saga::BOOKING_CUSTOMER.value_set(opening.customer.to_string()),
        saga::BOOKING_STAGE.value_set(saga::stage::REQUESTED.to_owned()),
    ])
}

/// Replays histories on the sagas as they are today, with payloads as they are converted here.
///
/// # Errors
/// When the replayer cannot be made.
pub fn replayer(converter: DataConverter) -> anyhow::Result<WorkflowReplayer> {
    let sagas = WorkflowReplayerOptions::new()
        .data_converter(converter)
        .register_workflow::<Rental>()?
        .register_workflow::<Resort>()?
        .register_workflow::<Cinema>()?
        .register_workflow::<Matching>()?
        .register_workflow::<Salon>()?
        .register_workflow::<Parcel>()?;
    Ok(WorkflowReplayer::new(sagas.build())?)
}

/// How many sagas think at the same time, unless configured otherwise.
#[must_use]
pub fn workflow_tasks_usual() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    processors.saturating_mul(NonZeroUsize::new(WORKFLOW_TASKS_EACH).unwrap_or(NonZeroUsize::MIN))
}

/// Runs every saga until told to stop.
///
/// # Errors
/// When the worker cannot start, or Temporal refuses it for good.
pub async fn run(
    temporal: &Temporal,
    board: Board,
    workers: &worker::Settings,
    limits: &Limits,
    workflow_tasks_max: NonZeroUsize,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let fixed = FixedSizeSlotSupplier::new;
    let slots = TunerHolder::builder()
        .workflow_task_slot_supplier(fixed(workflow_tasks_max.get()))
        .local_activity_task_slot_supplier(fixed(LOCAL_ACTIVITIES_MAX))
        .activity_task_slot_supplier(fixed(ACTIVITIES_MAX))
        .nexus_task_slot_supplier(fixed(1))
        .build();
    let options = WorkerOptions::new(contracts::board::QUEUE)
        .register_workflow::<Rental>()?
        .register_workflow::<Resort>()?
        .register_workflow::<Cinema>()?
        .register_workflow::<Matching>()?
        .register_workflow::<Salon>()?
        .register_workflow::<Parcel>()?
        .register_workflow::<Sweep>()?
        .register_activities(board::Activities::new(board.clone()))
        .register_activities(near::Activities::new(workers)?)
        .register_activities(recovery::Activities {
            recovery: Recovery::new(temporal.client.clone(), board, limits.clone()),
        })
        .tuner(slots)
        .sticky_queue_schedule_to_start_timeout(STICKY)
        .graceful_shutdown_period(GRACE)
        .build();
    let mut worker = Worker::new(&temporal.runtime, temporal.client.clone(), options)?;
    let shutdown = worker.shutdown_handle();
    readiness.set(true);
    let asked = stop.clone();
    tokio::try_join!(
        async {
            let outcome = worker.run().await;
            // Nothing is left to wait for.
            stop.cancel();
            outcome.map_err(anyhow::Error::from)
        },
        async {
            asked.cancelled().await;
            readiness.set(false);
            shutdown();
            Ok(())
        },
    )?;
    Ok(())
}
