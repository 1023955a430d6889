//! How a booking begins: looked up under its key, refused from the board where that is certain, started otherwise, and
//! answered from the board as soon as it is accepted or turned back.

use super::{
    Gateway,
    call::{Call, concerns},
    catalogue::{Item, Known},
    problem::{Code, Problem},
};
use crate::{
    board,
    host::{Kind, found_by},
    metrics::ACCEPTANCE,
};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use temporalio_client::{
    RpcOptions, UntypedWorkflow, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowStartOptions,
    errors::WorkflowStartError, tonic::Code as Rpc,
};
use temporalio_common::data_converters::{PayloadConverter, RawValue};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use uuid::{Uuid, Version};
use workflows::{
    booking::{self, BookingId, Period, Row, Subject},
    contracts,
    money::Money,
    saga,
};

/// One attempt at a start. A start whose outcome is unknown is repeated under the same workflow id.
const START_ATTEMPT: Duration = Duration::from_millis(800);
const START_PAUSE: Duration = Duration::from_millis(50);
/// What may be otherwise in a moment.
const AGAIN: &[Rpc] = &[Rpc::DeadlineExceeded, Rpc::Cancelled, Rpc::Unavailable, Rpc::Unknown, Rpc::ResourceExhausted];
/// How long a start waits for the board to say something that would save it. Without, the saga finds out.
const HINT_WITHIN: Duration = Duration::from_millis(150);
/// Where booking ids made from idempotency keys live.
const KEYS: Uuid = Uuid::from_u128(0x5b0f_9d9c_2f6e_4e57_9a63_6f1d_c0a7_11e5);

/// What a caller asks for.
pub struct Wanted {
    /// Which saga.
    pub kind: &'static Kind,
    /// The number of the item in its system's catalogue; 0 for nothing of a catalogue.
    pub item: i64,
    /// For when, where that matters.
    pub period: Option<Period>,
    /// What it costs, where that is agreed now.
    pub price: Option<Money>,
    /// What the system's own pages show.
    pub details: BTreeMap<String, String>,
    /// The provider's token for the card.
    pub method: Option<String>,
    /// The caller's own reference: as good as an idempotency key.
    pub reference: Option<String>,
    /// The whole body, in canonical form.
    pub body: String,
    /// What is refused when somebody else has it.
    pub taken: Code,
    /// What is refused when it is not listed.
    pub unlisted: Code,
}

impl Wanted {
    /// Something of a catalogue, at its price.
    pub fn item(kind: &'static Kind, item: i64, body: String, taken: Code, unlisted: Code) -> Self {
        let (period, price, method, reference) = Default::default();
        Self { kind, item, period, price, details: BTreeMap::new(), method, reference, body, taken, unlisted }
    }

    /// Nothing of a catalogue: the caller's request itself.
    pub fn request(kind: &'static Kind, body: String) -> Self {
        Self::item(kind, 0, body, Code::ItemTaken, Code::UnknownItem)
    }

    /// What only as many can have as there are units of it.
    fn asked_for(&self) -> AskedFor {
        (self.kind.system, self.item, self.period.map(|period| (period.from(), period.to())))
    }

    /// Is it accepted?
    pub fn accepted(&self, row: &Row) -> bool {
        row.times.contains_key(self.kind.accepted)
    }
}

/// What came of it.
pub enum Begun {
    /// It is on the board: accepted, or turned back.
    Known(Box<Row>),
    /// Not decided within the time: it will be, in order. What is known of it.
    Pending(Box<Row>),
}

impl Gateway {
    /// Begins a booking, or finds the one its key stands for.
    ///
    /// # Errors
    /// A refusal that is certain before anything is started; `outcome_unknown` when Temporal does not answer.
    pub(super) async fn begin(&self, call: &Call, wanted: &Wanted) -> Result<Begun, Problem> {
        let system = wanted.kind.system;
        let begun = self.begin_or_find(call, wanted).await;
        let outcome = match &begun {
            Ok(Begun::Known(row)) if wanted.accepted(row) => "accepted",
            Ok(Begun::Known(_)) => "turned_back",
            Ok(Begun::Pending(_)) => "pending",
            Err(_) => "refused",
        };
        ACCEPTANCE.with_label_values(&[system, outcome]).observe(call.arrived.elapsed().as_secs_f64());
        begun
    }

    async fn begin_or_find(&self, call: &Call, wanted: &Wanted) -> Result<Begun, Problem> {
        let system = wanted.kind.system;
        let key = match (call.idempotency_key()?, &wanted.reference) {
            // A reference is looked up by later; a key beside it says no more.
            (_, Some(reference)) => Some(key_of_reference(reference)),
            (Some(key), None) => Some(key.to_owned()),
            (None, None) => None,
        };
        let booking = booking_id(&call.caller.subject, system, key.as_deref());
        concerns(booking);
        let fingerprint = key.as_ref().map(|_| fingerprint(&wanted.body));
        let accepted = |row: &Row| wanted.accepted(row);
        let until = call.due();

        if key.is_some()
            && let Some(row) = self.begun_before(booking, until, &accepted).await?
        {
            return begun(row, fingerprint.as_deref(), &accepted);
        }
        let listed = match wanted.item {
            0 => None,
            item => match self.catalogue.known(system, item).await {
                Known::Listed(item) => Some(item),
                Known::Unlisted => return Err(Problem::new(wanted.unlisted).with("item", item)),
                Known::Unsure => None,
            },
        };
        let _turn = match &listed {
            // Half of the time, so that the other half is left for the start itself. What is accepted before it is held is
            // refused to nobody here.
            Some(item) if wanted.kind.holds_at_once() => {
                self.turn(wanted, item.units, booking, call.arrived + (until - call.arrived) / 2).await?
            }
            Some(_) | None => None,
        };
        let opening = saga::Opening {
            booking,
            customer: call.caller.subject.clone(),
            item: booking::Item { system: system.to_owned(), number: wanted.item },
            period: wanted.period,
            price: wanted.price,
            details: wanted.details.clone(),
            fingerprint,
            limits: self.limits.clone(),
            recovered: None,
        };
        let summary = summary(wanted.kind.noun, &opening, listed.as_ref());
        let request = saga::Request { opening, method: wanted.method.clone() };
        self.starts.one(until, self.launch(wanted.kind, &request, summary, until)).await?;
        let row = self.row_when(booking, until, accepted).await?;
        begun(row.unwrap_or_else(|| request.opening.row()), request.opening.fingerprint.as_deref(), &accepted)
    }

    /// The booking that was accepted under this caller's key, with the same body.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for a key that is none, [`Code::Unavailable`] when the board does not answer.
    pub(super) async fn begun_under_key(
        &self,
        call: &Call,
        system: &'static str,
        body: &str,
    ) -> Result<Option<Row>, Problem> {
        let Some(key) = call.idempotency_key()? else { return Ok(None) };
        let booking = booking_id(&call.caller.subject, system, Some(key));
        let row = self.board.find(booking).await?;
        let accepted = |row: &Row| {
            let kind = crate::host::kind(system);
            kind.is_some_and(|kind| row.times.contains_key(kind.accepted))
                && row.fingerprint.as_deref() == Some(fingerprint(body).as_str())
        };
        Ok(row.filter(accepted))
    }

    /// The booking its key stands for, when there is one already: waited for like a new one.
    async fn begun_before(
        &self,
        booking: BookingId,
        until: Instant,
        accepted: &impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Problem> {
        // Without the board, the workflow id still tells an old key from a new one.
        match hint(self.board.find(booking)).await {
            None | Some(None) => Ok(None),
            Some(Some(row)) => Ok(Some(self.row_when(booking, until, accepted).await?.unwrap_or(row))),
        }
    }

    /// Waits for the turn to ask for an item. While as many requests for it are undecided as there are units, the others
    /// wait for their outcome; and when all units are held already, it costs a look at the board, not a saga: one look for
    /// all who wait. When time runs out, the request goes on without a turn: the hold itself decides.
    async fn turn(
        &self,
        wanted: &Wanted,
        units: i32,
        booking: BookingId,
        until: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let units = usize::try_from(units).unwrap_or(1);
        self.refuse_if_held(wanted, units, booking).await?;
        let asked_for = wanted.asked_for();
        let turn = timeout_at(until, self.turns.of(&asked_for, units)).await.ok();
        if matches!(turn, Some(Err(_))) && booking.0.get_version() == Some(Version::SortRand) {
            // The one before saw that others have it. That was no look at a booking this request may be the repeat of.
            return Err(taken(wanted));
        }
        let turn = turn.and_then(Result::ok);
        let refused = self.refuse_if_held(wanted, units, booking).await;
        if let (Err(_), Some(turn)) = (&refused, &turn) {
            self.turns.end(&asked_for, turn.semaphore());
        }
        refused.map(|()| turn)
    }

    /// Refuses when the board says that others have all units. A board that says nothing refuses nobody.
    async fn refuse_if_held(&self, wanted: &Wanted, units: usize, booking: BookingId) -> Result<(), Problem> {
        let (system, item) = (wanted.kind.system, wanted.item);
        let held = match wanted.period {
            None => hint(self.board.held_by_others(system, item, booking, units)).await.unwrap_or(0),
            // One is enough to know of: nothing that is booked for a time comes in several units.
            Some(period) => {
                let others = hint(self.board.holders_during(system, &[(item, Some(period))], Some(booking))).await;
                others.map_or(0, |others| others.len() * units)
            }
        };
        if held >= units { Err(taken(wanted)) } else { Ok(()) }
    }

    async fn launch(
        &self,
        kind: &Kind,
        request: &saga::Request,
        summary: String,
        until: Instant,
    ) -> Result<(), Problem> {
        let opening = &request.opening;
        let input = || RawValue::from_value(request, &PayloadConverter::default());
        let options = WorkflowStartOptions::new(contracts::board::QUEUE, opening.workflow_id())
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .search_attributes(found_by(opening))
            .static_summary(summary)
            .enable_eager_workflow_start(true)
            .rpc_options(RpcOptions::builder().timeout(START_ATTEMPT).build())
            .build();
        loop {
            let start = self.temporal.start_workflow(UntypedWorkflow::new(kind.workflow), input(), options.clone());
            let error = match timeout_at(until, start).await {
                Ok(Ok(_)) => {
                    self.unpublished.insert(opening.booking, opening.row());
                    return Ok(());
                }
                // Ours: started by an earlier attempt, or by an earlier request with this key.
                Ok(Err(WorkflowStartError::AlreadyStarted { .. })) => return Ok(()),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            let again = matches!(&error, Some(WorkflowStartError::Rpc(status)) if AGAIN.contains(&status.code()));
            if !again || Instant::now() + START_PAUSE >= until {
                if let Some(error) = error {
                    tracing::warn!(error = process::logs::chain(&error), "Temporal did not take a start");
                }
                return Err(Problem::new(Code::OutcomeUnknown)
                    .with("booking", opening.booking.to_string())
                    .detail("Repeat the request with the same Idempotency-Key, or look at the booking."));
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    /// The row of a booking once it is decided, or as it is when the time is up.
    pub(super) async fn row_when(
        &self,
        booking: BookingId,
        until: Instant,
        wished: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Problem> {
        let decided = |row: &Row| wished(row) || row.ending.is_some();
        match self.board.wait(booking, until, decided).await {
            Ok(row) => Ok(row),
            // An accepted booking goes on without the board; its row follows.
            Err(error @ board::Error::Corrupt(_)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

/// What the board says, if it says it at once.
async fn hint<T>(read: impl Future<Output = Result<T, board::Error>>) -> Option<T> {
    match tokio::time::timeout(HINT_WITHIN, read).await.unwrap_or(Err(board::Error::Slow)) {
        Ok(hint) => Some(hint),
        Err(error) => {
            tracing::warn!(error = process::logs::chain(&error), "a booking starts without a hint from the board");
            None
        }
    }
}

fn taken(wanted: &Wanted) -> Problem {
    Problem::new(wanted.taken).with("item", wanted.item)
}

fn begun(row: Row, fingerprint: Option<&str>, accepted: &impl Fn(&Row) -> bool) -> Result<Begun, Problem> {
    if row.fingerprint.as_deref() != fingerprint {
        Err(Problem::new(Code::IdempotencyKeyReused))
    } else if accepted(&row) || row.ending.is_some() {
        Ok(Begun::Known(Box::new(row)))
    } else {
        Ok(Begun::Pending(Box::new(row)))
    }
}

/// One plain line for Temporal's web UI.
fn summary(noun: &str, opening: &saga::Opening, listed: Option<&Item>) -> String {
    let item = listed.map_or_else(|| opening.item.to_string(), |item| format!("\"{}\"", item.name));
    format!("{noun} of {item} by customer {}", opening.customer)
}

/// New for every request, unless the caller has a key: then the same for the same caller, system and key.
fn booking_id(caller: &Subject, system: &str, key: Option<&str>) -> BookingId {
    BookingId(key.map_or_else(Uuid::now_v7, |key| {
        // None of the parts can hold a NUL.
        Uuid::new_v5(&KEYS, format!("{caller}\0{system}\0{key}").as_bytes())
    }))
}

/// A caller's own reference as a key. No key that a caller sends has a space.
fn key_of_reference(reference: &str) -> String {
    format!("reference {reference}")
}

/// The booking that a caller's own reference stands for.
pub(super) fn booking_of_reference(caller: &Subject, system: &str, reference: &str) -> BookingId {
    booking_id(caller, system, Some(&key_of_reference(reference)))
}

/// A digest of some text, short enough to compare.
pub(super) fn fingerprint(body: &str) -> String {
    format!("{:x}", Sha256::digest(body))
}

/// An item of a system, for a time where that matters.
type AskedFor = (&'static str, i64, Option<(DateTime<Utc>, DateTime<Utc>)>);

/// Whose turn it is to ask for an item: as many at a time as it has units.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<AskedFor, Weak<Semaphore>>>);

impl Turns {
    /// The next turn; an error when those who wait for one are sent away instead.
    async fn of(&self, asked_for: &AskedFor, units: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let queue = {
            let mut queues = self.lock();
            // Nobody waits for these any more.
            queues.retain(|_, queue| queue.strong_count() > 0);
            let queue = queues.entry(*asked_for).or_default();
            queue.upgrade().unwrap_or_else(|| {
                let new = Arc::new(Semaphore::new(units));
                *queue = Arc::downgrade(&new);
                new
            })
        };
        queue.acquire_owned().await
    }

    /// Sends away all who wait in a queue. Who comes after them queues anew.
    fn end(&self, asked_for: &AskedFor, queue: &Arc<Semaphore>) {
        queue.close();
        let mut queues = self.lock();
        if queues.get(asked_for).is_some_and(|known| known.ptr_eq(&Arc::downgrade(queue))) {
            queues.remove(asked_for);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AskedFor, Weak<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts under way. The engine takes so many at a time and no more. Who comes then waits for their turn, and hears in time when it
/// would come too late, before anything is begun: an answer at once would only be asked for again at once.
pub(super) struct Starts {
    slots: Semaphore,
    /// How long one takes, of late, in microseconds.
    takes: AtomicU64,
}

/// So many starts at a time.
const STARTS_MAX: usize = 16;

impl Default for Starts {
    fn default() -> Self {
        Self { slots: Semaphore::new(STARTS_MAX), takes: AtomicU64::new(0) }
    }
}

impl Starts {
    /// Does one when it is its turn.
    ///
    /// # Errors
    /// [`Code::TooBusy`] when that would not be in time.
    async fn one<T>(&self, until: Instant, start: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let known = || self.takes.load(Ordering::Relaxed);
        // A free slot is always taken: the estimate is put right by those that get through.
        let turn = timeout_at(until - Duration::from_micros(known()), self.slots.acquire()).await;
        let _slot = turn.ok().and_then(Result::ok).ok_or_else(|| Problem::new(Code::TooBusy))?;
        let began = Instant::now();
        let started = start.await?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // The newest counts an eighth. Two at the same moment may lose one of them: it is an estimate.
        self.takes.store(known() - known() / 8 + took / 8, Ordering::Relaxed);
        Ok(started)
    }
}
