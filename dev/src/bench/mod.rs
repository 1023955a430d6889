//! Bench: what a benchmark needs that others are to believe. Load that does not wait for its victim, rounds that are compared as
//! medians with their spread, processor time and memory by process, and a report that says on which machine and how.

pub mod load;
pub mod report;

use crate::program::Usage;
use std::{collections::BTreeMap, time::Duration};

/// What some processes have used, by name.
pub type Used = BTreeMap<&'static str, Usage>;

/// Processor milliseconds between two looks, for each of some pieces of work.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn cpu_ms_each(before: &Used, after: &Used, pieces: usize) -> BTreeMap<&'static str, f64> {
    let used =
        |name: &&'static str| after[name].cpu.saturating_sub(before.get(name).map_or(Duration::ZERO, |used| used.cpu));
    after.keys().map(|name| (*name, used(name).as_secs_f64() * 1000.0 / pieces as f64)).collect()
}

/// The value below which a share of all lies. Zero where there is none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are not so many")]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the list")]
    let at = (share * last as f64).ceil() as usize;
    sorted.get(at.min(last)).copied().unwrap_or_default()
}

/// Half are below, half above.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}
