//! Breaker: leaves a part alone that does not answer, and comes back to it gently.
//!
//! Closed, every call goes through. After a few failures in a row it opens: nobody asks, and everybody hears at once when to
//! come back. Then a single call probes. When it is answered, two may go at a time, then four, until it is closed again, so that
//! a part that has just recovered is not run over by all who waited. A failure halves how many may go; where only one may, it opens
//! again, for twice as long if nothing was answered meanwhile. So a part that answers some calls is asked on, if only one by one.

use crate::metrics::gauge;
use prometheus::IntGaugeVec;
use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Is a part left alone?
static STATE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Whether a part is asked: 0 closed (yes), 1 half open (a few at a time), 2 open (no), 3 paused by hand.";
    gauge("holdfast_breaker_state", help, &["part"])
});

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// As many failures in a row open it.
    pub failures: u32,
    /// How long it stays open at first. Twice as long each time after, until something is answered.
    pub open: Duration,
    /// It stays open no longer than this.
    pub open_max: Duration,
    /// When so many calls at a time have been let through again, it is closed.
    pub probes_max: usize,
}

/// Whether calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of them.
    Closed,
    /// A few at a time.
    HalfOpen,
    /// None, for a while.
    Open,
    /// None, until somebody says so.
    Paused,
}

impl State {
    /// The state as operators read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::Paused => "paused",
        }
    }
}

/// The part is left alone for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} is left alone for now")]
pub struct Resting {
    /// Which part.
    pub part: &'static str,
    /// When to come back.
    pub retry_in: Duration,
}

/// A breaker before one part.
#[derive(Debug)]
pub struct Breaker {
    part: &'static str,
    settings: Settings,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    phase: Phase,
    paused: bool,
    /// How often it has opened without an answer in between.
    opened: u32,
    /// Calls that began in another era say nothing about this one.
    era: u64,
}

#[derive(Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { allowed: usize, busy: usize },
}

/// Leave to make one call. Dropped without a verdict, it says nothing about the part.
#[derive(Debug)]
#[must_use]
pub struct Leave<'a> {
    breaker: &'a Breaker,
    era: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(part: &'static str, settings: Settings) -> Self {
        let now = Now { phase: Phase::Closed { failures: 0 }, paused: false, opened: 0, era: 0 };
        let breaker = Self { part, settings, now: Mutex::new(now) };
        breaker.show(&breaker.lock());
        breaker
    }

    /// Asks for leave to make a call.
    ///
    /// # Errors
    /// [`Resting`] while the part is left alone.
    pub fn enter(&self) -> Result<Leave<'_>, Resting> {
        self.enter_at(Instant::now())
    }

    fn enter_at(&self, at: Instant) -> Result<Leave<'_>, Resting> {
        let mut now = self.lock();
        let resting = |retry_in| Err(Resting { part: self.part, retry_in });
        if now.paused {
            return resting(self.settings.open_max);
        }
        if let Phase::Open { until } = now.phase {
            if at < until {
                return resting(until - at);
            }
            now.turn(Phase::HalfOpen { allowed: 1, busy: 0 });
            self.show(&now);
        }
        if let Phase::HalfOpen { allowed, busy } = &mut now.phase {
            if busy >= allowed {
                return resting(self.settings.open);
            }
            *busy += 1;
        }
        Ok(Leave { breaker: self, era: now.era })
    }

    /// Stops all calls, or lets them go again. Says whether that was a change.
    pub fn pause(&self, paused: bool) -> bool {
        let mut now = self.lock();
        let changed = now.paused != paused;
        if changed {
            now.paused = paused;
            if !paused {
                // Whoever waited comes back at once: let them in one by one.
                now.turn(Phase::HalfOpen { allowed: 1, busy: 0 });
            }
            self.show(&now);
        }
        changed
    }

    /// Whether calls go through, and when to come back where they do not.
    #[must_use]
    pub fn state(&self) -> (State, Option<Duration>) {
        let now = self.lock();
        match now.phase {
            Phase::Open { until } if !now.paused => {
                (State::Open, Some(until.saturating_duration_since(Instant::now())))
            }
            _ => (now.state(), None),
        }
    }

    fn ended(&self, leave: &Leave<'_>, verdict: Option<bool>, at: Instant) {
        let mut now = self.lock();
        if now.era != leave.era {
            return;
        }
        match (&mut now.phase, verdict) {
            (Phase::Closed { failures }, Some(true)) => *failures = 0,
            (Phase::Closed { failures }, Some(false)) => {
                *failures += 1;
                if *failures >= self.settings.failures {
                    self.open(&mut now, at);
                }
            }
            (Phase::HalfOpen { allowed, busy }, Some(true)) => {
                *busy -= 1;
                *allowed *= 2;
                let is_well = *allowed > self.settings.probes_max;
                now.opened = 0;
                if is_well {
                    now.turn(Phase::Closed { failures: 0 });
                    tracing::info!(part = self.part, "a breaker is closed: the part answers again");
                }
            }
            (Phase::HalfOpen { allowed: 1, .. }, Some(false)) => self.open(&mut now, at),
            (Phase::HalfOpen { allowed, busy }, Some(false)) => {
                *busy -= 1;
                *allowed /= 2;
            }
            (Phase::HalfOpen { busy, .. }, None) => *busy -= 1,
            (Phase::Closed { .. }, None) | (Phase::Open { .. }, _) => {}
        }
        self.show(&now);
    }

    fn open(&self, now: &mut Now, at: Instant) {
        let Settings { open, open_max, .. } = self.settings;
        let rest = open.saturating_mul(2_u32.saturating_pow(now.opened)).min(open_max);
        now.opened += 1;
        now.turn(Phase::Open { until: at + rest });
        tracing::warn!(part = self.part, seconds = rest.as_secs_f64(), "a breaker is open: the part is left alone");
    }

    fn show(&self, now: &Now) {
        let level = match now.state() {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
            State::Paused => 3,
        };
        STATE.with_label_values(&[self.part]).set(level);
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }

    fn state(&self) -> State {
        match self.phase {
            _ if self.paused => State::Paused,
            Phase::Closed { .. } => State::Closed,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Open { .. } => State::Open,
        }
    }
}

impl Leave<'_> {
    /// The part answered, whatever it said.
    pub fn answered(self) {
        self.breaker.ended(&self, Some(true), Instant::now());
        std::mem::forget(self);
    }

    /// The part did not answer, or not clearly.
    pub fn failed(self) {
        self.breaker.ended(&self, Some(false), Instant::now());
        std::mem::forget(self);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.breaker.ended(self, None, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { failures: 3, open: Duration::from_secs(1), open_max: Duration::from_secs(4), probes_max: 4 };

    fn opened(part: &'static str) -> Breaker {
        let breaker = Breaker::new(part, SETTINGS);
        for _ in 0..SETTINGS.failures {
            breaker.enter().unwrap().failed();
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let breaker = Breaker::new("a", SETTINGS);
        for _ in 0..10 {
            breaker.enter().unwrap().failed();
            breaker.enter().unwrap().failed();
            breaker.enter().unwrap().answered();
        }
        assert_eq!(breaker.state().0, State::Closed);
        let open = opened("b");
        assert_eq!(open.state().0, State::Open);
        let resting = open.enter().unwrap_err();
        assert!(resting.retry_in <= SETTINGS.open && !resting.retry_in.is_zero(), "{resting:?}");
    }

    #[test]
    fn one_probes_then_two_then_four_and_then_all() {
        let breaker = opened("c");
        let later = Instant::now() + SETTINGS.open;
        for at_a_time in [1, 2, 4] {
            let mut probes: Vec<_> = (0..at_a_time).map(|_| breaker.enter_at(later).unwrap()).collect();
            assert!(breaker.enter_at(later).is_err(), "no more than {at_a_time}");
            probes.pop().unwrap().answered();
        }
        assert_eq!(breaker.state().0, State::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer_each_time_up_to_a_limit() {
        let breaker = opened("d");
        let mut at = Instant::now();
        for seconds in [2, 4, 4] {
            at += SETTINGS.open_max;
            let probe = breaker.enter_at(at).unwrap();
            breaker.ended(&probe, Some(false), at);
            assert_eq!(breaker.enter_at(at).unwrap_err().retry_in, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_part_that_answers_every_second_call_is_asked_on_one_by_one() {
        let breaker = opened("h");
        let later = Instant::now() + SETTINGS.open;
        for _ in 0..10 {
            breaker.enter_at(later).unwrap().answered();
            let (fails, waits) = (breaker.enter_at(later).unwrap(), breaker.enter_at(later).unwrap());
            fails.failed();
            assert!(breaker.enter_at(later).is_err(), "one is under way, and no more than one may be");
            drop(waits);
        }
        assert_eq!(breaker.state().0, State::HalfOpen);
    }

    #[test]
    fn after_an_answer_it_opens_for_as_long_as_at_first() {
        let breaker = opened("i");
        let at = Instant::now() + SETTINGS.open_max;
        let probe = breaker.enter_at(at).unwrap();
        breaker.ended(&probe, Some(false), at);
        let later = at + SETTINGS.open_max;
        breaker.enter_at(later).unwrap().answered();
        breaker.enter_at(later).unwrap().failed();
        let last = breaker.enter_at(later).unwrap();
        breaker.ended(&last, Some(false), later);
        assert_eq!(breaker.enter_at(later).unwrap_err().retry_in, SETTINGS.open);
    }

    #[test]
    fn what_began_before_it_opened_says_nothing_about_now() {
        let breaker = Breaker::new("e", SETTINGS);
        let (late, later) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        for _ in 0..SETTINGS.failures {
            breaker.enter().unwrap().failed();
        }
        late.answered();
        assert_eq!(breaker.state().0, State::Open);
        let probe = breaker.enter_at(Instant::now() + SETTINGS.open).unwrap();
        later.failed();
        assert_eq!(breaker.state().0, State::HalfOpen);
        probe.answered();
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let breaker = opened("f");
        let later = Instant::now() + SETTINGS.open;
        drop(breaker.enter_at(later).unwrap());
        assert!(breaker.enter_at(later).is_ok());
    }

    #[test]
    fn a_pause_lasts_until_it_is_over_and_then_they_come_one_by_one() {
        let breaker = Breaker::new("g", SETTINGS);
        assert!(breaker.pause(true) && !breaker.pause(true));
        assert_eq!(breaker.state().0, State::Paused);
        assert!(breaker.enter_at(Instant::now() + SETTINGS.open_max * 9).is_err());
        assert!(breaker.pause(false));
        let _probe = breaker.enter().unwrap();
        assert!(breaker.enter().is_err());
    }
}
