//! Scaling: as many workers as the queue needs, counted by what a platform's scaler reads: how many tasks wait in Temporal's queue.
//! They come when much is asked for, and go when it is done; nothing is lost on either way.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::{
    simulator::faults::{Fault, Operation},
    stack::Part,
};
use futures::{StreamExt, stream};
use std::time::Duration;
use temporalio_client::{NamespacedClient as _, grpc::WorkflowService, tonic::IntoRequest};
use temporalio_common::protos::temporal::api::{
    enums::v1::TaskQueueType, taskqueue::v1::TaskQueue, workflowservice::v1::DescribeTaskQueueRequest,
};
use tokio::time::{Instant, interval};

const RENTALS: usize = 120;
const AT_ONCE: usize = 30;
/// One worker does so many at a time, each of which takes so long at the provider.
const ACTIVITIES_MAX: &str = "4";
const TAKES_MS: (u64, u64) = (900, 1_100);
/// As the manifests have it: so many tasks for each worker, from so many workers to so many.
const TASKS_EACH: i64 = 10;
const WORKERS: std::ops::RangeInclusive<usize> = 1..=4;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks in a row have to find fewer needed before one goes.
const COOL_DOWN: usize = 4;
const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// How many tasks wait in the payment worker's queue.
async fn backlog(world: &World) -> i64 {
    let mut temporal = world.temporal().await.clone();
    let request = DescribeTaskQueueRequest {
        namespace: temporal.namespace(),
        task_queue: Some(TaskQueue { name: "payment".to_owned(), ..TaskQueue::default() }),
        task_queue_type: TaskQueueType::Activity.into(),
        report_stats: true,
        ..DescribeTaskQueueRequest::default()
    };
    let described = temporal.describe_task_queue(request.into_request()).await.unwrap().into_inner();
    described.stats.map_or(0, |stats| stats.approximate_backlog_count)
}

fn needed(backlog: i64) -> usize {
    let needed = usize::try_from((backlog + TASKS_EACH - 1) / TASKS_EACH).unwrap();
    needed.clamp(*WORKERS.start(), *WORKERS.end())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_follow_the_backlog_up_and_down() {
    let own = OwnStack::with(Part::APART, |at| {
        at.with("HOLDFAST_ACTIVITIES_MAX", ACTIVITIES_MAX).with("HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX", "1000")
    });
    let mut own = own.await;
    let world = World::at(&own.stack.addresses);
    let slow = Fault { operation: Some(Operation::Charge), delay_ms: Some(TAKES_MS), ..Fault::default() };
    world.fault_for_everybody(slow).await;
    let asked = stream::iter(0..RENTALS).map(async |_| {
        let reply = world.rent(world.book().await).await;
        assert!([201, 202].contains(&reply.status.as_u16()), "{reply:?}");
        reply.id()
    });
    let rentals: Vec<String> = asked.buffer_unordered(AT_ONCE).collect().await;

    let (mut workers, mut most, mut longest, mut quiet) = (1, 1, 0, 0);
    let (mut look, until) = (interval(LOOK_EVERY), Instant::now() + ENDS_WITHIN);
    // Until they have come, and gone again.
    while most < *WORKERS.end() || workers > *WORKERS.start() {
        look.tick().await;
        assert!(Instant::now() < until, "{workers} workers, {most} at most, for {longest} tasks");
        let waiting = backlog(&world).await;
        longest = longest.max(waiting);
        let needed = needed(waiting);
        quiet = if needed < workers { quiet + 1 } else { 0 };
        if needed > workers {
            own.stack.run_replica(Part::Payment).await.unwrap();
            workers += 1;
        } else if quiet > COOL_DOWN {
            // Asked to end: it finishes what it is at.
            tokio::task::block_in_place(|| own.stack.stop(Part::Payment));
            workers -= 1;
        }
        most = most.max(workers);
    }
    for rental in &rentals {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
        assert_eq!(world.provider(rental).await.len(), 1, "{rental} was charged more than once");
    }
    println!("{longest} tasks waited; {most} workers at most, {workers} in the end");
}
