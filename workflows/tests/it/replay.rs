//! P7: bookings outlive builds. Histories recorded from running systems must replay on today's code.
//!
//! `make histories` records them anew, for a build that is about to be released; the old ones stay.

#![expect(clippy::disallowed_methods, reason = "the ban is for sagas; this test reads files")]

use std::{fs, path::PathBuf};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};
use workflows::{
    booking::Ending,
    cinema::Cinema,
    contracts::{catalog, payment},
    matching::Matching,
    money::Money,
    parcel::Parcel,
    rental::{Rental, Stage},
    resort::Resort,
    saga::{self, Booking, Progress, Saga, Turn, Undoable},
    salon::Salon,
};

fn histories() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/histories");
    let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // A folder for each version that was released, or is about to be.
    let mut files: Vec<_> = inside(folder.into()).flat_map(inside).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn every_recorded_history_replays_on_todays_code() {
    let histories = histories();
    for system in ["rental", "resort", "cinema", "matching", "salon", "parcel"] {
        let of = |(path, _): &(PathBuf, Vec<u8>)| path.file_name().unwrap().to_str().unwrap().starts_with(system);
        assert!(histories.iter().any(of), "no history of a {system} is recorded");
    }
    for (path, history) in histories {
        let options = WorkflowReplayerOptions::new()
            .register_workflow::<Rental>()
            .unwrap()
            .register_workflow::<Resort>()
            .unwrap()
            .register_workflow::<Cinema>()
            .unwrap()
            .register_workflow::<Matching>()
            .unwrap()
            .register_workflow::<Salon>()
            .unwrap()
            .register_workflow::<Parcel>()
            .unwrap()
            .build();
        let replayer = WorkflowReplayer::new(options).unwrap();

        let outcome = replayer.replay_workflow(temporalio_client::WorkflowHistory::from_json(&history).unwrap()).await;

        assert!(outcome.is_ok(), "{}: {outcome:?}", path.display());
    }
}

/// A copy of the rental whose steps somebody has put in another order: the charge comes first, where `charge_first` says so.
macro_rules! reordered_rental {
    ($(#[$about:meta])* $copy:ident, $charge_first:expr) => {
        $(#[$about])*
        #[workflow]
        struct $copy {
            request: saga::Request,
            progress: Progress,
        }

        impl Booking for $copy {
            const SYSTEM: &'static str = Rental::SYSTEM;
            const WORKFLOW: &'static str = Rental::WORKFLOW;
            const NOUN: &'static str = Rental::NOUN;
            const STAGES: &'static [&'static str] = &[];
            const ACCEPTED: &'static str = Rental::ACCEPTED;
            const TURNS: &'static [Turn] = Rental::TURNS;
            const UNDOABLE_STEPS: &'static [Undoable<Self>] =
                &[Undoable::of::<catalog::Hold, catalog::Release>(), Undoable::of::<payment::Charge, payment::Refund>()];
            const FORWARD_STEPS: &'static [&'static str] = Rental::FORWARD_STEPS;
            const ANNOUNCED: &'static [&'static str] = Rental::ANNOUNCED;

            fn progress(&self) -> &Progress {
                &self.progress
            }

            fn progress_mut(&mut self) -> &mut Progress {
                &mut self.progress
            }
        }

        #[workflow_methods]
        impl $copy {
            #[init]
            fn new(_: &WorkflowContextView, request: saga::Request) -> Self {
                Self { progress: Progress::new(&request.opening), request }
            }

            #[run(name = "ebook.rental")]
            async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
                let request = ctx.state(|copy| copy.request.clone());
                let charge_first: fn(&WorkflowContext<Self>) -> bool = $charge_first;
                let charge_first = charge_first(ctx);
                let story = async |saga: &mut Saga<Self>| {
                    let price = Money::new(3000, iso_currency::Currency::KRW).expect("a small amount");
                    let hold = request.hold(request.opening.item.clone());
                    if charge_first {
                        saga.charge(request.charge(price)).await?;
                        saga.hold(hold).await?;
                        saga.reach(Stage::Held).await;
                    } else {
                        let book = saga.hold(hold).await?;
                        saga.reach(Stage::Held).await;
                        saga.charge(request.charge(book.price)).await?;
                    }
                    Ok(())
                };
                saga::tell(ctx, story, async |_: &mut saga::Forward<'_, Self>| {}).await
            }
        }
    };
}

reordered_rental!(
    /// What a careless edit would do.
    Careless,
    |_| true
);
reordered_rental!(
    /// The same edit, made with care: bookings that began before it go on in the old order.
    Careful,
    |ctx| ctx.patched("charge-first")
);

/// Both endings are reached before the stories part.
#[tokio::test]
async fn a_reorder_behind_a_patch_replays_what_began_before_it() {
    for ending in ["rental-taken", "rental-declined"] {
        let (_, history) =
            histories().into_iter().find(|(path, _)| path.file_stem().unwrap() == ending).expect("it is recorded");
        let options = WorkflowReplayerOptions::new().register_workflow::<Careful>().unwrap().build();
        let replayer = WorkflowReplayer::new(options).unwrap();

        let outcome = replayer.replay_workflow(temporalio_client::WorkflowHistory::from_json(&history).unwrap()).await;

        assert!(outcome.is_ok(), "{ending}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_saga_whose_steps_were_reordered_is_caught() {
    let rentals = |(path, _): &(PathBuf, Vec<u8>)| path.file_name().unwrap().to_str().unwrap().starts_with("rental");
    for (path, history) in histories().into_iter().filter(rentals) {
        let options = WorkflowReplayerOptions::new().register_workflow::<Careless>().unwrap().build();
        let replayer = WorkflowReplayer::new(options).unwrap();

        let outcome = replayer.replay_workflow(temporalio_client::WorkflowHistory::from_json(&history).unwrap()).await;

        let error = outcome.err().unwrap_or_else(|| panic!("{} replayed on a careless copy", path.display()));
        assert!(format!("{error:?}").contains("ondetermin"), "{error:?}");
    }
}
