//! The payment contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Desk, Guarded, Simulator, Timed, Unknown};
use std::{sync::Arc, time::Duration};
use temporalio_common::error::ApplicationFailure;
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

/// Those who wait for a provider come back within so much time of each other.
const SPREAD_MAX: Duration = Duration::from_secs(15);

pub(super) struct Activities {
    pub(super) desk: Desk<Guarded<Timed<Simulator>>>,
}

#[activities]
impl Activities {
    #[activity(definition = payment::Charge)]
    async fn charge(
        self: Arc<Self>,
        context: ActivityContext,
        request: ChargeRequest,
    ) -> Result<ChargeAnswer, ActivityError> {
        alive::<payment::Charge, _>(&context, self.desk.charge(&request))
            .await
            .map_err(|why| later(why, request.booking, &context))
    }

    #[activity(definition = payment::Refund)]
    async fn refund(self: Arc<Self>, context: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        alive::<payment::Refund, _>(&context, self.desk.refund(&due))
            .await
            .map_err(|why| later(why, due.booking, &context))
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

/// While the provider is left alone, an attempt comes back when it may be asked again, and the later the more often it has come
/// in vain. Who waited together does not come back together: the end of a booking's id says when in that time.
fn later(why: Unknown, booking: BookingId, context: &ActivityContext) -> ActivityError {
    let Some(retry_in) = why.retry_in() else { return why.into() };
    let spread = Duration::from_secs(2_u64.saturating_pow(context.info().attempt)).min(SPREAD_MAX);
    let [.., high, low] = *booking.0.as_bytes();
    let share = f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX);
    ApplicationFailure::builder(why).next_retry_delay(retry_in + spread.mul_f64(share)).build().into()
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
