//! Metrics: how ours are made, so that all processes name and bucket them alike.
//!
//! Names start with `holdfast_`; counters end in `_total`, times in `_seconds`. Labels are bounded: a system, a stage, an
//! outcome, a route; never an id.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, core::Collector};

/// From a quick answer to a slow provider. Whoever waits for the whole second that an answer may take has it just after that.
pub const QUICK: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.2, 2.5, 5.0, 10.0];
/// From a worker's answer to a person's decision.
pub const PATIENT: &[f64] =
    &[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3_600.0, 14_400.0, 86_400.0, 604_800.0, 1_209_600.0];

/// A counter by labels.
///
/// # Panics
/// When the name is taken or wrong: a mistake in our code, seen at the first use.
#[must_use]
pub fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name, help), labels).expect("a valid counter"))
}

/// A level by labels.
///
/// # Panics
/// When the name is taken or wrong: a mistake in our code, seen at the first use.
#[must_use]
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid gauge"))
}

/// A distribution of times by labels.
///
/// # Panics
/// When the name is taken or wrong: a mistake in our code, seen at the first use.
#[must_use]
pub fn seconds(name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(HistogramVec::new(options, labels).expect("a valid histogram"))
}

fn register<C: Collector + Clone + 'static>(collector: C) -> C {
    prometheus::register(Box::new(collector.clone())).expect("each metric is made once");
    collector
}
