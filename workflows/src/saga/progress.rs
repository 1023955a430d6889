//! What a booking knows of itself, and what people may tell it.

use super::{operator::Interventions, stage};
use crate::{
    booking::{BookingId, Ending, Item, Party, Period, Row, Subject},
    contracts::{catalog, payment},
    money::Money,
};
use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How long things may take. They travel in the request, so that a booking keeps the limits it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// A forward step with all its attempts. Longer than an outage may last: hours.
    #[serde(with = "milliseconds")]
    pub step: Duration,
    /// A person's decision.
    #[serde(with = "milliseconds")]
    pub decision: Duration,
    /// A customer's payment, where they pay by themselves.
    #[serde(with = "milliseconds", default = "payment_limit")]
    pub payment: Duration,
    /// Until what was booked counts as given, where nobody says so.
    #[serde(with = "milliseconds", default = "service_limit")]
    pub service: Duration,
    /// One round of attempts at something that must be done.
    #[serde(with = "milliseconds")]
    pub round: Duration,
    /// The longest pause between two rounds; it grows with the time it has taken so far.
    #[serde(with = "milliseconds")]
    pub pause_max: Duration,
    /// How long something that must be done may take before the booking is shown as stuck. It is tried on after that.
    #[serde(with = "milliseconds")]
    pub undo_patience: Duration,
    /// A message with all its attempts.
    #[serde(with = "milliseconds")]
    pub notice: Duration,
    /// Workers are asked over the short road first. A booking keeps the roads it began with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub near: bool,
    /// How its story is told.
    #[serde(flatten)]
    pub order: Order,
}

/// What has changed in how a story is told. A booking that began before a change was goes on without it: its history has the old
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What a person said is written down before anything follows from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
    /// What the story does not wait for goes on while it waits for somebody, and not only after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
    /// Where a request waits for a hold over the short road, its first row reaches the board together with the next one: one commit
    /// less to wait for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub together: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let hour = Duration::from_hours(1);
        Self {
            step: hour * 6,
            decision: hour * 24 * 14,
            payment: payment_limit(),
            service: service_limit(),
            round: Duration::from_secs(20),
            pause_max: hour,
            undo_patience: Duration::from_mins(5),
            notice: hour * 24 * 3,
            near: false,
            order: Order { written: true, beside: true, together: true },
        }
    }
}

const fn payment_limit() -> Duration {
    Duration::from_hours(24)
}

const fn service_limit() -> Duration {
    Duration::from_hours(24 * 30)
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        u64::deserialize(input).map(Duration::from_millis)
    }
}

/// What every booking begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The key of everything done for it.
    pub booking: BookingId,
    /// Who books.
    pub customer: Subject,
    /// What.
    pub item: Item,
    /// For when, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// What it costs, where that is agreed before anything is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// What the system's own pages show beside the rest, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// A digest of the request body, when the caller sent an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// How long things may take.
    pub limits: Limits,
    /// Set when an earlier saga of this booking has ended before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovered>,
}

/// What every saga is started with. All but the opening may be missing: a booking that is recovered has nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// What every booking begins with.
    pub opening: Opening,
    /// The provider's token for the card to charge; the customer's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

impl Request {
    /// Asks for a unit of an item, for the booking's period.
    #[must_use]
    pub fn hold(&self, item: Item) -> catalog::HoldRequest {
        let opening = &self.opening;
        catalog::HoldRequest {
            booking: opening.booking,
            workflow: opening.workflow_id(),
            customer: Some(opening.customer.clone()),
            item,
            period: opening.period,
            was_held: None,
        }
    }

    /// Asks the customer for money.
    #[must_use]
    pub fn charge(&self, amount: Money) -> payment::ChargeRequest {
        payment::ChargeRequest {
            booking: self.opening.booking,
            workflow: self.opening.workflow_id(),
            customer: self.opening.customer.clone(),
            amount,
            method: self.method.clone(),
            was_captured: false,
        }
    }
}

/// What is known of a booking whose saga has ended before it: it was terminated, failed, timed out or deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recovered {
    /// How that saga ended: `terminated`, `failed`, `timed_out`, `canceled`, `completed` or `deleted`.
    pub after: String,
    /// Where the booking was, if the board knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
}

impl Opening {
    /// A booking of an item by a customer, and nothing else to say about it.
    #[must_use]
    pub const fn new(booking: BookingId, customer: Subject, item: Item, limits: Limits) -> Self {
        Self {
            booking,
            customer,
            item,
            period: None,
            price: None,
            details: BTreeMap::new(),
            fingerprint: None,
            limits,
            recovered: None,
        }
    }

    /// The workflow id of this booking.
    #[must_use]
    pub fn workflow_id(&self) -> String {
        format!("{}/{}", self.item.system, self.booking)
    }

    /// Until what is booked begins; where it has no time of its own, within a limit.
    #[must_use]
    pub fn until_it_begins(&self, limit: Duration) -> Deadline {
        self.period.map_or(Deadline::Within(limit), |period| Deadline::At(period.from()))
    }

    /// Until what is booked is over; where it has no time of its own, within a limit.
    #[must_use]
    pub fn until_it_is_over(&self, limit: Duration) -> Deadline {
        self.period.map_or(Deadline::Within(limit), |period| Deadline::At(period.to()))
    }

    /// The price that was agreed. Of a booking that is recovered from nothing nobody knows it: nothing is guessed.
    #[must_use]
    pub fn agreed_price(&self) -> Money {
        self.price.unwrap_or(Money::zero(Currency::KRW))
    }

    /// The row of this booking before anything has happened to it: version 0, which is never published.
    #[must_use]
    pub fn row(&self) -> Row {
        Row {
            booking: self.booking,
            version: 0,
            system: self.item.system.clone(),
            stage: stage::REQUESTED.to_owned(),
            ending: None,
            reason: None,
            stuck: None,
            committed: false,
            customer: self.customer.clone(),
            item: self.item.clone(),
            period: self.period,
            details: self.details.clone(),
            item_name: None,
            price: self.price,
            waiting_for: None,
            deadline_at: None,
            times: BTreeMap::new(),
            fingerprint: self.fingerprint.clone(),
            at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }
}

/// The kit's part of a booking's state.
#[derive(Debug)]
pub struct Progress {
    pub(super) opening: Opening,
    pub(super) row: Row,
    /// What the board has not acknowledged yet, oldest first.
    pub(super) unpublished: Vec<Row>,
    pub(super) cancelled_by: Option<Subject>,
    pub(super) completed_by: Option<Subject>,
    pub(super) turned_back: bool,
    /// What it held has been given back before this saga began.
    pub(super) was_released: bool,
    pub(super) interventions: Interventions,
    /// How much people have said by updates, or left unsaid until it was too late, and how much of it the engine has written down.
    pub(super) said: u32,
    pub(super) written: u32,
}

impl Progress {
    /// A booking that has not begun, or one to be recovered from where it was.
    #[must_use]
    pub fn new(opening: &Opening) -> Self {
        let row = opening.recovered.as_ref().and_then(|recovered| recovered.row.clone());
        // Nobody is waited for before the new saga says so.
        let row = row.map(|row| Row { waiting_for: None, deadline_at: None, ..row });
        Self {
            opening: opening.clone(),
            row: row.unwrap_or_else(|| opening.row()),
            unpublished: Vec::new(),
            cancelled_by: None,
            completed_by: None,
            turned_back: false,
            was_released: false,
            interventions: Interventions::default(),
            said: 0,
            written: 0,
        }
    }

    /// Is the booking at this stage, with nobody having turned it back?
    #[must_use]
    pub fn is_at(&self, stage: impl Stage) -> bool {
        self.row.stage == stage.name() && !self.is_turning_back()
    }

    /// Has the booking been cancelled, or stopped for another reason?
    #[must_use]
    pub fn is_turning_back(&self) -> bool {
        self.turned_back || self.cancelled_by.is_some()
    }

    /// Who booked.
    #[must_use]
    pub fn customer(&self) -> &Subject {
        &self.row.customer
    }

    /// A refusal that tells the present stage.
    #[must_use]
    pub fn refuse(&self, code: &'static str) -> Refusal {
        Refusal { code, stage: self.row.stage.clone() }
    }

    /// The answer to an update: the version that was current. Its effect shows in a later one.
    pub fn heard(&mut self) -> Heard {
        self.said += 1;
        Heard { version: self.row.version }
    }

    /// May it (still) be cancelled? To cancel twice is harmless.
    ///
    /// # Errors
    /// `too_late` when the booking is turning back for another reason, or has passed its point of no return.
    pub fn may_cancel(&self) -> Result<(), Refusal> {
        let too_late = self.is_committed() || (self.turned_back && self.cancelled_by.is_none());
        if too_late { Err(self.refuse("too_late")) } else { Ok(()) }
    }

    /// Records a cancellation; the saga looks at it between two steps.
    pub fn cancel(&mut self, said: Said) {
        self.cancelled_by.get_or_insert(said.by);
    }

    /// May it be said (once more) that what was booked has been given? Only at this stage, and not by the customer.
    ///
    /// # Errors
    /// `own_request`, or `too_late` and `not_yet` at another stage.
    pub fn may_complete(&self, said: &Said, at: impl Stage) -> Result<(), Refusal> {
        if said.by == *self.customer() {
            Err(self.refuse("own_request"))
        } else if self.is_completed() || self.is_at(at) {
            Ok(())
        } else {
            Err(self.refuse_at_this_stage())
        }
    }

    /// Records that what was booked has been given.
    pub fn complete(&mut self, said: Said) {
        self.completed_by.get_or_insert(said.by);
    }

    /// Has somebody said that what was booked has been given?
    #[must_use]
    pub const fn is_completed(&self) -> bool {
        self.completed_by.is_some()
    }

    /// The refusal of what belongs to another stage: it is too late for it, or too early.
    #[must_use]
    pub fn refuse_at_this_stage(&self) -> Refusal {
        self.refuse(if self.is_turning_back() || self.is_committed() { "too_late" } else { "not_yet" })
    }

    /// The item as it is now.
    #[must_use]
    pub const fn item(&self) -> &Item {
        &self.row.item
    }

    /// Has it passed its point of no return?
    #[must_use]
    pub const fn is_committed(&self) -> bool {
        self.row.committed
    }
}

/// Who said something to a booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The speaker's subject.
    pub by: Subject,
}

/// The answer to something a person said: it is recorded. Wait for a later version to see its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The version of the row when it was heard.
    pub version: i32,
}

/// What was said is not possible (any more). Its text begins with the code: that is all that reaches the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: the booking is {stage}")]
pub struct Refusal {
    /// A stable code.
    pub code: &'static str,
    /// Where the booking is.
    pub stage: String,
}

/// A stage of a saga: an enum in the saga's file.
pub trait Stage: Copy {
    /// As written on the board: a past participle.
    fn name(self) -> &'static str;

    /// The stage, at which a person is waited for, with a limit or without.
    fn waiting_for(self, party: Party, limit: impl Into<Deadline>) -> Milestone {
        Milestone { waiting_for: Some((party, limit.into())), ..Milestone::named(self.name()) }
    }

    /// The stage, after which nothing more happens.
    fn completes(self) -> Milestone {
        Milestone { completes: true, ..Milestone::named(self.name()) }
    }
}

/// How long a person is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// For as long as it takes.
    Never,
    /// For some time from now.
    Within(Duration),
    /// Until a moment.
    At(DateTime<Utc>),
    /// For some time from now, but not beyond a moment.
    Before(Duration, DateTime<Utc>),
}

impl Deadline {
    pub(super) fn at(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Never => None,
            Self::Within(limit) => Some(now + limit),
            Self::At(moment) => Some(moment),
            Self::Before(limit, moment) => Some(moment.min(now + limit)),
        }
    }
}

impl From<Option<Duration>> for Deadline {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Never, Self::Within)
    }
}

impl From<Duration> for Deadline {
    fn from(limit: Duration) -> Self {
        Self::Within(limit)
    }
}

/// A stage being reached, with what it means for the board.
#[derive(Clone, Copy, Debug)]
pub struct Milestone {
    pub(super) name: &'static str,
    pub(super) waiting_for: Option<(Party, Deadline)>,
    pub(super) completes: bool,
}

impl Milestone {
    pub(super) const fn named(name: &'static str) -> Self {
        Self { name, waiting_for: None, completes: false }
    }

    /// Changes a row to one of this stage.
    pub(super) fn shown_in(self, row: &mut Row, now: DateTime<Utc>) {
        self.name.clone_into(&mut row.stage);
        row.times.entry(self.name.to_owned()).or_insert(now);
        row.stuck = None;
        row.waiting_for = self.waiting_for.map(|(party, _)| party);
        row.deadline_at = self.waiting_for.and_then(|(_, deadline)| deadline.at(now));
        row.ending = self.completes.then_some(Ending::Completed);
    }
}

impl<S: Stage> From<S> for Milestone {
    fn from(stage: S) -> Self {
        Self::named(stage.name())
    }
}
