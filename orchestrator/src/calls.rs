//! Calls of workers' activities from outside a saga. The workflows that make them run here, on a queue of their own.

use anyhow::Context;
use process::temporal::Temporal;
use serde_json::Value;
use temporalio_client::{Client, WorkflowGetResultOptions, WorkflowStartOptions};
use temporalio_sdk::{Worker, WorkerOptions};
use uuid::Uuid;
use workflows::calls::{Call, Caller, Said};

/// Makes calls, while it is there.
pub(crate) struct Calls {
    client: Client,
    queue: String,
}

impl Calls {
    /// Can make calls for as long as some work takes.
    pub(crate) async fn during<T>(temporal: &Temporal, work: impl AsyncFnOnce(Self) -> T) -> anyhow::Result<T> {
        let queue = format!("calls-{}", Uuid::now_v7());
        let options = WorkerOptions::new(queue.clone()).register_workflow::<Caller>()?.build();
        let mut worker = Worker::new(&temporal.runtime, temporal.client.clone(), options)?;
        let shutdown = worker.shutdown_handle();
        let calls = Self { client: temporal.client.clone(), queue };
        let (served, done) = tokio::join!(worker.run(), async {
            let done = work(calls).await;
            shutdown();
            done
        });
        served.context("our own side of the calls")?;
        Ok(done)
    }

    /// Makes calls in order, and tells what came of each.
    pub(crate) async fn make(&self, calls: Vec<Call>) -> anyhow::Result<Vec<Said>> {
        let options = WorkflowStartOptions::new(&self.queue, format!("calls/{}", Uuid::now_v7())).build();
        let started = self.client.start_workflow(Caller::run, calls, options).await?;
        Ok(started.get_result(WorkflowGetResultOptions::default()).await?)
    }
}

/// A call of an activity.
pub(crate) fn call(activity: &str, queue: &str, input: Value, attempts: u32) -> Call {
    Call { activity: activity.to_owned(), queue: queue.to_owned(), input, attempts }
}
