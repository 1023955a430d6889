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

/// The least value that a share of all does not exceed: of a hundred values, the 99th for 0.99. Zero where there is none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are not so many")]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the list")]
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// Half are below, half above.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let negated: Vec<f64> = values.iter().map(|value| -value).collect();
    f64::midpoint(quantile(values, 0.5), -quantile(&negated, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn shares_and_halves_are_found() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let of = |share| quantile(&hundred, share);
        assert_eq!([of(0.0), of(0.5), of(0.99), of(0.999), of(1.0)], [1.0, 50.0, 99.0, 100.0, 100.0]);
        assert_eq!([median(&[]), median(&[3.0]), median(&[4.0, 1.0]), median(&[9.0, 1.0, 2.0])], [0.0, 3.0, 2.5, 2.0]);
    }
}
