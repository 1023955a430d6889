//! How people talk to a running booking: by Temporal updates, whose effect is then waited for on the board.

use super::{
    Gateway,
    call::{ANSWER_WITHIN, Call},
    problem::{Code, Problem},
};
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use std::time::Duration;
use temporalio_client::{
    UntypedWorkflow, WorkflowDescribeOptions, WorkflowExecuteUpdateOptions,
    errors::{WorkflowInteractionError, WorkflowUpdateError},
};
use temporalio_common::UpdateDefinition;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{BookingId, Row, Subject},
    saga::{self, Heard},
};

/// How soon a refusal's cause shows on the board.
const QUICKER_WITHIN: Duration = Duration::from_millis(200);

/// What a person says to a booking.
pub struct Message<M> {
    /// The name of the update.
    pub update: &'static str,
    /// What makes a repeat the same message: the move, such as `decide-approve`. `None`: each is a message of its own.
    pub repeatable: Option<&'static str>,
    /// What is said.
    pub body: M,
}

/// An update of any saga, by name: all of them answer with [`Heard`].
struct Update<M>(&'static str, PhantomData<fn(M)>);

impl<M: Serialize + DeserializeOwned + 'static> UpdateDefinition for Update<M> {
    type Workflow = UntypedWorkflow;
    type Input = M;
    type Output = Heard;

    fn name(&self) -> &str {
        self.0
    }
}

impl Gateway {
    /// A booking of the caller's, or of anybody's where their roles show them all.
    ///
    /// # Errors
    /// [`Code::NoSuchBooking`], also for somebody else's: that it exists is private.
    pub(super) async fn booking(&self, call: &Call, booking: BookingId, system: Option<&str>) -> Result<Row, Problem> {
        let found = self.board.find(booking).await.map_err(|error| Problem::unavailable("the board", &error))?;
        let row = match found {
            Some(row) => row,
            None => self.unpublished(booking, system.unwrap_or("ebook")).await?,
        };
        let theirs = row.customer == call.caller.subject || call.caller.sees_all();
        let of_the_system = system.is_none_or(|system| system == row.system);
        if theirs && of_the_system { Ok(row) } else { Err(Problem::new(Code::NoSuchBooking)) }
    }

    /// A booking that has begun but has no row yet: Temporal knows it.
    async fn unpublished(&self, booking: BookingId, system: &str) -> Result<Row, Problem> {
        let handle = self.temporal.get_workflow_handle::<UntypedWorkflow>(format!("{system}/{booking}"));
        let described = match handle.describe(WorkflowDescribeOptions::default()).await {
            Ok(described) => described,
            Err(WorkflowInteractionError::NotFound(_)) => return Err(Problem::new(Code::NoSuchBooking)),
            Err(error) => return Err(Problem::unavailable("Temporal", &error)),
        };
        let attributes = described.search_attributes();
        let known = || Some((attributes.get(&saga::BOOKING_CUSTOMER)?, attributes.get(&saga::BOOKING_ITEM)?));
        let opening = known().and_then(|(customer, item)| {
            let (system, number) = item.split_once('/')?;
            Some(saga::Opening {
                booking,
                customer: customer.parse::<Subject>().ok()?,
                item: workflows::booking::Item { system: system.to_owned(), number: number.parse().ok()? },
                fingerprint: None,
                limits: self.limits.clone(),
            })
        });
        opening.as_ref().map(saga::Opening::row).ok_or_else(|| Problem::new(Code::NoSuchBooking))
    }

    /// Tells a booking something and waits for its effect: 200 with the row that shows it, or 202 when it was heard but
    /// its effect waits for a worker.
    ///
    /// # Errors
    /// What the booking answers when it is not possible (any more), with its present stage.
    pub(super) async fn tell<M: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        call: &Call,
        row: &Row,
        message: Message<M>,
        effect: impl Fn(&Row) -> bool,
        show: impl Fn(&Row) -> Response,
    ) -> Result<Response, Problem> {
        if effect(row) {
            return Ok(show(row));
        }
        let until = call.arrived + ANSWER_WITHIN;
        let sent = timeout_at(until, self.send(call, row, message)).await;
        match sent.map_err(|_| Problem::new(Code::Unavailable).with("part", "the booking's saga"))? {
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

    async fn send<M: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        call: &Call,
        row: &Row,
        message: Message<M>,
    ) -> Result<Heard, Problem> {
        let key = call.idempotency_key()?.unwrap_or("-");
        // The move is part of the id, so that *reject* never gets the answer of *approve*.
        let id = message.repeatable.map_or_else(
            || format!("{}/{}", message.update, Uuid::now_v7()),
            |what| format!("{what}/{}/{key}", call.caller.subject),
        );
        let handle = self.temporal.get_workflow_handle::<UntypedWorkflow>(format!("{}/{}", row.system, row.booking));
        let options = WorkflowExecuteUpdateOptions::builder().update_id(id).build();
        match handle.execute_update(Update(message.update, PhantomData), message.body, options).await {
            Ok(heard) => Ok(heard),
            Err(WorkflowUpdateError::NotFound(_)) => Err(Problem::new(Code::TooLate)),
            Err(WorkflowUpdateError::Failed(failure)) => Err(refusal(&failure.message)),
            Err(error) => Err(Problem::unavailable("Temporal", &error)),
        }
    }
}

/// A saga's refusal begins with its code.
fn refusal(text: &str) -> Problem {
    let code = Code::ALL.iter().find(|code| text.starts_with(&format!("{}:", code.text())));
    Problem::new(code.copied().unwrap_or_else(|| {
        tracing::warn!(text, "a refusal without a known code");
        Code::TooLate
    }))
}
