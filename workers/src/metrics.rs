//! What the workers count. Each answers a question; `grafana/README.md` says which panel asks it.

use process::metrics::{QUICK, counter, seconds};
use prometheus::{HistogramVec, IntCounterVec};
use std::sync::LazyLock;

/// How fast, and how clearly, does the payment provider answer?
pub static PROVIDER: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time a call to the payment provider took, by operation and outcome.";
    seconds("holdfast_provider_seconds", help, QUICK, &["operation", "outcome"])
});

/// How many holds were granted, and how many refused?
pub static HOLDS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("holdfast_holds_total", "Answers to requests for a hold.", &["system", "answer"]));

/// How many messages were sent, and how many not?
pub static MESSAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Attempts at messages to customers, by channel and outcome.";
    counter("holdfast_messages_total", help, &["system", "stage", "channel", "outcome"])
});

/// How many loyalty points were given?
pub static POINTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("holdfast_points_total", "Loyalty points given to customers.", &["system"]));
