//! The floor: the shape of a rental, with activities that do nothing. What Temporal alone costs on this machine.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use temporalio_client::{Client, WorkflowExecuteUpdateOptions, WorkflowGetResultOptions, WorkflowStartOptions};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, LocalActivityOptions, Runtime, SyncWorkflowContext, Worker, WorkerOptions, WorkflowContext,
    WorkflowContextView, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};
use tokio::sync::watch;

pub const SAGAS: &str = "floor";
const WORK: &str = "floor-work";

/// Who waits for which stage of which booking.
#[derive(Clone, Default)]
pub struct Stages(Arc<Mutex<HashMap<String, watch::Sender<u32>>>>);

impl Stages {
    fn of(&self, booking: &str) -> watch::Sender<u32> {
        self.0.lock().unwrap().entry(booking.to_owned()).or_insert_with(|| watch::channel(0).0).clone()
    }

    pub async fn reached(&self, booking: &str, stage: u32) {
        let mut stages = self.of(booking).subscribe();
        stages.wait_for(|reached| *reached >= stage).await.unwrap();
    }
}

mod work {
    #![expect(clippy::unused_async, reason = "activities are asynchronous, also where they do nothing")]

    use super::{ActivityContext, ActivityError, Arc, Stages, activities};

    pub struct Board(pub Stages);

    #[activities]
    impl Board {
        #[activity(name = "floor.publish")]
        pub async fn publish(self: Arc<Self>, _: ActivityContext, row: (String, u32)) -> Result<(), ActivityError> {
            self.0.of(&row.0).send_replace(row.1);
            Ok(())
        }
    }

    pub struct Nothing;

    #[activities]
    impl Nothing {
        #[activity(name = "floor.nothing")]
        pub async fn nothing(_: ActivityContext, _booking: String) -> Result<(), ActivityError> {
            Ok(())
        }
    }
}

#[workflow]
pub struct Floor {
    booking: String,
    decided: bool,
    returned: bool,
}

#[workflow_methods]
impl Floor {
    #[init]
    fn new(_: &WorkflowContextView, booking: String) -> Self {
        Self { booking, decided: false, returned: false }
    }

    #[run(name = "floor.rental")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        Self::publish(ctx, 1).await?;
        Self::ask(ctx).await?;
        Self::publish(ctx, 2).await?;
        Self::ask(ctx).await?;
        Self::publish(ctx, 3).await?;
        ctx.wait_condition(|floor| floor.decided).await?;
        Self::publish(ctx, 4).await?;
        // Three notices beside the confirmation, as a rental has them.
        temporalio_sdk::workflows::join!(Self::ask(ctx), Self::ask(ctx), Self::ask(ctx), Self::ask(ctx)).0?;
        ctx.wait_condition(|floor| floor.returned).await?;
        Self::ask(ctx).await?;
        Self::publish(ctx, 5).await?;
        Ok(())
    }

    #[update(name = "decide")]
    pub fn decide(&mut self, _: &mut SyncWorkflowContext<Self>, _yes: bool) {
        self.decided = true;
    }

    #[update(name = "return")]
    pub fn bring_back(&mut self, _: &mut SyncWorkflowContext<Self>, _yes: bool) {
        self.returned = true;
    }

    async fn publish(ctx: &WorkflowContext<Self>, stage: u32) -> Result<(), temporalio_sdk::ActivityExecutionError> {
        let booking = ctx.state(|floor| floor.booking.clone());
        let options = LocalActivityOptions::builder().start_to_close_timeout(Duration::from_secs(1)).build();
        ctx.execute_local_activity(work::Board::publish, (booking, stage), options).await
    }

    async fn ask(ctx: &WorkflowContext<Self>) -> Result<(), temporalio_sdk::ActivityExecutionError> {
        let booking = ctx.state(|floor| floor.booking.clone());
        let options = ActivityOptions::with_start_to_close_timeout(Duration::from_secs(5)).task_queue(WORK).build();
        ctx.execute_activity(work::Nothing::nothing, booking, options).await
    }
}

/// Runs the floor's two workers until stopped.
pub async fn host(client: Client, stages: Stages, stop: impl Future<Output = ()>) {
    let runtime = Runtime::from_current_tokio(temporalio_sdk::runtime::RuntimeOptions::default()).unwrap();
    let sagas = WorkerOptions::new(SAGAS)
        .register_workflow::<Floor>()
        .unwrap()
        .register_activities(work::Board(stages))
        .graceful_shutdown_period(Duration::from_secs(1))
        .build();
    let nothing = WorkerOptions::new(WORK)
        .register_activities(work::Nothing)
        .graceful_shutdown_period(Duration::from_secs(1))
        .build();
    let mut sagas = Worker::new(&runtime, client.clone(), sagas).unwrap();
    let mut nothing = Worker::new(&runtime, client, nothing).unwrap();
    let (end_sagas, end_nothing) = (sagas.shutdown_handle(), nothing.shutdown_handle());
    let (one, other, ()) = tokio::join!(sagas.run(), nothing.run(), async {
        stop.await;
        end_sagas();
        end_nothing();
    });
    one.unwrap();
    other.unwrap();
}

/// Begins one, up to its first answer.
pub async fn begin(client: &Client, stages: &Stages, booking: &str) {
    let options =
        WorkflowStartOptions::new(SAGAS, format!("floor/{booking}")).enable_eager_workflow_start(true).build();
    client.start_workflow(Floor::run, booking.to_owned(), options).await.unwrap();
    stages.reached(booking, 2).await;
}

/// Takes it from there to its end.
pub async fn finish(client: &Client, stages: &Stages, booking: &str) {
    let handle = client.get_workflow_handle::<Floor>(format!("floor/{booking}"));
    stages.reached(booking, 3).await;
    handle.execute_update(Floor::decide, true, WorkflowExecuteUpdateOptions::default()).await.unwrap();
    stages.reached(booking, 4).await;
    handle.execute_update(Floor::bring_back, true, WorkflowExecuteUpdateOptions::default()).await.unwrap();
    handle.get_result(WorkflowGetResultOptions::default()).await.unwrap();
}
