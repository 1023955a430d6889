//! `holdfast forget`: what an operator does when a customer asks to be forgotten.

use super::{Api, Request};
use anyhow::ensure;
use serde_json::{Map, Value};
use workflows::booking::Subject;

/// Forgets a customer, as often as it takes, and gives back what to print.
///
/// # Errors
/// When the gateway does not answer, or refuses: bookings are open.
pub async fn forget(gateway: &Api, customer: &Subject) -> anyhow::Result<String> {
    let mut counts: Map<String, Value> = Map::new();
    loop {
        let answer = gateway.send(Request::post(&format!("/customers/{customer}/forget"))).await?;
        for (what, count) in answer["forgotten"].as_object().into_iter().flatten() {
            let sum = counts.get(what).and_then(Value::as_i64).unwrap_or_default();
            counts.insert(what.clone(), (sum + count.as_i64().unwrap_or_default()).into());
        }
        if answer["more"] != true {
            let running = answer["running"].as_i64().unwrap_or_default();
            ensure!(running == 0, "the last messages of {running} bookings are on their way: ask again later");
            break;
        }
    }
    let lines: Vec<_> = counts.iter().map(|(what, count)| format!("{count:>6} {what}")).collect();
    Ok(format!("Forgotten:\n{}", lines.join("\n")))
}
