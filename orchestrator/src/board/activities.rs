//! The board's contract as the sagas call it.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Board, Error};
use process::breaker::{Breaker, Settings};
use std::{sync::Arc, time::Duration};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;
use workflows::contracts::{
    board::{Open, Publish, Rows},
    recovery::{Claims, OpenAfter},
};

/// A saga waits for the board no longer than this before it leaves that to a regular activity. A little less than the sagas'
/// own limit, so that we see it pass.
const NEAR_WITHIN: Duration = Duration::from_millis(450);
/// While a saga waits, it holds one of few places: when the board does not answer, only a few find that out, and the others go
/// on at once.
const NEAR: Settings =
    Settings { failures: 5, open: Duration::from_millis(500), open_max: Duration::from_secs(2), probes_max: 8 };

pub(crate) struct Activities {
    board: Board,
    near: Breaker,
}

impl Activities {
    pub(crate) fn new(board: Board) -> Self {
        Self { board, near: Breaker::new("board", NEAR) }
    }

    async fn publish_near(&self, rows: Rows, run: Option<Uuid>) -> Result<Option<i32>, ActivityError> {
        let leave = self.near.enter()?;
        // On its own: given up, it keeps its connection until the statement has ended. Nobody else would get far with it.
        let board = self.board.clone();
        let publishing = tokio::spawn(async move { board.publish(&rows, run).await }.in_current_span());
        let published = match timeout(NEAR_WITHIN, publishing).await {
            Ok(published) => published.map_err(anyhow::Error::from)?,
            Err(_) => Err(Error::Slow),
        };
        match &published {
            Ok(_) => leave.answered(),
            Err(_) => leave.failed(),
        }
        Ok(published?)
    }
}

#[activities]
impl Activities {
    #[activity(definition = Publish)]
    async fn publish(self: Arc<Self>, context: ActivityContext, rows: Rows) -> Result<Option<i32>, ActivityError> {
        if self.board.is_frozen() {
            return Err(anyhow::anyhow!("the board is being compared with the sagas").into());
        }
        let run = context.info().workflow_run_id.as_deref().and_then(|run| run.parse().ok());
        if context.info().is_local {
            return self.publish_near(rows, run).await;
        }
        Ok(self.board.publish(&rows, run).await?)
    }

    #[activity(definition = Open)]
    async fn open(self: Arc<Self>, _: ActivityContext, page: OpenAfter) -> Result<Claims, ActivityError> {
        Ok(self.board.open_bookings(&page).await?)
    }
}
