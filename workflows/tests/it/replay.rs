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
    parcel::Parcel,
    rental::{Rental, Stage},
    resort::Resort,
    saga::{self, Booking, Progress, Saga, Turn, Undoable},
    salon::Salon,
};

fn histories() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/histories");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
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

/// A copy of the rental that charges before it holds: what a careless edit would do.
#[workflow]
struct Careless {
    request: saga::Request,
    progress: Progress,
}

impl Booking for Careless {
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
impl Careless {
    #[init]
    fn new(_: &WorkflowContextView, request: saga::Request) -> Self {
        Self { progress: Progress::new(&request.opening), request }
    }

    #[run(name = "ebook.rental")]
    async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|careless| careless.request.clone());
        let opening = request.opening;
        let (booking, workflow) = (opening.booking, opening.workflow_id());
        let story = async |saga: &mut Saga<Self>| {
            let price = workflows::money::Money::new(3000, iso_currency::Currency::KRW).expect("a small amount");
            let charge = payment::ChargeRequest {
                booking,
                workflow: workflow.clone(),
                customer: opening.customer,
                amount: price,
                method: None,
            };
            saga.step(payment::Charge, charge, payment::Refund).await?;
            let hold = catalog::HoldRequest { booking, workflow, customer: None, item: opening.item, period: None };
            saga.step(catalog::Hold, hold, catalog::Release).await?;
            saga.reach(Stage::Held).await;
            Ok(())
        };
        saga::tell(ctx, story, async |_: &mut saga::Forward<'_, Self>| {}).await
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
