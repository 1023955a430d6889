//! What the orchestrator counts. Each answers a question; `grafana/README.md` says which panel asks it.

use process::metrics::{PATIENT, QUICK, counter, seconds};
use prometheus::{Histogram, HistogramVec, IntCounterVec};
use std::sync::LazyLock;

/// How long did requests take, by route and status?
pub static REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time from the arrival of a request to its answer.";
    seconds("holdfast_request_seconds", help, QUICK, &["method", "route", "status"])
});

/// How long did a customer wait to hear whether the booking is accepted?
pub static ACCEPTANCE: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time from a booking request to its acceptance, refusal, or the answer that it is pending.";
    seconds("holdfast_acceptance_seconds", help, QUICK, &["system", "outcome"])
});

/// How many bookings reached which stage?
pub static STAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("holdfast_stages_total", "Stages that bookings reached, as published on the board.", &["system", "stage"])
});

/// How many bookings ended, and why?
pub static ENDINGS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Bookings that ended, by how (completed, undone) and why they were turned back.";
    counter("holdfast_endings_total", help, &["system", "ending", "reason"])
});

/// Where does the time go?
pub static TIME_IN_STAGE: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time a booking spent at a stage before it went on to the next.";
    seconds("holdfast_stage_seconds", help, PATIENT, &["system", "stage"])
});

/// How old is what people see?
pub static BOARD_LAG: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Time from when a booking reached a stage to when the board shows it.";
    seconds("holdfast_board_lag_seconds", help, PATIENT, &[]).with_label_values::<&str>(&[])
});

/// How often did the engine give a booking up before it had ended?
pub static RECOVERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Bookings taken over because their saga was terminated, failed, timed out or deleted.";
    counter("holdfast_recoveries_total", help, &["system", "after"])
});

/// How many calls reached their webhook receivers, and how many did not?
pub static DELIVERIES: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("holdfast_webhook_deliveries_total", "Calls to webhook receivers.", &["outcome"]));
