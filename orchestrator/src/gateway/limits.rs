//! Limits: how often a caller may ask.

use super::problem::{Code, Problem};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, QuantaClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::sync::Cache;
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use warp::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    reply::Response,
};
use workflows::booking::Subject;

/// So many callers are remembered. One who is forgotten begins anew, with a full burst.
const CALLERS_MAX: u64 = 100_000;
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

type Limiter = RateLimiter<NotKeyed, InMemoryState, QuantaClock, StateInformationMiddleware>;

/// How often a caller may ask.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// `HOLDFAST_REQUESTS_PER_SECOND_MAX`, in the long run.
    pub per_second: NonZeroU32,
    /// `HOLDFAST_REQUESTS_BURST_MAX`, at once.
    pub burst: NonZeroU32,
}

impl Default for Rate {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        Self { per_second: number(50), burst: number(200) }
    }
}

/// How often each caller has asked.
pub(super) struct Rates {
    rate: Rate,
    callers: Cache<Subject, Arc<Limiter>>,
}

/// What a caller may still ask for: goes into the headers of every answer.
pub(super) struct Left {
    policy: HeaderValue,
    left: HeaderValue,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        let callers = Cache::builder().max_capacity(CALLERS_MAX).time_to_idle(FORGOTTEN_AFTER).build();
        Self { rate, callers }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Code::RateLimited`] when it is one too many.
    pub(super) fn count(&self, caller: &Subject) -> Result<Left, Problem> {
        let limiter = self.callers.get_with_by_ref(caller, || Arc::new(self.limiter()));
        match limiter.check() {
            Ok(snapshot) => Ok(self.left(snapshot.remaining_burst_capacity())),
            Err(early) => {
                let seconds = early.wait_time_from(QuantaClock::default().now()).as_secs() + 1;
                let problem = Problem::new(Code::RateLimited).header(header::RETRY_AFTER, seconds.to_string());
                Err(problem.header(POLICY, self.policy()).header(LEFT, format!("\"caller\";r=0;t={seconds}")))
            }
        }
    }

    fn limiter(&self) -> Limiter {
        let quota = Quota::per_second(self.rate.per_second).allow_burst(self.rate.burst);
        DefaultDirectRateLimiter::direct(quota).with_middleware()
    }

    /// As the IETF's draft on rate limit headers writes it: so many within so many seconds.
    fn policy(&self) -> String {
        let Rate { per_second, burst } = self.rate;
        format!("\"caller\";q={burst};w={}", burst.get().div_ceil(per_second.get()))
    }

    fn left(&self, left: u32) -> Left {
        let Rate { per_second, burst } = self.rate;
        let seconds = burst.get().saturating_sub(left).div_ceil(per_second.get());
        let value = |text: String| HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        Left { policy: value(self.policy()), left: value(format!("\"caller\";r={left};t={seconds}")) }
    }
}

impl Left {
    pub(super) fn say(self, mut response: Response) -> Response {
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(POLICY, self.policy);
        headers.insert(LEFT, self.left);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_burst_of_their_own_and_hears_when_to_come_back() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let rates = Rates::new(Rate { per_second: number(1), burst: number(3) });
        let (one, other): (Subject, Subject) = ("one".parse().unwrap(), "other".parse().unwrap());
        for left in [2, 1, 0] {
            let said = rates.count(&one).ok().unwrap().say(Response::default());
            assert!(said.headers()[LEFT].to_str().unwrap().starts_with(&format!("\"caller\";r={left};")));
            assert_eq!(said.headers()[POLICY], "\"caller\";q=3;w=3");
        }
        let refused = rates.count(&one).err().unwrap().into_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.headers()[LEFT], "\"caller\";r=0;t=1");
        assert!(rates.count(&other).is_ok());
    }
}
