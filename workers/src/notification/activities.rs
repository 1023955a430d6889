//! The notification contract as Temporal calls it.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Post, send, told};
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::{
    booking::BookingId,
    contracts::notification::{self, Heard, Notice},
};

pub(super) struct Activities {
    pub(super) post: Arc<Post>,
}

#[activities]
impl Activities {
    #[activity(definition = notification::Send)]
    async fn send(self: Arc<Self>, _: ActivityContext, notice: Notice) -> Result<(), ActivityError> {
        Ok(send(&self.post, &notice).await?)
    }

    #[activity(definition = notification::Told)]
    async fn told(self: Arc<Self>, _: ActivityContext, of: Vec<BookingId>) -> Result<Vec<Heard>, ActivityError> {
        Ok(told(&self.post.pool, &of).await?)
    }
}
