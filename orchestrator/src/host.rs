//! Host: runs the sagas in this process, on the gateway's own connection, and keeps their board.

use crate::board::{self, Board};
use process::{admin::Readiness, temporal::Temporal};
use std::time::Duration;
use temporalio_sdk::{
    Worker, WorkerOptions,
    runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
};
use tokio_util::sync::CancellationToken;
use workflows::{contracts, rental::Rental};

/// How long running tasks may finish after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How soon the bookings of an orchestrator that was killed move on elsewhere.
const STICKY: Duration = Duration::from_secs(2);
const WORKFLOW_TASKS_MAX: usize = 200;
const LOCAL_ACTIVITIES_MAX: usize = 200;
const ACTIVITIES_MAX: usize = 50;

/// Runs every saga until told to stop.
///
/// # Errors
/// When the worker cannot start, or Temporal refuses it for good.
pub async fn run(
    temporal: &Temporal,
    board: Board,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let fixed = FixedSizeSlotSupplier::new;
    let slots = TunerHolder::builder()
        .workflow_task_slot_supplier(fixed(WORKFLOW_TASKS_MAX))
        .local_activity_task_slot_supplier(fixed(LOCAL_ACTIVITIES_MAX))
        .activity_task_slot_supplier(fixed(ACTIVITIES_MAX))
        .nexus_task_slot_supplier(fixed(1))
        .build();
    let options = WorkerOptions::new(contracts::board::QUEUE)
        .register_workflow::<Rental>()?
        .register_activities(board::Activities { board })
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
            // A dead host takes its process down: the platform starts it again.
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
