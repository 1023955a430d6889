//! The fulfilment contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::vouchers::{disable, issue, send, stands};
use deadpool_postgres::Pool;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::{
    booking::BookingId,
    contracts::{
        Due, Settled, Stand,
        fulfilment::{self, IssueRequest, VoucherAnswer},
    },
};

pub(super) struct Activities {
    pub(super) pool: Pool,
}

#[activities]
impl Activities {
    #[activity(definition = fulfilment::Issue)]
    async fn issue(self: Arc<Self>, _: ActivityContext, request: IssueRequest) -> Result<VoucherAnswer, ActivityError> {
        Ok(issue(&self.pool, &request).await?)
    }

    #[activity(definition = fulfilment::Send)]
    async fn send(self: Arc<Self>, _: ActivityContext, due: Due) -> Result<VoucherAnswer, ActivityError> {
        Ok(send(&self.pool, &due).await?)
    }

    #[activity(definition = fulfilment::Disable)]
    async fn disable(self: Arc<Self>, _: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        Ok(disable(&self.pool, &due).await?)
    }

    #[activity(definition = fulfilment::Stands)]
    async fn stands(self: Arc<Self>, _: ActivityContext, of: Vec<BookingId>) -> Result<Vec<Stand>, ActivityError> {
        Ok(stands(&self.pool, &of).await?)
    }
}
