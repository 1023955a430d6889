//! Limits: how often a caller may ask, and how much of it at a time.

use super::problem::{Code, Problem};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, QuantaClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::sync::Cache;
use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    /// `HOLDFAST_REQUESTS_BURST_MAX`, in a moment.
    pub burst: NonZeroU32,
    /// `HOLDFAST_REQUESTS_AT_ONCE_MAX`: so many that are not answered yet. A feed is one until it ends.
    pub at_once: NonZeroUsize,
}

impl Default for Rate {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let at_once = NonZeroUsize::new(64).expect("not zero");
        Self { per_second: number(50), burst: number(200), at_once }
    }
}

/// What a request holds until it is answered: one of its caller's places.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// How often each caller has asked, and how much of it is not answered yet.
pub(super) struct Rates {
    rate: Rate,
    callers: Cache<Subject, Arc<Asked>>,
}

/// One caller.
struct Asked {
    limiter: Limiter,
    places: Arc<Semaphore>,
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

    /// Counts a request, and gives it a place.
    ///
    /// # Errors
    /// [`Code::RateLimited`] when it is one too many.
    pub(super) fn count(&self, caller: &Subject) -> Result<(Left, Place), Problem> {
        let asked = self.callers.get_with_by_ref(caller, || Arc::new(self.asked()));
        let left = match asked.limiter.check() {
            Ok(snapshot) => self.left(snapshot.remaining_burst_capacity()),
            Err(early) => {
                let seconds = early.wait_time_from(QuantaClock::default().now()).as_secs() + 1;
                let problem = Problem::new(Code::RateLimited).header(header::RETRY_AFTER, seconds.to_string());
                return Err(problem.header(POLICY, self.policy()).header(LEFT, format!("\"caller\";r=0;t={seconds}")));
            }
        };
        let place = asked.places.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{} of your requests are not answered yet.", self.rate.at_once);
            let problem = Problem::new(Code::RateLimited).header(header::RETRY_AFTER, "1".to_owned()).detail(&detail);
            problem.header(POLICY, self.policy()).header(LEFT, "\"caller\";r=0;t=1".to_owned())
        })?;
        Ok((left, Arc::new(place)))
    }

    fn asked(&self) -> Asked {
        let quota = Quota::per_second(self.rate.per_second).allow_burst(self.rate.burst);
        let limiter = DefaultDirectRateLimiter::direct(quota).with_middleware();
        Asked { limiter, places: Arc::new(Semaphore::new(self.rate.at_once.get())) }
    }

    /// As the IETF's draft on rate limit headers writes it: so many within so many seconds.
    fn policy(&self) -> String {
        let Rate { per_second, burst, .. } = self.rate;
        format!("\"caller\";q={burst};w={}", burst.get().div_ceil(per_second.get()))
    }

    fn left(&self, left: u32) -> Left {
        let Rate { per_second, burst, .. } = self.rate;
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

    fn rates(burst: u32, at_once: usize) -> Rates {
        let (per_second, burst) = (NonZeroU32::MIN, NonZeroU32::new(burst).unwrap());
        Rates::new(Rate { per_second, burst, at_once: NonZeroUsize::new(at_once).unwrap() })
    }

    #[test]
    fn each_caller_has_a_burst_of_their_own_and_hears_when_to_come_back() {
        let rates = rates(3, 1);
        let (one, other): (Subject, Subject) = ("one".parse().unwrap(), "other".parse().unwrap());
        for left in [2, 1, 0] {
            let said = rates.count(&one).ok().unwrap().0.say(Response::default());
            assert!(said.headers()[LEFT].to_str().unwrap().starts_with(&format!("\"caller\";r={left};")));
            assert_eq!(said.headers()[POLICY], "\"caller\";q=3;w=3");
        }
        let refused = rates.count(&one).err().unwrap().into_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.headers()[LEFT], "\"caller\";r=0;t=1");
        assert!(rates.count(&other).is_ok());
    }

    #[test]
    fn each_caller_has_places_of_their_own_and_an_answer_frees_one() {
        let rates = rates(10, 2);
        let (one, other): (Subject, Subject) = ("one".parse().unwrap(), "other".parse().unwrap());
        let held: Vec<Place> = (0..2).map(|_| rates.count(&one).ok().unwrap().1).collect();
        let refused = rates.count(&one).err().unwrap().into_response();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &HeaderValue::from_static("1"))
        );
        assert!(rates.count(&other).is_ok());
        drop(held);
        assert!(rates.count(&one).is_ok());
    }
}
