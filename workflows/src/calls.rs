//! Calls: activities by name, one after the other, as a saga makes them: for whoever puts workers to the test, and for whoever
//! compares what they know. It is a workflow because only those can call activities.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use temporalio_common::ActivityDefinition;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{ActivityOptions, RetryPolicy, WorkflowContext, WorkflowContextView, WorkflowResult};

/// Whoever does not take a call for so long is not there.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// What is asked of whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The activity's name.
    pub activity: String,
    /// The task queue of its workers.
    pub queue: String,
    /// What it is told.
    pub input: Value,
    /// How often it is tried.
    pub attempts: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It was answered.
    Answer(Value),
    /// Every attempt failed; how the last one did.
    Error(String),
    /// Nobody took it, or nobody came back with it.
    Silence,
}

/// An activity that is only known by name.
struct Named(String);

impl ActivityDefinition for Named {
    type Input = Value;
    type Output = Value;

    fn name(&self) -> &str {
        &self.0
    }
}

/// Some calls.
#[workflow]
pub struct Caller {
    calls: Vec<Call>,
}

#[workflow_methods]
impl Caller {
    #[init]
    fn new(_: &WorkflowContextView, calls: Vec<Call>) -> Self {
        Self { calls }
    }

    /// Makes the calls in order, whatever comes of them, and gives back what did.
    ///
    /// # Errors
    /// Never: an error of an activity is an outcome like others.
    #[run(name = "calls")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Vec<Said>> {
        let mut said = Vec::new();
        for call in ctx.state(|caller| caller.calls.clone()) {
            said.push(make(ctx, call).await);
        }
        Ok(said)
    }
}

async fn make(ctx: &WorkflowContext<Caller>, call: Call) -> Said {
    let retries = RetryPolicy::builder().initial_interval(PAUSE).maximum_attempts(call.attempts).build();
    let options = ActivityOptions::with_start_to_close_timeout(ATTEMPT)
        .schedule_to_start_timeout(TAKEN_WITHIN)
        .task_queue(call.queue)
        .retry_policy(retries)
        .build();
    match ctx.execute_activity(Named(call.activity), call.input, options).await {
        Ok(answer) => Said::Answer(answer),
        Err(error) if error.as_timeout().is_some() => Said::Silence,
        // The outermost only says that an activity has failed.
        Err(error) => Said::Error(error.cause().map_or_else(|| error.to_string(), ToString::to_string)),
    }
}
