//! Any provider, left alone while it does not answer, and never asked more often than it was agreed.

use super::provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded};
use chrono::{DateTime, Utc};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use process::breaker::{Breaker, Settings as BreakerSettings};
use std::{num::NonZeroU32, sync::Arc, time::Duration};

/// What the provider is called in metrics and answers.
pub(super) const PART: &str = "payment provider";

/// When the provider is left alone, and how often it may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `HOLDFAST_PROVIDER_BREAKER_FAILURES`, `..._BREAKER_SECONDS`, `..._BREAKER_SECONDS_MAX`, `..._PROBES_MAX`.
    pub breaker: BreakerSettings,
    /// `HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX`, for each worker process.
    pub calls_per_second_max: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        let breaker = BreakerSettings {
            failures: 5,
            open: Duration::from_secs(1),
            open_max: Duration::from_secs(15),
            probes_max: 32,
        };
        Self { breaker, calls_per_second_max: NonZeroU32::new(100).expect("not zero") }
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{or, seconds_or};
        let Self { breaker, calls_per_second_max } = Self::default();
        let positive = "a number from 1";
        let failures = NonZeroU32::new(breaker.failures).unwrap_or(NonZeroU32::MIN);
        Ok(Self {
            breaker: BreakerSettings {
                failures: or("HOLDFAST_PROVIDER_BREAKER_FAILURES", positive, failures)?.get(),
                open: seconds_or("HOLDFAST_PROVIDER_BREAKER_SECONDS", breaker.open)?,
                open_max: seconds_or("HOLDFAST_PROVIDER_BREAKER_SECONDS_MAX", breaker.open_max)?,
                probes_max: or("HOLDFAST_PROVIDER_PROBES_MAX", positive, breaker.probes_max)?,
            },
            calls_per_second_max: or("HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX", positive, calls_per_second_max)?,
        })
    }
}

/// A provider behind a breaker and a limit.
pub struct Guarded<P> {
    provider: P,
    breaker: Arc<Breaker>,
    limit: DefaultDirectRateLimiter,
}

impl<P> Guarded<P> {
    /// Guards a provider.
    #[must_use]
    pub fn new(provider: P, breaker: Arc<Breaker>, calls_per_second_max: NonZeroU32) -> Self {
        // Spread over the second: no burst of more than a tenth of it.
        let burst = NonZeroU32::new(calls_per_second_max.get().div_ceil(10)).unwrap_or(NonZeroU32::MIN);
        let limit = RateLimiter::direct(Quota::per_second(calls_per_second_max).allow_burst(burst));
        Self { provider, breaker, limit }
    }

    /// Takes a place in the limit. Before the breaker: a probe that may not be made would keep others from probing.
    fn place(&self) -> Result<(), Error> {
        self.limit
            .check()
            .map_err(|early| Error::Busy { retry_in: early.wait_time_from(DefaultClock::default().now()) })
    }

    async fn ask<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let leave = self.breaker.enter()?;
        let answer = call.await;
        match &answer {
            Ok(_) => leave.answered(),
            Err(_) => leave.failed(),
        }
        answer
    }
}

impl<P: Provider> Provider for Guarded<P> {
    fn admit(&self) -> Result<(), Error> {
        // Only looked at: whoever is sent away takes no place in the limit, and the breaker counts the call itself.
        drop(self.breaker.enter()?);
        self.place()
    }

    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        // It was admitted, and has its place.
        self.ask(self.provider.charge(order)).await
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        self.place()?;
        self.ask(self.provider.find(key)).await
    }

    async fn cancel(&self, key: &str) -> Result<Cancelled, Error> {
        self.place()?;
        self.ask(self.provider.cancel(key)).await
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        self.place()?;
        self.ask(self.provider.refund(key, captured)).await
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        self.place()?;
        self.ask(self.provider.list(since, after)).await
    }
}
