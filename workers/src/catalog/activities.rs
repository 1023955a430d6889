//! The catalog's contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{confirm, free, hold, look, open, release, stands};
use deadpool_postgres::Pool;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::{
    booking::BookingId,
    contracts::{
        Due, Settled, Stand,
        catalog::{self, FreeAnswer, FreeRequest, HoldAnswer, HoldRequest, Sight},
        recovery::{Claims, OpenAfter},
    },
};

pub(super) struct Activities {
    pub(super) pool: Pool,
}

#[activities]
impl Activities {
    #[activity(definition = catalog::Hold)]
    async fn hold(self: Arc<Self>, _: ActivityContext, request: HoldRequest) -> Result<HoldAnswer, ActivityError> {
        Ok(hold(&self.pool, &request).await?)
    }

    #[activity(definition = catalog::Release)]
    async fn release(self: Arc<Self>, _: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        Ok(release(&self.pool, &due).await?)
    }

    #[activity(definition = catalog::Confirm)]
    async fn confirm(self: Arc<Self>, _: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        Ok(confirm(&self.pool, &due).await?)
    }

    #[activity(definition = catalog::Look)]
    async fn look(self: Arc<Self>, _: ActivityContext, due: Due) -> Result<Sight, ActivityError> {
        Ok(look(&self.pool, &due).await?)
    }

    #[activity(definition = catalog::Free)]
    async fn free(self: Arc<Self>, _: ActivityContext, request: FreeRequest) -> Result<FreeAnswer, ActivityError> {
        Ok(free(&self.pool, &request).await?)
    }

    #[activity(definition = catalog::Open)]
    async fn open(self: Arc<Self>, _: ActivityContext, page: OpenAfter) -> Result<Claims, ActivityError> {
        Ok(open(&self.pool, &page).await?)
    }

    #[activity(definition = catalog::Stands)]
    async fn stands(self: Arc<Self>, _: ActivityContext, of: Vec<BookingId>) -> Result<Vec<Stand>, ActivityError> {
        Ok(stands(&self.pool, &of).await?)
    }
}
