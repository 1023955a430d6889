//! Any provider, with its calls measured.

use super::provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded};
use crate::metrics::PROVIDER;
use chrono::{DateTime, Utc};
use process::traces::{self, Traced};
use std::time::Instant;

/// A provider whose calls are measured: how long they take, and whether their outcome is known.
pub struct Timed<P>(pub P);

async fn timed<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, Error>>,
    outcome: impl Fn(&T) -> &'static str,
) -> Result<T, Error> {
    let began = Instant::now();
    let span = traces::asking("payment provider");
    let answer = call.with_context(span.clone()).await;
    let outcome = answer.as_ref().map_or("unknown", outcome);
    traces::say(&span, "operation", operation);
    traces::say(&span, "outcome", outcome);
    tracing::info!(operation, outcome, "the payment provider was asked");
    PROVIDER.with_label_values(&[operation, outcome]).observe(began.elapsed().as_secs_f64());
    answer
}

impl<P: Provider> Provider for Timed<P> {
    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        timed("charge", self.0.charge(order), |charged| match charged {
            Charged::Captured(_) => "captured",
            Charged::Declined { .. } => "declined",
        })
        .await
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        timed("find", self.0.find(key), |found| if found.is_some() { "captured" } else { "nothing" }).await
    }

    async fn cancel(&self, key: &str) -> Result<Cancelled, Error> {
        timed("cancel", self.0.cancel(key), |cancelled| match cancelled {
            Cancelled::Refused => "refused",
            Cancelled::Captured(_) => "captured",
            Cancelled::Unsupported { .. } => "unsupported",
        })
        .await
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        timed("refund", self.0.refund(key, captured), |refunded| match refunded {
            Refunded::Done => "done",
            Refunded::Refused { .. } => "refused",
        })
        .await
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        timed("list", self.0.list(since, after), |_| "listed").await
    }
}
