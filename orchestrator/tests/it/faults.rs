//! The fault matrix: every step and every undo that a saga declares, each with every fault; and every two things that people
//! and clocks may do to a rental, at every stage of it. Each on both roads to the workers. Afterwards all promises hold.
//!
//! The cases come from what the saga declares, so no step can be forgotten. The endings are kept in `docs/fault-matrix.md`:
//! this test writes it anew, and fails when that changes it. One case alone:
//!
//! ```sh
//! HOLDFAST_CASE='ebook: payment.charge (step), answer lost' target/debug/holdfast-dev stack \
//!     cargo test --package holdfast-orchestrator --test it faults::
//! ```

mod case;
mod grid;
mod pairs;
mod steps;
mod turns;

use crate::world::World;
use case::{Case, Outcome, Road};
use futures::{StreamExt, stream};
use std::{collections::BTreeMap, panic::AssertUnwindSafe};
use tokio::time::Instant;

/// How many cases run at the same time.
const AT_ONCE: usize = 16;
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fault-matrix.md");

/// P1 to P4.
#[tokio::test]
async fn whatever_goes_wrong_nothing_is_left_behind() {
    let wanted = std::env::var("HOLDFAST_CASE").ok();
    let cases: Vec<Box<dyn Case>> = steps::cases().into_iter().chain(pairs::cases()).chain(turns::cases()).collect();
    let chosen: Vec<_> =
        cases.iter().filter(|case| wanted.as_ref().is_none_or(|wanted| *wanted == case.name())).collect();
    assert!(!chosen.is_empty(), "there is no case {wanted:?}");

    let began = Instant::now();
    let (mut outcomes, mut bookings) = (BTreeMap::<String, Option<Outcome>>::new(), Vec::new());
    for road in Road::ALL {
        let run = stream::iter(&chosen).map(|case| async { (case.name(), attempt(case.as_ref(), *road).await) });
        for (name, outcome) in run.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            let ending = |outcome: &Option<Outcome>| outcome.as_ref().map(|outcome| outcome.ending.clone());
            let other = outcomes.remove(&name);
            bookings.extend(outcome.iter().map(|outcome| outcome.booking.clone()));
            // Whichever road it takes, it ends alike; where it does not, that is a failure of its own.
            let alike = other.is_none_or(|other| ending(&other) == ending(&outcome));
            if !alike {
                println!("{name}: over the short road it ends otherwise: {:?}", ending(&outcome));
            }
            outcomes.insert(name, outcome.filter(|_| alike));
        }
    }
    let endings = outcomes
        .iter()
        .map(|(name, outcome)| (name.as_str(), outcome.as_ref().map_or("FAILED", |outcome| outcome.ending.as_str())));
    let endings: BTreeMap<_, _> = endings.collect();
    println!("{} cases in {:.0} s", outcomes.len(), began.elapsed().as_secs_f32());

    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_none()).map(|(name, _)| name).collect();
    for name in &failed {
        println!(
            "repeat it alone: HOLDFAST_CASE='{name}' target/debug/holdfast-dev stack cargo test \
             --package holdfast-orchestrator --test it faults:: -- --nocapture"
        );
    }
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
    assert_total(&bookings).await;
    if wanted.is_none() {
        let page = grid::page(&endings);
        println!("{page}");
        let before = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
        std::fs::write(DOCUMENT, &page).unwrap();
        assert!(before == page, "docs/fault-matrix.md has changed: look at its difference, and keep it if it is right");
    }
}

/// `None`: it failed, and has said how.
async fn attempt(case: &dyn Case, road: Road) -> Option<Outcome> {
    let played = AssertUnwindSafe(case.play(road));
    let outcome = futures::FutureExt::catch_unwind(played).await.ok();
    if outcome.is_none() {
        println!("{}: failed over the {road:?} road, see above", case.name());
    }
    outcome
}

/// P1, in total: what we hold for all these bookings is what the provider has kept for them.
async fn assert_total(bookings: &[String]) {
    let world = World::new();
    let keys: Vec<uuid::Uuid> = bookings.iter().map(|id| id.parse().unwrap()).collect();
    let kept = "select coalesce(sum(amount_minor), 0)::bigint from payment.postings \
                where booking = any($1) and account in ('bookings', 'written_off')";
    let ours: i64 = world.database().await.query_one(kept, &[&keys]).await.unwrap().get(0);
    let theirs: i64 = world.provider_kept(bookings).await;
    assert_eq!(ours, theirs, "all bookings together");
}
