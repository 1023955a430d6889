//! How people talk to a running booking, whose answer shows on the board.
//!
//! At somebody's turn, what they say goes out as a Temporal signal: it is written down before the saga hears it, and costs the
//! engine less than half of an update. A signal cannot be refused. So where its effect does not show, and wherever it is not the
//! speaker's turn, it is said by an update, which is answered; that it is said twice then changes nothing.

use super::{
    Gateway,
    call::{Call, concerns},
    problem::{Code, Problem},
    start::fingerprint,
    systems,
};
use crate::host::{self, SAGAS};
use futures::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{borrow::Cow, marker::PhantomData, time::Duration};
use temporalio_client::{
    Client, UntypedWorkflow, WorkflowDescribeOptions, WorkflowExecuteUpdateOptions, WorkflowHandle,
    WorkflowQueryOptions, WorkflowSignalOptions,
    errors::{WorkflowInteractionError, WorkflowUpdateError},
};
use temporalio_common::{QueryDefinition, SignalDefinition, UpdateDefinition};
use tokio::time::{Instant, timeout, timeout_at};
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{BookingId, Party, Row, Subject},
    saga::{self, Heard, Say, Turn},
};

/// How soon a refusal's cause shows on the board.
const QUICKER_WITHIN: Duration = Duration::from_millis(200);

/// What a person says to a booking.
pub struct Message {
    /// The name of the update, and of the signal.
    pub update: &'static str,
    /// What makes a repeat the same message: the move, such as `decide-approve`. With the caller and their key it is the
    /// update's id, so *reject* never gets the answer of *approve*.
    pub what: Cow<'static, str>,
    /// What is said.
    pub body: Value,
}

impl Message {
    /// A message whose repeat is the same one while the booking has not moved on: said at another stage, or with another
    /// content, it is another message and never gets this one's answer.
    #[must_use]
    pub fn at(row: &Row, update: &'static str, word: &str, body: Value) -> Self {
        let what = format!("{word}-{}@{}", fingerprint(&body.to_string()), row.version).into();
        Self { update, what, body }
    }

    /// The turn that the booking is at, if it is waited for there, and what it is.
    fn turn(&self, row: &Row) -> Option<(&'static Turn, &'static Say)> {
        let turn = host::kind(&row.system)?.turn(&row.stage)?;
        // One name carries several words: what they always hold tells them apart.
        let is_said =
            |say: &&Say| say.update == self.update && say.fixed.iter().all(|(name, value)| self.body[*name] == *value);
        Some((turn, turn.says.iter().find(is_said)?))
    }

    /// What makes a repeat of this caller's the same. Neither who says it nor their key is anybody else's business, and this is
    /// shown in Temporal and in traces.
    fn id(&self, call: &Call) -> Result<String, Problem> {
        let key = call.idempotency_key()?.unwrap_or("-");
        Ok(format!("{}/{}", self.what, fingerprint(&format!("{}/{key}", call.caller.subject))))
    }
}

/// An update of any saga, by name: all of them answer with [`Heard`].
struct Update(&'static str);

impl UpdateDefinition for Update {
    type Workflow = UntypedWorkflow;
    type Input = Value;
    type Output = Heard;

    fn name(&self) -> &str {
        self.0
    }
}

/// A signal of any saga, by name.
struct Signal(&'static str);

impl SignalDefinition for Signal {
    type Workflow = UntypedWorkflow;
    type Input = Value;

    fn name(&self) -> &str {
        self.0
    }
}

/// A query of any saga, by name.
struct Query<I, O>(&'static str, PhantomData<fn(I) -> O>);

impl<I, O> QueryDefinition for Query<I, O>
where
    I: Serialize + DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
{
    type Workflow = UntypedWorkflow;
    type Input = I;
    type Output = O;

    fn name(&self) -> &str {
        self.0
    }
}

fn silent() -> Problem {
    Problem::new(Code::Unavailable).with("part", "the booking's saga")
}

impl Gateway {
    /// A booking of the caller's, or of anybody's where their roles show them all.
    ///
    /// # Errors
    /// [`Code::NoSuchBooking`], also for somebody else's: that it exists is private. [`Code::VersionNotReached`] when it has
    /// not come as far in time as the caller knows it to have (`?version=`).
    pub(super) async fn booking(&self, call: &Call, booking: BookingId, system: Option<&str>) -> Result<Row, Problem> {
        let least = call.version()?;
        let found = match least {
            None => self.board.find(booking).await?,
            Some(least) => self.row_when(booking, call.due(), |row| row.version >= least).await?,
        };
        let row = match found {
            Some(row) => row,
            None => timeout_at(call.due(), self.unpublished(booking, system)).await.map_err(|_| silent())??,
        };
        let theirs = systems::may_see(&call.caller, &row);
        let of_the_system = system.is_none_or(|system| system == row.system);
        match least {
            _ if !theirs || !of_the_system => Err(Problem::new(Code::NoSuchBooking)),
            Some(least) if row.version < least => {
                Err(Problem::new(Code::VersionNotReached).with("version", row.version))
            }
            Some(_) | None => Ok(row),
        }
    }

    /// A booking that has begun but has no row yet: Temporal knows it. It is asked once in a while only, because people who wait
    /// for a booking ask again and again, and most of all when Temporal is busy.
    async fn unpublished(&self, booking: BookingId, system: Option<&str>) -> Result<Row, Problem> {
        if let Some(row) = self.unpublished.get(&booking) {
            return Ok(row);
        }
        let asked =
            SAGAS.iter().filter(|kind| system.is_none_or(|system| system == kind.system)).map(|kind| async move {
                let handle = self.temporal.get_workflow_handle::<UntypedWorkflow>(format!("{}/{booking}", kind.system));
                match handle.describe(WorkflowDescribeOptions::default()).await {
                    Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
                    answer => answer.map(Some),
                }
            });
        let known = try_join_all(asked).await.map_err(|error| Problem::unavailable("Temporal", &error))?;
        let described = known.into_iter().flatten().next().ok_or_else(|| Problem::new(Code::NoSuchBooking))?;
        let attributes = described.search_attributes();
        let known = || Some((attributes.get(&saga::BOOKING_CUSTOMER)?, attributes.get(&saga::BOOKING_ITEM)?));
        let opening = known().and_then(|(customer, item)| {
            let (system, number) = item.split_once('/')?;
            let item = workflows::booking::Item { system: system.to_owned(), number: number.parse().ok()? };
            Some(saga::Opening::new(booking, customer.parse::<Subject>().ok()?, item, self.limits.clone()))
        });
        let row = opening.as_ref().map(saga::Opening::row).ok_or_else(|| Problem::new(Code::NoSuchBooking))?;
        self.unpublished.insert(booking, row.clone());
        Ok(row)
    }

    /// Tells a booking something and waits for its effect: 200 with the row that shows it, or 202 when it was heard but
    /// its effect waits for a worker.
    ///
    /// # Errors
    /// What the booking answers when it is not possible (any more), with its present stage.
    pub(super) async fn tell(
        &self,
        call: &Call,
        row: &Row,
        message: Message,
        effect: impl Fn(&Row) -> bool,
        show: impl Fn(&Row) -> Response,
    ) -> Result<Response, Problem> {
        concerns(row.booking);
        if effect(row) && row.ending.is_some() {
            return Ok(show(row));
        }
        let until = call.answer_by;
        if effect(row) {
            // The board may show what the saga has lost again: what it hears and the row it publishes become durable
            // together, and an engine that dies in between has neither. So it is told, and only then believed.
            return match self.say_within(call, row, message, until).await {
                Ok(_) => Ok(show(row)),
                Err(problem) if problem.code == Code::TooLate => Ok(show(row)),
                Err(problem) => Err(problem.with("stage", row.stage.clone())),
            };
        }
        // A repeat of what has been done needs no version: it has moved the booking on itself.
        if call.if_match()?.is_some_and(|known| known != row.version) {
            return Err(Problem::new(Code::VersionDiffers)
                .with("version", row.version)
                .with("stage", row.stage.clone()));
        }
        if let Some(shown) = self.signal(call, row, &message, until, &effect).await? {
            return Ok(show(&shown));
        }
        match self.say_within(call, row, message, until).await {
            Ok(Heard { version }) => {
                let wished = |row: &Row| row.version > version && effect(row);
                let shown = self.row_when(row.booking, until, &wished).await?;
                let shown = shown.unwrap_or_else(|| row.clone());
                let mut response = show(&shown);
                if !effect(&shown) {
                    *response.status_mut() = StatusCode::ACCEPTED;
                }
                Ok(response)
            }
            Err(problem) if problem.code == Code::Unavailable => Err(problem),
            Err(problem) => {
                // What was quicker may still be on its way to the board.
                let until = match problem.code {
                    Code::TooLate | Code::DecidedOtherwise => Instant::now() + QUICKER_WITHIN,
                    _ => Instant::now(),
                };
                let newer = |now: &Row| now.version > row.version;
                let now = self.row_when(row.booking, until, newer).await?.unwrap_or_else(|| row.clone());
                if effect(&now) { Ok(show(&now)) } else { Err(problem.with("stage", now.stage)) }
            }
        }
    }

    /// Says something to a booking that waits for it, without being answered: the row that shows its effect, unless that takes
    /// more than half of the time, or the booking goes another way.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for a key that is none; a row that cannot be read.
    pub(super) async fn signal(
        &self,
        call: &Call,
        row: &Row,
        message: &Message,
        until: Instant,
        effect: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Problem> {
        let own = row.customer == call.caller.subject;
        let is_theirs_and_sure = |(turn, say): (&Turn, &Say)| {
            // Others' turns are not the customer's: that is refused, and a refusal needs an answer.
            own == (turn.party == Party::Customer) && say.is_sure
        };
        if !self.by_signal || !message.turn(row).is_some_and(is_theirs_and_sure) {
            return Ok(None);
        }
        let begun = Instant::now();
        let half = begun + until.saturating_duration_since(begun) / 2;
        let options = WorkflowSignalOptions::builder().request_id(message.id(call)?).build();
        let handle = self.saga(row);
        let sent = handle.signal(Signal(message.update), message.body.clone(), options);
        if !matches!(timeout_at(half, sent).await, Ok(Ok(()))) {
            // The update says why.
            return Ok(None);
        }
        let shows = |now: &Row| now.version > row.version && effect(now);
        let moved = |now: &Row| now.version > row.version && message.turn(now).is_none();
        let now = self.row_when(row.booking, half, |now| shows(now) || moved(now)).await?;
        Ok(now.filter(shows))
    }

    fn saga(&self, row: &Row) -> WorkflowHandle<Client, UntypedWorkflow> {
        self.temporal.get_workflow_handle(format!("{}/{}", row.system, row.booking))
    }

    /// Asks a booking's saga something that changes nothing.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when it does not answer.
    pub(super) async fn ask<I, O>(&self, row: &Row, query: &'static str, input: I) -> Result<O, Problem>
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let handle = self.saga(row);
        let asked = handle.query(Query(query, PhantomData), input, WorkflowQueryOptions::default());
        let answered = timeout(self.answer_within, asked).await.map_err(|_| silent())?;
        answered.map_err(|error| Problem::unavailable("the booking's saga", &error))
    }

    /// Says something to a booking, as [`Self::say`], but waits no longer than until a moment.
    ///
    /// # Errors
    /// What the booking answers, or [`Code::Unavailable`] when it does not in time: it may have heard all the same.
    pub(super) async fn say_within(
        &self,
        call: &Call,
        row: &Row,
        message: Message,
        until: Instant,
    ) -> Result<Heard, Problem> {
        timeout_at(until, self.say(call, row, message)).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Says something to a booking, and waits until it is heard.
    ///
    /// # Errors
    /// What the booking answers when it is not possible (any more).
    pub(super) async fn say(&self, call: &Call, row: &Row, message: Message) -> Result<Heard, Problem> {
        let options = WorkflowExecuteUpdateOptions::builder().update_id(message.id(call)?).build();
        match self.saga(row).execute_update(Update(message.update), message.body, options).await {
            Ok(heard) => Ok(heard),
            Err(WorkflowUpdateError::NotFound(_)) => Err(Problem::new(Code::TooLate)),
            Err(WorkflowUpdateError::Failed(failure)) => Err(Problem::named(&failure.message)),
            Err(error) => Err(Problem::unavailable("Temporal", &error)),
        }
    }
}
