//! The board's contract as the sagas call it.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::Board;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contracts::{
    board::{Open, Publish, Rows},
    recovery::{Claims, OpenAfter},
};

pub(crate) struct Activities {
    pub(crate) board: Board,
}

#[activities]
impl Activities {
    #[activity(definition = Publish)]
    async fn publish(self: Arc<Self>, _: ActivityContext, rows: Rows) -> Result<Option<i32>, ActivityError> {
        Ok(self.board.publish(&rows).await?)
    }

    #[activity(definition = Open)]
    async fn open(self: Arc<Self>, _: ActivityContext, page: OpenAfter) -> Result<Claims, ActivityError> {
        Ok(self.board.open_bookings(&page).await?)
    }
}
