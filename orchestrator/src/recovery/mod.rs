//! Recovery: has bookings taken over whose saga has ended before them.
//!
//! A booking is taken over by a new run of the same workflow under the same workflow id. Temporal refuses that while a run
//! of this id is alive (conflict policy *fail*) or when the last one completed (reuse policy *failed only*), so recovery
//! never races a saga, and to find a booking twice changes nothing. What the new run does is written in
//! [`workflows::saga`]; how the searches go, in [`workflows::recovery`].

mod activities;
mod schedule;

pub(crate) use activities::Activities;
pub use schedule::{Settings, schedule};

use crate::{
    board::Board,
    host::{self, Kind},
    metrics::RECOVERIES,
};
use anyhow::Context;
use chrono::Utc;
use futures::TryStreamExt;
use moka::future::Cache;
use process::temporal::said;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use temporalio_client::{
    Client, NamespacedClient, UntypedQuery, UntypedWorkflow, UntypedWorkflowHandle, WorkflowDescribeOptions,
    WorkflowExecutionInfo, WorkflowExecutionStatus as Status, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
    WorkflowListOptions, WorkflowQueryOptions, WorkflowStartOptions,
    errors::{WorkflowInteractionError, WorkflowQueryError, WorkflowStartError},
    grpc::WorkflowService,
    tonic::{Code as Rpc, IntoRequest},
};
use temporalio_common::{
    data_converters::{PayloadConverter, RawValue},
    protos::temporal::api::{
        common::v1::WorkflowExecution, history::v1::history_event::Attributes,
        workflowservice::v1::GetWorkflowExecutionHistoryRequest,
    },
};
use tokio::time::timeout;
use workflows::{
    booking::{BookingId, Ending, Item, Row, Subject},
    contracts::{
        board::Rows,
        recovery::{self, Claim, Reviewed},
    },
    saga::{Limits, Opening, Recovered, Snapshot},
};

/// How far the quick search looks back, and how far the first one of a process does: nobody may have looked for long.
const LOOK_BACK: Duration = Duration::from_mins(15);
const LOOK_BACK_FIRST: Duration = Duration::from_hours(24 * 7);
/// How many ended sagas one quick search looks at, newest first.
const ENDED_MAX: usize = 1_000;
/// How many workflow ids fit into one query.
const QUERY_IDS: usize = 50;
/// How long a saga may take to say where it is: it may have to be read from its beginning.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How a saga ended that was not this booking's.
const COMPLETED: &str = "completed";
/// Who booked, where nobody knows any more.
const UNKNOWN: &str = "unknown";

/// Finds what must be recovered, and starts it.
pub(crate) struct Recovery {
    temporal: Client,
    board: Board,
    limits: Limits,
    /// Runs that have been dealt with: the quick search sees them again and again.
    seen: Cache<String, ()>,
    has_looked: AtomicBool,
}

/// A saga that ended before its booking.
#[derive(Clone, Copy)]
struct Lost<'lost> {
    kind: &'static Kind,
    booking: BookingId,
    workflow: &'lost str,
    /// How it ended.
    after: &'static str,
}

impl Recovery {
    pub(crate) fn new(temporal: Client, board: Board, limits: Limits) -> Self {
        let seen = Cache::builder().max_capacity(100_000).time_to_live(2 * LOOK_BACK).build();
        Self { temporal, board, limits, seen, has_looked: AtomicBool::new(false) }
    }

    async fn recover_ended(&self) -> anyhow::Result<u32> {
        let look_back = if self.has_looked.load(Ordering::Relaxed) { LOOK_BACK } else { LOOK_BACK_FIRST };
        let since = (Utc::now() - look_back).to_rfc3339();
        let kinds: Vec<_> = host::SAGAS.iter().map(|kind| format!("'{}'", kind.workflow)).collect();
        let query = format!(
            "WorkflowType in ({}) and ExecutionStatus in ('Terminated', 'TimedOut', 'Failed', 'Canceled') \
             and CloseTime > '{since}'",
            kinds.join(", ")
        );
        let options = WorkflowListOptions::builder().limit(ENDED_MAX).build();
        let ended: Vec<_> = self.temporal.list_workflows(&query, options).try_collect().await?;
        let mut recovered = 0;
        for run in ended.iter().filter(|run| !self.seen.contains_key(run.run_id())) {
            let Some((kind, booking)) = host::kind_of(run.id()) else { continue };
            let lost = Lost { kind, booking, workflow: run.id(), after: word(run.status()) };
            // One that cannot be taken over now keeps no other from it; it is found again.
            match self.take_over(&lost, Some(run.run_id()), None).await {
                Ok(taken_over) => {
                    recovered += u32::from(taken_over);
                    self.seen.insert(run.run_id().to_owned(), ()).await;
                }
                Err(error) => failed(booking, &error),
            }
        }
        self.has_looked.store(true, Ordering::Relaxed);
        Ok(recovered)
    }

    /// Has a booking taken over whose saga was terminated.
    pub(crate) async fn take_over_run(
        &self,
        kind: &'static Kind,
        booking: BookingId,
        workflow: &str,
        run: &str,
    ) -> anyhow::Result<bool> {
        let lost = Lost { kind, booking, workflow, after: word(Status::Terminated) };
        self.take_over(&lost, Some(run), None).await
    }

    /// Looks at a page of what is open: is there still a saga behind it?
    async fn review(&self, claims: &[Claim]) -> anyhow::Result<Reviewed> {
        let ids: Vec<BookingId> = claims.iter().map(|claim| claim.booking).collect();
        let rows: HashMap<_, _> = self.board.all_of(&ids).await?.into_iter().map(|row| (row.booking, row)).collect();
        let mut reviewed = Reviewed::default();
        let mut doubtful = Vec::new();
        for claim in claims {
            match rows.get(&claim.booking).and_then(|row| row.ending.as_ref()) {
                Some(Ending::Completed) => reviewed.completed.push(claim.booking),
                // Being closed just now.
                Some(Ending::Undone { .. }) => {}
                None => doubtful.extend(host::kind_of(&claim.workflow).map(|(kind, _)| (claim, kind))),
            }
        }
        for part in doubtful.chunks(QUERY_IDS) {
            let alive = self.running(part.iter().map(|(claim, _)| claim.workflow.as_str())).await?;
            for (claim, kind) in part.iter().filter(|(claim, _)| !alive.contains(&claim.workflow)) {
                match self.recover_if_gone(claim, kind).await {
                    Ok(taken_over) => reviewed.recovered += u32::from(taken_over),
                    Err(error) => failed(claim.booking, &error),
                }
            }
        }
        Ok(reviewed)
    }

    /// Which of these run, as far as Temporal's list of workflows knows. It may lag behind by a second or two.
    async fn running(&self, workflows: impl Iterator<Item = &str>) -> anyhow::Result<Vec<String>> {
        let ids: Vec<_> = workflows.map(|id| format!("'{id}'")).collect();
        let query = format!("ExecutionStatus = 'Running' and WorkflowId in ({})", ids.join(", "));
        let running = self.temporal.list_workflows(&query, WorkflowListOptions::default());
        Ok(running.map_ok(|run| run.id().to_owned()).try_collect().await?)
    }

    async fn recover_if_gone(&self, claim: &Claim, kind: &'static Kind) -> anyhow::Result<bool> {
        let handle = self.temporal.get_workflow_handle::<UntypedWorkflow>(&claim.workflow);
        let (after, run) = match handle.describe(WorkflowDescribeOptions::default()).await {
            Err(WorkflowInteractionError::NotFound(_)) => ("deleted", None),
            Err(error) => return Err(error.into()),
            Ok(described) => match described.status() {
                Status::Running | Status::ContinuedAsNew => return Ok(false),
                status => (word(status), Some(described.run_id().to_owned())),
            },
        };
        let lost = Lost { kind, booking: claim.booking, workflow: &claim.workflow, after };
        self.take_over(&lost, run.as_deref(), Some(claim)).await
    }

    /// Starts the new run. `false`: somebody else has, or there is nothing to recover.
    async fn take_over(&self, lost: &Lost<'_>, run: Option<&str>, claim: Option<&Claim>) -> anyhow::Result<bool> {
        let Lost { kind, booking, workflow, after } = *lost;
        // Read now: it may have been told to its end meanwhile, and then nothing is open.
        let row = self.board.find(booking).await?;
        if row.as_ref().is_some_and(|row| row.ending.is_some()) {
            return Ok(false);
        }
        if let (COMPLETED, Some(row), Some(run)) = (after, &row, run)
            && let Some(known) = row_of(&self.temporal, workflow, run).await?
            && known.version > row.version
        {
            // It has been told to its end, and the board has lost that: it was restored from a backup.
            self.board.publish(&Rows { rows: vec![known], audits: Vec::new() }, None).await?;
            return Ok(false);
        }
        if row.is_none() && after == COMPLETED {
            // Told to its end, and forgotten by the board since (`HOLDFAST_BOARD_KEEP_DAYS`): what it earned stays earned.
            tracing::warn!(%booking, "{booking} has ended and is forgotten, and something of it is still open");
            return Ok(false);
        }
        let said = match run {
            Some(run) => self.request(workflow, run).await?,
            None => None,
        };
        let (mut request, mut opening) = said.unwrap_or_else(|| {
            let opening = self.opening(kind, booking, row.as_ref(), claim);
            (json!({}), opening)
        });
        opening.recovered = Some(Recovered { after: after.to_owned(), row });
        request["opening"] = serde_json::to_value(&opening)?;

        let options = WorkflowStartOptions::new(recovery::QUEUE, workflow)
            .id_reuse_policy(match after {
                // Its saga has been told to the end, and yet the booking has not ended: it was another saga's.
                COMPLETED => WorkflowIdReusePolicy::AllowDuplicate,
                _ => WorkflowIdReusePolicy::AllowDuplicateFailedOnly,
            })
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .search_attributes(host::found_by(&opening))
            .static_summary(format!("Recovery of {} after its saga was {after}", opening.item))
            .build();
        let input = RawValue::from_value(&request, &PayloadConverter::default());
        match self.temporal.start_workflow(UntypedWorkflow::new(kind.workflow), input, options).await {
            Ok(_) => {
                RECOVERIES.with_label_values(&[kind.system, after]).inc();
                tracing::warn!(%booking, after, "the saga of {booking} ended before it: it is taken over");
                Ok(true)
            }
            // Alive, or recovered already.
            Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What a saga began with. `None`: Temporal has forgotten it meanwhile, or nobody can read it.
    async fn request(&self, workflow: &str, run: &str) -> anyhow::Result<Option<(Value, Opening)>> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: self.temporal.namespace(),
            execution: Some(WorkflowExecution { workflow_id: workflow.to_owned(), run_id: run.to_owned() }),
            maximum_page_size: 1,
            ..Default::default()
        };
        let mut temporal = self.temporal.clone();
        let answer = match temporal.get_workflow_execution_history(request.into_request()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Rpc::NotFound => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let first = answer.history.and_then(|history| history.events.into_iter().next());
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) =
            first.and_then(|first| first.attributes)
        else {
            return Ok(None);
        };
        let request: Option<Value> = said(&self.temporal, started.input).await?;
        Ok(request.filter(Value::is_object).and_then(|request| {
            let opening = serde_json::from_value(request.get("opening")?.clone()).ok()?;
            Some((request, opening))
        }))
    }

    /// What is left of a booking whose workflow was deleted.
    fn opening(&self, kind: &Kind, booking: BookingId, row: Option<&Row>, claim: Option<&Claim>) -> Opening {
        let customer = row.map(|row| row.customer.clone()).or_else(|| claim?.customer.clone());
        let item = row.map(|row| row.item.clone()).or_else(|| claim?.item.clone());
        Opening {
            booking,
            customer: customer.unwrap_or_else(|| UNKNOWN.parse::<Subject>().expect("a plain word")),
            item: item.unwrap_or_else(|| Item { system: kind.system.to_owned(), number: 0 }),
            period: row.and_then(|row| row.period),
            price: row.and_then(|row| row.price),
            details: row.map(|row| row.details.clone()).unwrap_or_default(),
            fingerprint: row.and_then(|row| row.fingerprint.clone()),
            limits: self.limits.clone(),
            recovered: None,
        }
    }
}

/// One run of a workflow, where there may have been others.
pub(crate) fn run_of(temporal: &Client, workflow: &str, run: &str) -> UntypedWorkflowHandle<Client> {
    let about = WorkflowExecutionInfo::builder().namespace(temporal.namespace()).workflow_id(workflow).run_id(run);
    about.build().bind_untyped(temporal.clone())
}

/// The run of a workflow, while it runs.
pub(crate) async fn running(temporal: &Client, workflow: &str) -> anyhow::Result<Option<String>> {
    let handle = temporal.get_workflow_handle::<UntypedWorkflow>(workflow);
    match handle.describe(WorkflowDescribeOptions::default()).await {
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(described) => Ok((described.status() == Status::Running).then(|| described.run_id().to_owned())),
    }
}

/// The row of a booking as its saga knows it. `None`: Temporal has forgotten it.
pub(crate) async fn row_of(temporal: &Client, workflow: &str, run: &str) -> anyhow::Result<Option<Row>> {
    let query = UntypedQuery::new("state");
    let saga = run_of(temporal, workflow, run);
    let asked = saga.query(query, RawValue::new(Vec::new()), WorkflowQueryOptions::default());
    let answer = match timeout(ANSWER_MAX, asked).await.context("the saga does not say where it is")? {
        Ok(answer) => answer,
        Err(WorkflowQueryError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let payload = answer.payloads.first().context("the saga says nothing")?;
    let snapshot: Snapshot = serde_json::from_slice(&payload.data).context("the saga's state")?;
    Ok(Some(snapshot.row))
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Terminated => "terminated",
        Status::TimedOut => "timed_out",
        Status::Canceled => "canceled",
        Status::Completed => COMPLETED,
        _ => "failed",
    }
}

fn failed(booking: BookingId, error: &anyhow::Error) {
    tracing::warn!(%booking, error = format!("{error:#}"), "{booking} could not be taken over; it is found again");
}
