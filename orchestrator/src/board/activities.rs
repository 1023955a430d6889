//! The board's contract as the sagas call it.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::Board;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contracts::board::{Publish, Rows};

pub(crate) struct Activities {
    pub(crate) board: Board,
}

#[activities]
impl Activities {
    #[activity(definition = Publish)]
    async fn publish(self: Arc<Self>, _: ActivityContext, rows: Rows) -> Result<(), ActivityError> {
        Ok(self.board.publish(&rows).await?)
    }
}
