//! Faults on demand: makes activities go wrong for one booking, so that tests can show what becomes of it.
//!
//! Off, unless `HOLDFAST_FAULTS` names an address on loopback: `PUT /faults` there adds a [`Fault`],
//! `GET /faults/{booking}` says what has come of those of a booking, and `DELETE /faults/{booking}` takes them away and
//! lets go of what they hold.

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use temporalio_sdk::{
    activities::ActivityError,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use warp::{Filter, http::StatusCode};
use workflows::booking::BookingId;

/// Nothing is held for longer.
const HOLD_MAX: Duration = Duration::from_mins(2);

/// Something that goes wrong with an activity of one booking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Which booking.
    pub booking: BookingId,
    /// Which activity.
    pub activity: String,
    /// With how many of its attempts; with all of them when absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// What goes wrong.
    pub kind: Kind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// This is answered, and nothing done.
    Answer(Value),
    /// An error, and nothing done.
    FailBefore,
    /// It is done, and an error is answered.
    FailAfter,
    /// The worker is gone before it does anything: nobody answers.
    GoneBefore,
    /// It is done, and the worker gone before it can say so: nobody answers.
    GoneAfter,
    /// Nothing is done before the fault is taken away: then it is done, late.
    HoldBefore,
    /// It is done, and answered when the fault is taken away.
    HoldAfter,
    /// Nothing is done before the next attempt begins: then both do it at the same time.
    UntilRepeated,
}

/// What is to go wrong in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    wanted: Vec<Fault>,
    /// How often each activity of a booking with faults has begun.
    begun: HashMap<(BookingId, String), u32>,
    /// What has come of the faults of each booking, also of those that were taken away.
    seen: HashMap<BookingId, Seen>,
}

/// What has come of the faults of a booking.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// How many attempts have met one.
    pub met: u32,
    /// How many of these are still at it.
    pub running: u32,
}

impl Faults {
    /// Serves the tests until told to stop.
    ///
    /// # Errors
    /// When the address is not on loopback, or taken.
    pub async fn serve(&self, address: SocketAddr, stop: CancellationToken) -> anyhow::Result<()> {
        ensure!(address.ip().is_loopback(), "HOLDFAST_FAULTS: expected an address on loopback");
        let listener = process::admin::bind(address).await?;
        tracing::warn!("faults on demand are switched on: for tests only");
        let (adding, taking) = (self.clone(), self.clone());
        let add = warp::path!("faults").and(warp::put()).and(warp::body::json()).map(move |fault| {
            adding.lock().wanted.push(fault);
            StatusCode::NO_CONTENT
        });
        let take = warp::path!("faults" / BookingId).and(warp::delete()).map(move |booking| {
            taking.lock().wanted.retain(|fault| fault.booking != booking);
            taking.0.changed.notify_waiters();
            StatusCode::NO_CONTENT
        });
        let asking = self.clone();
        let ask = warp::path!("faults" / BookingId)
            .and(warp::get())
            .map(move |booking| warp::reply::json(&asking.lock().seen.get(&booking).copied().unwrap_or_default()));
        warp::serve(add.or(take).or(ask))
            .incoming(listener)
            .graceful(async move { stop.cancelled().await })
            .run()
            .await;
        Ok(())
    }

    /// The fault for an attempt that begins, used up once.
    fn begin(&self, booking: BookingId, activity: &str) -> Option<Kind> {
        let mut state = self.lock();
        if !state.wanted.iter().any(|fault| fault.booking == booking) {
            return None;
        }
        *state.begun.entry((booking, activity.to_owned())).or_default() += 1;
        self.0.changed.notify_waiters();
        let meant = |fault: &Fault| fault.booking == booking && fault.activity == activity && fault.times != Some(0);
        let fault = state.wanted.iter_mut().find(|fault| meant(fault))?;
        // It stays, also when it is used up: whoever it holds waits for it to be taken away.
        fault.times = fault.times.map(|times| times - 1);
        let kind = fault.kind.clone();
        let seen = state.seen.entry(booking).or_default();
        (seen.met, seen.running) = (seen.met + 1, seen.running + 1);
        Some(kind)
    }

    fn end(&self, booking: BookingId) {
        if let Some(seen) = self.lock().seen.get_mut(&booking) {
            seen.running -= 1;
        }
    }

    /// Waits until all faults of a booking are taken away.
    async fn lifted(&self, booking: BookingId) {
        self.until(|state| !state.wanted.iter().any(|fault| fault.booking == booking)).await;
    }

    /// Waits until an activity of a booking has begun twice.
    async fn repeated(&self, booking: BookingId, activity: &str) {
        let key = (booking, activity.to_owned());
        self.until(|state| state.begun.get(&key).is_some_and(|begun| *begun > 1)).await;
    }

    async fn until(&self, wished: impl Fn(&State) -> bool) {
        let waited = tokio::time::timeout(HOLD_MAX, async {
            loop {
                let changed = self.0.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if wished(&self.lock()) {
                    return;
                }
                changed.await;
            }
        });
        if waited.await.is_err() {
            tracing::warn!("a fault held something for as long as it may");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn booking_of(workflow: Option<&str>) -> Option<BookingId> {
    process::logs::booking_of(workflow?).parse().ok()
}

/// What comes of a call over the short road.
#[derive(Debug)]
pub(crate) enum Met {
    Answer(Value),
    Error,
    Silence,
}

impl Faults {
    /// Does some work for a booking on the short road, unless something is to go wrong with it.
    pub(crate) async fn meet(
        &self,
        activity: &str,
        workflow: Option<&str>,
        work: impl Future<Output = Option<Value>>,
    ) -> Met {
        let work = async { work.await.map_or(Met::Error, Met::Answer) };
        let booking = booking_of(workflow);
        let Some((booking, kind)) = booking.and_then(|booking| Some((booking, self.begin(booking, activity)?))) else {
            return work.await;
        };
        let met = match kind {
            Kind::Answer(answer) => Met::Answer(answer),
            Kind::FailBefore => Met::Error,
            Kind::FailAfter => {
                work.await;
                Met::Error
            }
            Kind::GoneBefore => Met::Silence,
            Kind::GoneAfter => {
                work.await;
                Met::Silence
            }
            Kind::HoldBefore => {
                self.lifted(booking).await;
                work.await
            }
            Kind::HoldAfter => {
                let met = work.await;
                self.lifted(booking).await;
                met
            }
            Kind::UntilRepeated => {
                self.repeated(booking, activity).await;
                work.await
            }
        };
        self.end(booking);
        met
    }
}

impl ActivityInboundInterceptor for Faults {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        let info = input.activity_info();
        let activity = info.activity_type.clone();
        let booking = booking_of(info.workflow_id.as_deref());
        let Some((booking, kind)) = booking.and_then(|booking| Some((booking, self.begin(booking, &activity)?))) else {
            return next.run(input);
        };
        Box::pin(async move {
            let failed = || Err(anyhow::anyhow!("a fault on demand").into());
            // What is promised for later and never comes looks to Temporal like a worker that is gone.
            let gone = || Err(ActivityError::WillCompleteAsync);
            let answer = match kind {
                Kind::Answer(answer) => Ok(Box::new(answer) as _),
                Kind::FailBefore => failed(),
                Kind::FailAfter => next.run(input).await.and_then(|_| failed()),
                Kind::GoneBefore => gone(),
                Kind::GoneAfter => next.run(input).await.and_then(|_| gone()),
                Kind::HoldBefore => {
                    self.lifted(booking).await;
                    next.run(input).await
                }
                Kind::HoldAfter => {
                    let answer = next.run(input).await;
                    self.lifted(booking).await;
                    answer
                }
                Kind::UntilRepeated => {
                    self.repeated(booking, &activity).await;
                    next.run(input).await
                }
            };
            self.end(booking);
            answer
        })
    }
}
