//! The payment contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Desk, Simulator, Timed};
use std::{sync::Arc, time::Duration};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::{
    booking::BookingId,
    contracts::{
        Contract, Due, Settled,
        payment::{self, ChargeAnswer, ChargeRequest},
        recovery::{Claims, OpenAfter},
    },
};

pub(super) struct Activities {
    pub(super) desk: Desk<Timed<Simulator>>,
}

#[activities]
impl Activities {
    #[activity(definition = payment::Charge)]
    async fn charge(
        self: Arc<Self>,
        context: ActivityContext,
        request: ChargeRequest,
    ) -> Result<ChargeAnswer, ActivityError> {
        Ok(alive::<payment::Charge, _>(&context, self.desk.charge(&request)).await?)
    }

    #[activity(definition = payment::Refund)]
    async fn refund(self: Arc<Self>, context: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        Ok(alive::<payment::Refund, _>(&context, self.desk.refund(&due)).await?)
    }

    #[activity(definition = payment::Open)]
    async fn open(self: Arc<Self>, _: ActivityContext, page: OpenAfter) -> Result<Claims, ActivityError> {
        Ok(self.desk.ledger.open_charges(&page).await?)
    }

    #[activity(definition = payment::Keep)]
    async fn keep(self: Arc<Self>, _: ActivityContext, completed: Vec<BookingId>) -> Result<(), ActivityError> {
        Ok(self.desk.ledger.keep(&completed).await?)
    }
}

/// Tells Temporal that we are still here while a provider is slow, so that a worker that died is noticed soon.
async fn alive<C: Contract, F: Future>(context: &ActivityContext, work: F) -> F::Output {
    let beat = C::HEARTBEAT.unwrap_or(C::ATTEMPT) / 3;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            () = tokio::time::sleep(beat.max(Duration::from_millis(100))) => {
                // A beat that cannot be recorded is one that is missed: the server will notice.
                if let Err(error) = context.record_heartbeat(()).await {
                    tracing::debug!(error = process::logs::chain(&error), "a heartbeat was not recorded");
                }
            }
        }
    }
}
