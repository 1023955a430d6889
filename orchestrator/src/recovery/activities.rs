//! The searches as their workflow calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::Recovery;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contracts::recovery::{Claims, RecoverEnded, RecoverOpen, Reviewed};

pub(crate) struct Activities {
    pub(crate) recovery: Recovery,
}

#[activities]
impl Activities {
    #[activity(definition = RecoverEnded)]
    async fn ended(self: Arc<Self>, _: ActivityContext) -> Result<u32, ActivityError> {
        Ok(self.recovery.recover_ended().await?)
    }

    #[activity(definition = RecoverOpen)]
    async fn open(self: Arc<Self>, _: ActivityContext, page: Claims) -> Result<Reviewed, ActivityError> {
        Ok(self.recovery.review(&page.claims).await?)
    }
}
