//! The payment contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Desk, Guarded, Simulator, Timed, Unknown};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
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

/// Of all who wait for a provider, so many come back in a second. Each costs the engine an attempt, and those who need no
/// provider are not to notice.
const RETURNS_EACH_SECOND: u32 = 20;
/// Nobody is sent away for longer.
const RETURNS_WITHIN: Duration = Duration::from_mins(5);

/// When those who wait for a provider come back: one after the other.
#[derive(Default)]
pub(super) struct Returns(Mutex<Option<Instant>>);

impl Returns {
    /// After how long the next one comes back, who may not come before some time has passed.
    fn next(&self, retry_in: Duration) -> Duration {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now + retry_in;
        let next = last.map_or(earliest, |last| earliest.max(last + Duration::from_secs(1) / RETURNS_EACH_SECOND));
        let next = next.min(now + RETURNS_WITHIN);
        *last = Some(next);
        next - now
    }
}

pub(super) struct Activities {
    pub(super) desk: Desk<Guarded<Timed<Simulator>>>,
    pub(super) returns: Returns,
}

impl Activities {
    /// While the provider is left alone, an attempt comes back when it may be asked again, and when it is its turn.
    fn later(&self, why: Unknown) -> ActivityError {
        let Some(retry_in) = why.retry_in() else { return why.into() };
        ApplicationFailure::builder(why).next_retry_delay(self.returns.next(retry_in)).build().into()
    }
}

#[activities]
impl Activities {
    #[activity(definition = payment::Charge)]
    async fn charge(
        self: Arc<Self>,
        context: ActivityContext,
        request: ChargeRequest,
    ) -> Result<ChargeAnswer, ActivityError> {
        alive::<payment::Charge, _>(&context, self.desk.charge(&request)).await.map_err(|why| self.later(why))
    }

    #[activity(definition = payment::Refund)]
    async fn refund(self: Arc<Self>, context: ActivityContext, due: Due) -> Result<Settled, ActivityError> {
        alive::<payment::Refund, _>(&context, self.desk.refund(&due)).await.map_err(|why| self.later(why))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_comes_back_one_after_the_other_and_none_too_late() {
        let (returns, rest) = (Returns::default(), Duration::from_secs(2));
        let first = returns.next(rest);
        assert!(first <= rest, "{first:?}");
        let waits: Vec<_> = (0..100).map(|_| returns.next(rest)).collect();
        assert!(waits.is_sorted() && waits[99] > rest + Duration::from_secs(4), "{:?}", waits[99]);
        for _ in 0..10_000 {
            assert!(returns.next(rest) <= RETURNS_WITHIN);
        }
    }
}
