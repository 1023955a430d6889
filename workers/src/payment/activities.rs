//! The payment contracts as Temporal calls them.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use super::{Desk, Guarded, Timed, Unknown, chosen::Chosen, provider::Error};
use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::{
    booking::BookingId,
    contracts::{
        Contract, Due, Settled, Stand,
        payment::{self, ChargeAnswer, ChargeRequest, ComparePage, ComparedPage},
        recovery::{Claims, OpenAfter},
    },
};

/// Of all who wait for a provider that is left alone, so many come back in a second. Each costs the engine an attempt in vain,
/// and those who need no provider are not to notice.
const IN_VAIN_EACH_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// Nobody is sent away for longer.
const RETURNS_WITHIN: Duration = Duration::from_mins(5);

/// When those who were sent away come back: one after the other.
struct Returns {
    apart: Duration,
    last: Mutex<Option<Instant>>,
}

impl Returns {
    fn new(each_second: NonZeroU32) -> Self {
        Self { apart: Duration::from_secs(1) / each_second.get(), last: Mutex::default() }
    }

    /// After how long the next one comes back, who may not come before some time has passed.
    fn next(&self, retry_in: Duration) -> Duration {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now + retry_in;
        let next = last.map_or(earliest, |last| earliest.max(last + self.apart)).min(now + RETURNS_WITHIN);
        *last = Some(next);
        next - now
    }
}

pub(super) struct Activities {
    desk: Arc<Desk<Guarded<Timed<Chosen>>>>,
    /// Those who came while the provider was left alone.
    resting: Returns,
    /// Those who came when others had asked it as often as is allowed.
    busy: Returns,
}

impl Activities {
    pub(super) fn new(desk: Arc<Desk<Guarded<Timed<Chosen>>>>, calls_per_second_max: NonZeroU32) -> Self {
        Self { desk, resting: Returns::new(IN_VAIN_EACH_SECOND), busy: Returns::new(calls_per_second_max) }
    }

    /// An attempt that never reached the provider comes back when it may be asked again, and when it is its turn.
    fn later(&self, why: Unknown) -> ActivityError {
        let delay = match &why {
            Unknown::Provider(Error::Resting(resting)) => self.resting.next(resting.retry_in),
            Unknown::Provider(Error::Busy { retry_in }) => self.busy.next(*retry_in),
            Unknown::Provider(_) | Unknown::Ledger(_) | Unknown::Settling => return why.into(),
        };
        ApplicationFailure::builder(why).next_retry_delay(delay).build().into()
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

    #[activity(definition = payment::Stands)]
    async fn stands(self: Arc<Self>, _: ActivityContext, of: Vec<BookingId>) -> Result<Vec<Stand>, ActivityError> {
        Ok(self.desk.ledger.stands(&of).await?)
    }

    #[activity(definition = payment::Compare)]
    async fn compare(self: Arc<Self>, _: ActivityContext, page: ComparePage) -> Result<ComparedPage, ActivityError> {
        self.desk.compare(&page).await.map_err(|why| self.later(why))
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
        let (returns, rest) = (Returns::new(IN_VAIN_EACH_SECOND), Duration::from_secs(2));
        let first = returns.next(rest);
        assert!(first <= rest, "{first:?}");
        let waits: Vec<_> = (0..100).map(|_| returns.next(rest)).collect();
        assert!(waits.is_sorted() && waits[99] > rest + Duration::from_secs(19), "{:?}", waits[99]);
        for _ in 0..10_000 {
            assert!(returns.next(rest) <= RETURNS_WITHIN);
        }
    }
}
