//! Upgrade gate: would the bookings that are open go on with this build? Their histories are fetched and replayed on today's
//! sagas, before the first process is replaced. Nothing is changed.

use crate::host;
use anyhow::Context;
use futures::TryStreamExt;
use process::temporal;
use serde_json::Value;
use std::{error::Error as _, pin::pin};
use temporalio_client::{
    NamespacedClient, UntypedWorkflow, WorkflowFetchHistoryOptions, WorkflowHistory, WorkflowHistoryError,
    WorkflowListOptions, errors::WorkflowInteractionError,
};
use temporalio_sdk::workflow_replayer::WorkflowReplayer;

/// Progress is told as often.
const TOLD_EVERY: usize = 100;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// So many bookings are open and were replayed.
    pub replayed: usize,
    /// So many of them would not go on.
    pub diverge: usize,
}

/// Replays the history of every open booking, up to so many, and tells which would not go on with this build, at which event and
/// step.
///
/// # Errors
/// When Temporal does not answer.
pub async fn check(limit: usize, say: impl Fn(&str)) -> anyhow::Result<Checked> {
    let temporal = temporal::connect(&temporal::Settings::read()?, &process::traces::Traces::default()).await?;
    let kinds: Vec<_> = host::SAGAS.iter().map(|kind| format!("'{}'", kind.workflow)).collect();
    let query = format!("WorkflowType in ({}) and ExecutionStatus = 'Running'", kinds.join(", "));
    let open = WorkflowListOptions::builder().limit(limit).build();
    let mut open = pin!(temporal.client.list_workflows(&query, open));
    let mut checked = Checked { replayed: 0, diverge: 0 };
    while let Some(run) = open.try_next().await.context("the list of open bookings")? {
        let handle = temporal.client.get_workflow_handle::<UntypedWorkflow>(run.id());
        let history = match handle.fetch_history(WorkflowFetchHistoryOptions::default()).to_json().await {
            Ok(history) => history,
            // It has ended and been forgotten since it was listed.
            Err(WorkflowHistoryError::Fetch(WorkflowInteractionError::NotFound(_))) => continue,
            Err(error) => return Err(error).with_context(|| format!("the history of {}", run.id())),
        };
        checked.replayed += 1;
        if let Err(what) = replay(host::replayer(temporal.client.data_converter().clone())?, &history).await {
            checked.diverge += 1;
            say(&format!("{} ({}): {what}", run.id(), run.workflow_type()));
        }
        if checked.replayed.is_multiple_of(TOLD_EVERY) {
            say(&format!("{} open bookings replayed ...", checked.replayed));
        }
    }
    Ok(checked)
}

/// Replays a history, as JSON.
///
/// # Errors
/// Where it diverges: the event, its step, and what the engine says.
pub async fn replay(replayer: WorkflowReplayer, history: &[u8]) -> Result<(), String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("its history cannot be read: {error}");
    let mut events: Value = serde_json::from_slice(history).map_err(|error| unreadable(&error))?;
    until_now(&mut events);
    let whole = serde_json::to_vec(&events).map_err(|error| unreadable(&error))?;
    let read = WorkflowHistory::from_json(&whole).map_err(|error| unreadable(&error))?;
    let Err(error) = replayer.replay_workflow(read).await else { return Ok(()) };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    // What the engine wraps it in says nothing.
    let plain = text.split_once("Nondeterminism error: ").map_or(text.as_str(), |(_, plain)| plain);
    let plain = plain.split_once("\", source:").map_or(plain, |(plain, _)| plain);
    Err(match event_in(plain, &events) {
        Some((event, step)) => format!("at event {event}, step {step}: {plain}"),
        None => plain.to_owned(),
    })
}

/// Leaves out the task that a saga is at while its history is fetched: what comes of it is not known yet.
fn until_now(history: &mut Value) {
    let Some(events) = history["events"].as_array_mut() else { return };
    let last = |kind: &str| events.iter().rposition(|event| event["attributes"].get(kind).is_some());
    let (begun, done) = (last("WorkflowTaskScheduledEventAttributes"), last("WorkflowTaskCompletedEventAttributes"));
    if let Some(begun) = begun.filter(|begun| done.is_some_and(|done| done < *begun)) {
        events.truncate(begun);
    }
}

/// The event where it diverges, and its step: the one that the engine names by number, or the first of the activity it names.
fn event_in(said: &str, history: &Value) -> Option<(u64, String)> {
    let events = || history["events"].as_array().into_iter().flatten();
    let activity = |event: &Value| {
        let scheduled = &event["attributes"]["ActivityTaskScheduledEventAttributes"];
        scheduled["activity_type"]["name"].as_str().map(str::to_owned)
    };
    let kind = |event: &Value| event["attributes"].as_object().and_then(|kinds| kinds.keys().next().cloned());
    let numbered = said.split_once("id: ").and_then(|(_, after)| {
        let number: u64 = after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
        let event = events().find(|event| event["event_id"] == number)?;
        Some((number, activity(event).or_else(|| kind(event))?))
    });
    numbered.or_else(|| {
        let mut scheduled = events().filter_map(|event| Some((event["event_id"].as_u64()?, activity(event)?)));
        scheduled.find(|(_, name)| said.contains(&format!("'{name}'")))
    })
}
