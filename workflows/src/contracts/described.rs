//! Described: the contracts as JSON Schemas, for workers in other languages. They are written to `docs/contracts/`.

use super::{Contract, catalog, fulfilment, notification, payment};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Value, json};
use temporalio_common::ActivityDefinition;

/// Every contract that a worker keeps, by name: its queue, its times, what goes in and what comes out.
#[must_use]
pub fn described() -> Vec<(&'static str, Value)> {
    vec![
        of::<catalog::Confirm>(),
        of::<catalog::Free>(),
        of::<catalog::Hold>(),
        of::<catalog::Look>(),
        of::<catalog::Open>(),
        of::<catalog::Release>(),
        of::<catalog::Stands>(),
        of::<fulfilment::Disable>(),
        of::<fulfilment::Issue>(),
        of::<fulfilment::Send>(),
        of::<fulfilment::Stands>(),
        of::<notification::Send>(),
        of::<notification::Told>(),
        of::<payment::Charge>(),
        of::<payment::Compare>(),
        of::<payment::Keep>(),
        of::<payment::Open>(),
        of::<payment::Refund>(),
        of::<payment::Stands>(),
    ]
}

fn of<C>() -> (&'static str, Value)
where
    C: Contract + JsonSchema + ActivityDefinition<Input: JsonSchema, Output: JsonSchema>,
{
    let about = schema::<C>(SchemaSettings::draft2020_12());
    let described = json!({
        "activity": C::NAME,
        "task_queue": C::QUEUE,
        "about": about.get("description"),
        "attempt_seconds": C::ATTEMPT.as_secs_f64(),
        "heartbeat_seconds": C::HEARTBEAT.map(|beat| beat.as_secs_f64()),
        "first_retry_seconds": C::RETRY_FIRST.as_secs_f64(),
        "last_retry_seconds": C::RETRY_MAX.as_secs_f64(),
        "input": schema::<C::Input>(SchemaSettings::draft2020_12().for_deserialize()),
        "output": schema::<C::Output>(SchemaSettings::draft2020_12().for_serialize()),
    });
    (C::NAME, described)
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    settings.into_generator().into_root_schema_for::<T>()
}
