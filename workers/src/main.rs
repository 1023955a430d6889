//! `holdfast-worker catalog | payment | notification | fulfilment | all`: one process, one worker or all of them.

use anyhow::Context;
use clap::{Parser, Subcommand};
use process::{
    logs,
    settings::{optional, or},
    shutdown, temporal, traces,
};
use std::{net::SocketAddr, num::NonZeroUsize, process::ExitCode};
use workers::{Setup, catalog, faults::Faults, notification, payment};

/// Unless configured otherwise.
const ACTIVITIES_MAX: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");

/// Runs one of Holdfast's workers, or all of them in one process. Settings come from the environment: see .env.example.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Brings the schema up to date and ends. Without, a worker does that when it starts.
    #[arg(long, global = true)]
    migrate: bool,
    #[command(subcommand)]
    worker: Which,
}

#[derive(Clone, Copy, PartialEq, Subcommand)]
enum Which {
    /// What can be booked, and who holds it.
    Catalog,
    /// Charges and refunds.
    Payment,
    /// Messages to customers.
    Notification,
    /// Vouchers and points.
    #[cfg(feature = "fulfilment")]
    Fulfilment,
    /// All of them.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    logs::ended(Box::pin(run(Arguments::parse())).await)
}

/// What a process is called in traces.
const fn service(worker: Which) -> &'static str {
    match worker {
        Which::Catalog => "holdfast-catalog",
        Which::Payment => "holdfast-payment",
        Which::Notification => "holdfast-notification",
        #[cfg(feature = "fulfilment")]
        Which::Fulfilment => "holdfast-fulfilment",
        Which::All => "holdfast-workers",
    }
}

async fn run(Arguments { migrate, worker: wanted }: Arguments) -> anyhow::Result<()> {
    logs::start();
    let runs = |worker: Which| wanted == Which::All || wanted == worker;
    let catalog = runs(Which::Catalog).then(catalog::Settings::read).transpose()?;
    let payment = runs(Which::Payment).then(payment::Settings::read).transpose()?;
    let notification = runs(Which::Notification).then(notification::Settings::read).transpose()?;
    #[cfg(feature = "fulfilment")]
    let fulfilment = runs(Which::Fulfilment).then(workers::fulfilment::Settings::read).transpose()?;

    if migrate {
        if let Some(settings) = &catalog {
            catalog::migrate(settings).await.context("the catalog's schema")?;
        }
        if let Some(settings) = &payment {
            payment::migrate(settings).await.context("the payments' schema")?;
        }
        if let Some(settings) = &notification {
            notification::migrate(settings).await.context("the messages' schema")?;
        }
        #[cfg(feature = "fulfilment")]
        if let Some(settings) = &fulfilment {
            workers::fulfilment::migrate(settings).await.context("the vouchers' schema")?;
        }
        return Ok(());
    }
    let stop = shutdown::token()?;
    let faults_at: Option<SocketAddr> = optional("HOLDFAST_FAULTS", "address:port on loopback, for tests")?;
    let faults = faults_at.map(|_| Faults::default());
    let traces = traces::start(service(wanted))?;
    let activities_max = or("HOLDFAST_ACTIVITIES_MAX", "a number from 1", ACTIVITIES_MAX)?;
    let setup = Setup {
        activities_max,
        temporal: temporal::connect(&temporal::Settings::read()?, &traces).await?,
        faults,
        stop,
    };
    // A worker's future is bound to this task: the SDK runs each on the task that started it.
    tokio::try_join!(
        async {
            let Some(settings) = catalog else { return Ok(()) };
            catalog::run(settings, &setup).await.context("the catalog worker")
        },
        async {
            let Some(settings) = payment else { return Ok(()) };
            payment::run(settings, &setup).await.context("the payment worker")
        },
        async {
            let Some(settings) = notification else { return Ok(()) };
            notification::run(settings, &setup).await.context("the notification worker")
        },
        async {
            #[cfg(feature = "fulfilment")]
            if let Some(settings) = fulfilment {
                return workers::fulfilment::run(settings, &setup).await.context("the fulfilment worker");
            }
            Ok(())
        },
        async {
            let (Some(faults), Some(address)) = (&setup.faults, faults_at) else { return Ok(()) };
            faults.serve(address, setup.stop.clone()).await.context("faults on demand")
        },
    )?;
    Ok(())
}
