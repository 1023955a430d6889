//! What a saga was answered, as its history has it: promises that the workers' tables have to keep.

use crate::{calls, recovery::run_of};
use futures::TryStreamExt;
use process::temporal::said;
use serde_json::{Value, json};
use std::collections::HashMap;
use temporalio_client::{Client, WorkflowFetchHistoryOptions, WorkflowListOptions, errors::WorkflowInteractionError};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use workflows::{
    calls::Call,
    contracts::{Contract as _, Standing, catalog, fulfilment, notification, payment, road::Answered},
};

/// How often a call is tried that has to be made again.
const ATTEMPTS: u32 = 5;

/// Something that a worker has answered.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// Whose tables have to know it.
    pub queue: &'static str,
    /// How far it was after that.
    pub standing: Standing,
    /// What has the worker know it again.
    pub again: Call,
}

/// Reads what a booking's saga was answered, in order: with the sagas before it, where it was taken over. Nothing: its history is
/// gone.
pub(super) async fn facts(temporal: &Client, workflow: &str, run: &str) -> anyhow::Result<Vec<Fact>> {
    let (mut facts, was_recovered) = of_run(temporal, workflow, run).await?;
    if was_recovered {
        let query = format!("WorkflowId = '{workflow}'");
        let mut runs: Vec<_> =
            temporal.list_workflows(&query, WorkflowListOptions::default()).try_collect::<Vec<_>>().await?;
        runs.sort_by_key(temporalio_client::WorkflowExecution::start_time);
        let mut earlier = Vec::new();
        for before in runs.iter().filter(|before| before.run_id() != run) {
            earlier.extend(of_run(temporal, workflow, before.run_id()).await?.0);
        }
        earlier.append(&mut facts);
        facts = earlier;
    }
    Ok(facts)
}

async fn of_run(temporal: &Client, workflow: &str, run: &str) -> anyhow::Result<(Vec<Fact>, bool)> {
    let mut history = run_of(temporal, workflow, run).fetch_history(WorkflowFetchHistoryOptions::default());
    let (mut asked, mut facts, mut was_recovered) = (HashMap::new(), Vec::new(), false);
    loop {
        let event = match history.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(WorkflowInteractionError::NotFound(_)) => return Ok((Vec::new(), false)),
            Err(error) => return Err(error.into()),
        };
        match event.attributes {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                was_recovered = said(temporal, started.input)
                    .await?
                    .is_some_and(|request: Value| request["opening"]["recovered"].is_object());
            }
            Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => {
                let name = scheduled.activity_type.map(|activity| activity.name);
                asked.insert(event.event_id, name.zip(said(temporal, scheduled.input).await?));
            }
            // What was asked on the short road is in its answer.
            Some(Attributes::MarkerRecordedEventAttributes(mut marker)) => {
                if let Some(Answered { asked, answer }) = said(temporal, marker.details.remove("result")).await? {
                    facts.extend(fact(&asked.contract, asked.input, answer));
                }
            }
            Some(Attributes::ActivityTaskCompletedEventAttributes(done)) => {
                if let Some(Some((name, input))) = asked.remove(&done.scheduled_event_id) {
                    facts.extend(fact(&name, input, said(temporal, done.result).await?.unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    Ok((facts, was_recovered))
}

/// What an answer obliges its worker to know; `None`: nothing that would be missed.
fn fact(name: &str, mut input: Value, mut answer: Value) -> Option<Fact> {
    if name == notification::Send::NAME {
        input["was_told"] = json!(true);
        let again = calls::call(name, notification::QUEUE, input, ATTEMPTS);
        return Some(Fact { queue: notification::QUEUE, standing: Standing::Done, again });
    }
    let said = answer["answer"].as_str()?.to_owned();
    let (queue, standing) = match (name, said.as_str()) {
        (catalog::Hold::NAME, "held") => {
            answer.as_object_mut()?.remove("answer");
            input["was_held"] = answer;
            (catalog::QUEUE, Standing::Done)
        }
        (catalog::Confirm::NAME, "done") => (catalog::QUEUE, Standing::Firm),
        (catalog::Release::NAME, "done") => (catalog::QUEUE, Standing::Back),
        // The sum of zero is in nobody's books.
        (payment::Charge::NAME, "captured") if input["amount"]["amount_minor"] != 0 => {
            input["was_captured"] = json!(true);
            (payment::QUEUE, Standing::Done)
        }
        (payment::Refund::NAME, "done" | "given_up") => (payment::QUEUE, Standing::Back),
        (fulfilment::Issue::NAME, "good") => (fulfilment::QUEUE, Standing::Done),
        (fulfilment::Send::NAME, "good") => (fulfilment::QUEUE, Standing::Firm),
        (fulfilment::Disable::NAME, "done") => (fulfilment::QUEUE, Standing::Back),
        _ => return None,
    };
    Some(Fact { queue, standing, again: calls::call(name, queue, input, ATTEMPTS) })
}
