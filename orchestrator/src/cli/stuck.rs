//! `holdfast stuck`: what an operator does from a terminal about bookings that need them.

use super::{Api, Request};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use workflows::booking::BookingId;

/// What to do about stuck bookings.
#[derive(Subcommand)]
pub enum Stuck {
    /// Lists them, with what may be done about each.
    List {
        /// Which of them.
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Asks again, now.
    Retry(Move),
    /// Asks all of them again: counts them first, and does it with --expected.
    RetryAll {
        /// Which of them.
        #[command(flatten)]
        chosen: Chosen,
        /// How many that will be.
        #[arg(long)]
        expected: Option<u32>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Says that it was done by hand: the worker looks there before it believes it.
    Resolve {
        /// What it is called where it was done, such as the provider's number of a refund.
        #[arg(long)]
        reference: String,
        /// About which booking, and why.
        #[command(flatten)]
        what: Move,
    },
    /// Gives the money up.
    WriteOff {
        /// All that is at risk, in minor units.
        #[arg(long)]
        amount: u64,
        /// About which booking, and why.
        #[command(flatten)]
        what: Move,
    },
    /// Goes on without it, where that leaves nothing behind.
    Skip(Move),
}

/// Which stuck bookings.
#[derive(Args)]
pub struct Chosen {
    /// Of this system.
    #[arg(long)]
    system: Option<String>,
    /// At this step, such as payment.refund.
    #[arg(long)]
    step: Option<String>,
    /// For this reason; `no_answer` where nobody gave one.
    #[arg(long)]
    cause: Option<String>,
}

/// A move.
#[derive(Args)]
pub struct Move {
    /// Which booking.
    booking: BookingId,
    /// Why: it is kept with the move.
    #[arg(long)]
    reason: String,
    /// Only says what it would do to money and unit.
    #[arg(long)]
    dry_run: bool,
}

/// Does what `holdfast stuck` was asked for, and gives back what to print.
///
/// # Errors
/// When the gateway does not answer, or refuses.
pub async fn stuck(gateway: &Api, wanted: Stuck) -> anyhow::Result<String> {
    match wanted {
        Stuck::List { chosen } => {
            let page = gateway.send(Request::get("/stuck").query(&chosen.query())).await?;
            Ok(table(&page))
        }
        Stuck::RetryAll { chosen, expected: None, .. } => {
            let query = [chosen.query(), vec![("dry_run", "true".to_owned())]].concat();
            let found = gateway.send(Request::post("/stuck/retry").query(&query)).await?;
            Ok(format!(
                "Bookings found: {}. To retry them, add --expected and --reason; at most {} at a time.",
                found["count"], found["at_once_max"]
            ))
        }
        Stuck::RetryAll { chosen, expected, reason } => {
            let body = json!({ "expected": expected, "reason": reason.context("--reason: expected a sentence")? });
            let done = gateway.send(Request::post("/stuck/retry").query(&chosen.query()).body(body)).await?;
            Ok(format!("{} of {} bookings are asked for again.", done["retried"], done["count"]))
        }
        Stuck::Retry(what) => gateway.intervene("retry", what, json!({})).await,
        Stuck::Skip(what) => gateway.intervene("skip", what, json!({})).await,
        Stuck::Resolve { reference, what } => {
            gateway.intervene("resolve", what, json!({ "reference": reference })).await
        }
        Stuck::WriteOff { amount, what } => gateway.intervene("write-off", what, json!({ "amount": amount })).await,
    }
}

impl Api {
    async fn intervene(&self, kind: &str, what: Move, mut body: Value) -> anyhow::Result<String> {
        let Move { booking, reason, dry_run } = what;
        body["reason"] = json!(reason);
        let query = if dry_run { vec![("dry_run", "true".to_owned())] } else { Vec::new() };
        let answer = self.send(Request::post(&format!("/stuck/{booking}/{kind}")).query(&query).body(body)).await?;
        if dry_run {
            let amount = answer["amount"]["amount_minor"].as_i64().unwrap_or_default();
            return Ok(format!("It would: money ({amount} minor units) {}, unit {}.", answer["money"], answer["hold"]));
        }
        let stage = answer["stage"].as_str().unwrap_or_default();
        let outcome = &answer["outcome"];
        let came = match (outcome["outcome"].as_str(), outcome["reason"].as_str()) {
            (Some(outcome), Some(reason)) => format!("{outcome}, because: {reason}"),
            (Some(outcome), None) => outcome.to_owned(),
            (None, _) => "heard, its outcome is not known yet".to_owned(),
        };
        Ok(format!("{came}. The booking is {stage}."))
    }
}

impl Chosen {
    fn query(&self) -> Vec<(&'static str, String)> {
        let fields = [("system", &self.system), ("step", &self.step), ("cause", &self.cause)];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

fn table(page: &Value) -> String {
    let bookings = page["bookings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = vec![format!("{} stuck", page["count"])];
    for one in bookings {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let stuck = &one["stuck"];
        let risk = &stuck["at_risk"];
        let risk = match risk["amount_minor"].as_i64() {
            Some(amount) => format!("{amount} {}", text(&risk["currency"])),
            None => "nothing".to_owned(),
        };
        let moves: Vec<_> = stuck["moves"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        lines.push(format!(
            "{}  {}  {}  {}  for {} s, {} rounds  at risk: {risk}  may: {}",
            text(&one["id"]),
            text(&one["system"]),
            text(&stuck["step"]),
            stuck["reason"].as_str().unwrap_or("no_answer"),
            one["age_seconds"],
            one["attempts"],
            moves.join(", "),
        ));
    }
    lines.join("\n")
}
