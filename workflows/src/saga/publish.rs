//! How a booking keeps its row on the board: at once where that is possible, later where it is not, always in order.

use super::{Booking, Saga, retries};
use crate::contracts::{
    Contract,
    board::{Publish, Rows},
};
use std::time::Duration;
use temporalio_workflow::{
    ActivityOptions, LocalActivityOptions, RetryPolicy, WorkflowCancellationToken, WorkflowContext,
};

/// The saga's own process writes to the board directly, with little patience.
const NEAR_ATTEMPT: Duration = Duration::from_millis(500);
const NEAR_ATTEMPTS: u32 = 2;

impl<B: Booking> Saga<B> {
    /// Publishes every row the board has not acknowledged. When it does not answer in time, the rows go out by a regular
    /// activity that the story does not wait for: an outage of the board stops no booking.
    pub(super) async fn publish(&mut self) {
        let near = publish_near(&self.ctx).await;
        if near.is_err() {
            let ctx = self.ctx.clone();
            self.start(async move { publish_far(&ctx).await });
        }
    }
}

async fn publish_near<B: Booking>(ctx: &WorkflowContext<B>) -> Result<(), ()> {
    let rows = unpublished(ctx);
    let last = Last::of(&rows);
    // Bounded by attempts, not by a total: a total that passes between two attempts is never noticed.
    let options = LocalActivityOptions::builder()
        .start_to_close_timeout(NEAR_ATTEMPT)
        .retry_policy(
            RetryPolicy::builder().initial_interval(Duration::from_millis(50)).maximum_attempts(NEAR_ATTEMPTS).build(),
        )
        .cancellation_token(WorkflowCancellationToken::new())
        .build();
    ctx.execute_local_activity(Publish, rows, options).await.map_err(drop)?;
    acknowledge(ctx, last);
    Ok(())
}

async fn publish_far<B: Booking>(ctx: &WorkflowContext<B>) {
    let rows = unpublished(ctx);
    let last = Last::of(&rows);
    // No limit in total: a booking is over when its last row is on the board, however long that is away.
    let options = ActivityOptions::with_start_to_close_timeout(Publish::ATTEMPT)
        .task_queue(Publish::QUEUE.to_owned())
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(retries::<Publish>())
        .summary("late board rows".to_owned())
        .build();
    if ctx.execute_activity(Publish, rows, options).await.is_ok() {
        acknowledge(ctx, last);
    }
}

/// The newest of what was sent.
#[derive(Clone, Copy)]
struct Last {
    version: i32,
    audit: u32,
}

impl Last {
    fn of(rows: &Rows) -> Self {
        Self {
            version: rows.rows.last().map_or(0, |row| row.version),
            audit: rows.audits.last().map_or(0, |audit| audit.number),
        }
    }
}

fn unpublished<B: Booking>(ctx: &WorkflowContext<B>) -> Rows {
    ctx.state(|booking| {
        let progress = booking.progress();
        Rows { rows: progress.unpublished.clone(), audits: progress.interventions.unpublished.clone() }
    })
}

fn acknowledge<B: Booking>(ctx: &WorkflowContext<B>, last: Last) {
    ctx.state_mut(|booking| {
        let progress = booking.progress_mut();
        progress.unpublished.retain(|row| row.version > last.version);
        progress.interventions.unpublished.retain(|audit| audit.number > last.audit);
    });
}
