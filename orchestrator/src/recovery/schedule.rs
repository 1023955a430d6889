//! When the searches are made: by schedules of Temporal's, so that whichever orchestrator is there makes them.

use anyhow::Context;
use std::time::Duration;
use temporalio_client::{
    Client, RpcOptions,
    schedules::{
        CreateScheduleOptions, ScheduleAction, ScheduleError, ScheduleIntervalSpec, ScheduleOverlapPolicy,
        ScheduleSpec, ScheduleUpdate,
    },
    tonic::Code,
};
use workflows::{
    contracts::recovery::QUEUE,
    recovery::{Place, Search, Sweep},
};

/// What the schedules missed while Temporal was down is not made up for: one search finds it all.
const CATCH_UP: Duration = Duration::from_mins(1);

/// How often the searches are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `HOLDFAST_RECOVERY_SECONDS`: the quick one.
    pub every: Duration,
    /// `HOLDFAST_RECOVERY_SWEEP_SECONDS`: the thorough one.
    pub sweep_every: Duration,
    /// `HOLDFAST_RECOVERY_AGE_SECONDS`: what has been open for less is left alone by the thorough one.
    pub age: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::seconds_or;
        Ok(Self {
            every: seconds_or("HOLDFAST_RECOVERY_SECONDS", Duration::from_secs(15))?,
            sweep_every: seconds_or("HOLDFAST_RECOVERY_SWEEP_SECONDS", Duration::from_mins(5))?,
            age: seconds_or("HOLDFAST_RECOVERY_AGE_SECONDS", Duration::from_mins(1))?,
        })
    }
}

/// Makes sure that the searches are scheduled, as often as is set now.
///
/// # Errors
/// When Temporal refuses.
pub async fn schedule(temporal: &Client, settings: Settings) -> anyhow::Result<()> {
    let place = Place { after: None, seconds: u32::try_from(settings.age.as_secs())? };
    let searches = [
        ("recovery-ended", Search::Ended, settings.every),
        ("recovery-rows", Search::Rows(place), settings.sweep_every),
        ("recovery-holds", Search::Holds(place), settings.sweep_every),
        ("recovery-charges", Search::Charges(place), settings.sweep_every),
    ];
    for (id, search, every) in searches {
        let action = ScheduleAction::start_workflow(Sweep::run, search, QUEUE, id);
        let spec = ScheduleSpec::builder().intervals(vec![ScheduleIntervalSpec::new(every, None)]).build();
        let options = CreateScheduleOptions::builder()
            .action(action.clone())
            .spec(spec.clone())
            .overlap_policy(ScheduleOverlapPolicy::Skip)
            .build();
        match temporal.create_schedule(id, options).await {
            Ok(_) => {}
            Err(ScheduleError::Rpc(status)) if status.code() == Code::AlreadyExists => {}
            Err(error) => return Err(error).context("the schedule of the recovery"),
        }
        let set = move |schedule: &mut ScheduleUpdate| {
            schedule.set_action(action).set_spec(spec).set_catchup_window(CATCH_UP);
        };
        match temporal.get_schedule_handle(id).update(set, RpcOptions::default()).await {
            Ok(()) => {}
            // Another orchestrator that starts at this moment sets the same.
            Err(ScheduleError::Rpc(status)) if status.code() == Code::FailedPrecondition => {}
            Err(error) => return Err(error).context("the schedule of the recovery"),
        }
    }
    Ok(())
}
