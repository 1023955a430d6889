//! How a booking keeps its row on the board: at once where that is possible, later where it is not, always in order.

use super::{Booking, Saga, retries, road::written_down};
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
    /// Publishes everything the board has not acknowledged. When it does not answer in time, that goes out by a regular
    /// activity that the story does not wait for: an outage of the board stops no booking.
    pub(super) async fn publish(&mut self) {
        self.is_unsent = false;
        match publish_near(&self.ctx).await {
            Ok(None) => {}
            Ok(Some(instead)) => {
                // The board knows this booking from an earlier saga, which nobody told us of: we go on from there.
                self.ctx.state_mut(|booking| {
                    let progress = booking.progress_mut();
                    progress.row.version = instead + 1;
                    progress.unpublished.push(progress.row.clone());
                });
                // Should this not arrive, the next row brings it.
                let _arrived = publish_near(&self.ctx).await;
            }
            Err(()) => {
                let ctx = self.ctx.clone();
                self.beside.start(async move { publish_far(&ctx).await });
            }
        }
    }
}

async fn publish_near<B: Booking>(ctx: &WorkflowContext<B>) -> Result<Option<i32>, ()> {
    written_down(ctx).await;
    let (rows, last) = unpublished(ctx);
    // Bounded by attempts, not by a total: a total that passes between two attempts is never noticed.
    let options = LocalActivityOptions::builder()
        .start_to_close_timeout(NEAR_ATTEMPT)
        .retry_policy(
            RetryPolicy::builder().initial_interval(Duration::from_millis(50)).maximum_attempts(NEAR_ATTEMPTS).build(),
        )
        .cancellation_token(WorkflowCancellationToken::new())
        .build();
    let instead = ctx.execute_local_activity(Publish, rows, options).await.map_err(drop)?;
    acknowledge(ctx, last);
    Ok(instead)
}

async fn publish_far<B: Booking>(ctx: &WorkflowContext<B>) {
    let (rows, last) = unpublished(ctx);
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

/// How far what was sent goes.
#[derive(Clone, Copy)]
struct Last {
    version: i32,
    told: u32,
}

fn unpublished<B: Booking>(ctx: &WorkflowContext<B>) -> (Rows, Last) {
    ctx.state(|booking| {
        let progress = booking.progress();
        let told = &progress.interventions.unpublished;
        let last = Last {
            version: progress.unpublished.last().map_or(0, |row| row.version),
            told: told.last().map_or(0, |(told, _)| *told),
        };
        let audits = told.iter().map(|(_, audit)| audit.clone()).collect();
        (Rows { rows: progress.unpublished.clone(), audits }, last)
    })
}

fn acknowledge<B: Booking>(ctx: &WorkflowContext<B>, last: Last) {
    ctx.state_mut(|booking| {
        let progress = booking.progress_mut();
        progress.unpublished.retain(|row| row.version > last.version);
        progress.interventions.unpublished.retain(|(told, _)| *told > last.told);
    });
}
