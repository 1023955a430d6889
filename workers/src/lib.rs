//! The workers of Holdfast: each keeps the contracts of one queue, with its own schema, login role and admin port.
//!
//! A worker's file names what it keeps; the functions behind its activities are plain `async fn`s over the contract's
//! types, so that they can be called without Temporal too.

pub mod catalog;
pub mod faults;
#[cfg(feature = "fulfilment")]
pub mod fulfilment;
mod http;
pub mod metrics;
pub mod notification;
pub mod payment;
mod road;
pub mod store;

use faults::Faults;
use process::{
    admin::{self, Readiness},
    temporal::Temporal,
};
use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};
use temporalio_sdk::{
    Worker, WorkerOptions,
    runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
};
use tokio_util::sync::CancellationToken;

/// How long activities may finish after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// What the workers of one process share.
pub struct Setup {
    /// The connection to Temporal.
    pub temporal: Temporal,
    /// What is to go wrong, in a test.
    pub faults: Option<Faults>,
    /// `HOLDFAST_ACTIVITIES_MAX`: how many activities each worker does at a time.
    pub activities_max: NonZeroUsize,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
}

/// Polls a queue and serves the admin port until told to stop.
async fn host(setup: &Setup, mut options: WorkerOptions, admin: SocketAddr) -> anyhow::Result<()> {
    if let Some(faults) = &setup.faults {
        options.activity_inbound_interceptor(faults.clone());
    }
    let fixed = FixedSizeSlotSupplier::new;
    let slots = TunerHolder::builder()
        .activity_task_slot_supplier(fixed(setup.activities_max.get()))
        .workflow_task_slot_supplier(fixed(1))
        .local_activity_task_slot_supplier(fixed(1))
        .nexus_task_slot_supplier(fixed(1));
    options.tuner = slots.build().into();
    let mut worker = Worker::new(&setup.temporal.runtime, setup.temporal.client.clone(), options)?;
    let shutdown = worker.shutdown_handle();
    let readiness = Readiness::default();
    let health = admin::serve(admin, readiness.clone(), Some(setup.temporal.metrics), setup.stop.clone());
    readiness.set(true);
    tokio::try_join!(
        async {
            let outcome = worker.run().await;
            // A dead worker takes its process down: the platform starts it again.
            setup.stop.cancel();
            Ok(outcome?)
        },
        async {
            setup.stop.cancelled().await;
            readiness.set(false);
            shutdown();
            Ok(())
        },
        health,
    )?;
    Ok(())
}
