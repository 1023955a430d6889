//! Roads: how a saga reaches a worker.
//!
//! The *long road* is an activity on the worker's queue: durable, it waits for a worker that is away. The *short road* is a local
//! activity in the process that hosts the sagas, which asks the worker over HTTP, with little patience. It costs the engine next
//! to nothing, and promises nothing: whatever comes of it but an answer, the long road is taken. That an answer was lost on the way
//! does no harm, since every call has its key and a repeat gets the first answer.

use super::{Booking, retries};
use crate::contracts::{
    Contract,
    road::{Ask, Asked, PATIENCE, Written},
};
use std::time::Duration;
use temporalio_common::error::ActivityExecutionError;
use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy, WorkflowCancellationToken,
    WorkflowContext,
};

/// Asks a worker: over the short road first where the booking has it. `before_far` is done before the long one is taken, which may
/// last; `limit` is for all attempts there. Nothing is cut short by a cancellation.
pub(super) async fn ask<B: Booking, C: Contract>(
    ctx: &WorkflowContext<B>,
    contract: C,
    input: C::Input,
    limit: Duration,
    before_far: impl AsyncFnOnce(),
) -> Result<C::Output, ActivityExecutionError> {
    if let Some(answer) = ask_near::<B, C>(ctx, &input).await {
        return Ok(answer);
    }
    before_far().await;
    ctx.execute_activity(contract, input, options::<C>(limit)).await
}

/// What a person says by an update is only written down with the end of the task in which it is heard. Whatever left this
/// process before that could be seen, and then never have been said: so an activity that does nothing ends the task first. The
/// same where nobody said anything in time: in a task that is done again, a word that has come by then is heard before the
/// deadline. (What is asked through a queue leaves with the task.)
pub(super) async fn written_down<B: Booking>(ctx: &WorkflowContext<B>) {
    let heard = ctx.state(|booking| {
        let progress = booking.progress();
        (progress.opening.limits.order.written && progress.said > progress.written).then_some(progress.said)
    });
    if let Some(said) = heard {
        let limit = ctx.state(|booking| booking.progress().opening.limits.step);
        // Whether it was answered or not: the task has ended.
        let _answered = ctx.execute_activity(Written, (), options::<Written>(limit)).await;
        ctx.state_mut(|booking| booking.progress_mut().written = said);
    }
}

/// Asks over the short road, once, where the booking has it. `None`: who knows.
async fn ask_near<B: Booking, C: Contract>(ctx: &WorkflowContext<B>, input: &C::Input) -> Option<C::Output> {
    if !C::HAS_NEAR || !ctx.state(|booking| booking.progress().opening.limits.near) {
        return None;
    }
    let options = LocalActivityOptions::builder()
        .start_to_close_timeout(PATIENCE)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .cancellation_token(WorkflowCancellationToken::new())
        .build();
    written_down(ctx).await;
    let input = serde_json::to_value(input).ok()?;
    let asked = Asked { queue: C::QUEUE.to_owned(), contract: C::NAME.to_owned(), input };
    let answered = ctx.execute_local_activity(Ask, asked, options).await.ok()?;
    serde_json::from_value(answered.answer).ok()
}

/// How a contract is called on the long road: its own limits for one attempt, `limit` for all of them, detached from cancellation.
fn options<C: Contract>(limit: Duration) -> ActivityOptions {
    let timeouts =
        ActivityCloseTimeouts::ScheduleAndStartToClose { start_to_close: C::ATTEMPT, schedule_to_close: limit };
    let mut options = ActivityOptions::with_close_timeouts(timeouts)
        .task_queue(C::QUEUE.to_owned())
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(retries::<C>())
        .build();
    options.heartbeat_timeout = C::HEARTBEAT;
    options
}
