//! `holdfast serve | migrate | token | conformance | check-upgrade | reconcile | forget`, and the command line: `book | decide | return | cancel | show | watch | explain | stuck`.

use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand};
use orchestrator::{
    Settings,
    board::Board,
    cli::{
        Api,
        bookings::{self, Bookings},
        forget,
        stuck::{self, Stuck},
    },
    conformance::{self, Queue},
    gateway::auth::{self, Auth, Caller, Role},
    reconcile::{self, Compared, Wanted},
    serve,
    upgrade::{self, Checked},
};
use process::{logs, settings, shutdown};
use std::{process::ExitCode, time::Duration};
use workflows::booking::{Item, Subject};

/// A day, and an hour for a job that starts late.
const USUALLY_SINCE: Duration = Duration::from_hours(25);

/// The booking orchestrator. Settings come from the environment: see .env.example.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Goes to Temporal and the board itself, with the settings of `holdfast serve`, instead of asking the gateway at
    /// `HOLDFAST_URL`.
    #[arg(long, global = true)]
    direct: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves HTTP and runs the bookings.
    Serve,
    /// Brings the board's schema up to date and ends.
    Migrate,
    /// Prints a token for development, signed with `HOLDFAST_JWT_SECRET`.
    Token {
        /// Who: an opaque subject, such as 1.
        #[arg(long)]
        subject: Subject,
        /// What they may be: member, admin, operator. May be given more than once.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// For how long.
        #[arg(long, default_value_t = 12)]
        hours: u32,
    },
    /// Replays the open bookings of a running system on this build, and names those that would not go on, with the event and the
    /// step. Run it before an upgrade, with the new program.
    CheckUpgrade {
        /// How many at most, the newest first.
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
    },
    /// Compares the board, the workers' tables, the sagas and the provider's books, and names what does not agree; fails when
    /// something is left: for cron. After a restore, run it with --alone and --mend before the gateway is started.
    Reconcile {
        /// Sets right what it finds: nothing is asked of a provider but what became of a key, or a refund that was answered.
        #[arg(long)]
        mend: bool,
        /// No orchestrator runs: the sagas are hosted here meanwhile. After a restore.
        #[arg(long)]
        alone: bool,
        /// Of the bookings that have ended, those that ended after this, such as 2027-07-23T12:00:00Z: the time of the backup.
        /// Usually those of the last 25 hours.
        #[arg(long)]
        since: Option<DateTime<Utc>>,
    },
    /// Makes the calls of a bad day to the workers of a task queue, and prints what they got wrong. What they do is real.
    Conformance {
        /// Which workers.
        #[arg(long)]
        queue: Queue,
        /// For the catalog: what may be held meanwhile, and has one unit, such as ebook/1.
        #[arg(long, value_parser = item)]
        item: Option<Item>,
    },
    /// Forgets a customer, none of whose bookings is open, as `HOLDFAST_TOKEN`: in every table, and in Temporal. The money trail
    /// stays.
    Forget {
        /// Who.
        customer: Subject,
    },
    /// What needs an operator, and what to do about it, as `HOLDFAST_TOKEN`.
    #[command(subcommand)]
    Stuck(Stuck),
    #[command(flatten)]
    Bookings(Bookings),
}

#[tokio::main]
async fn main() -> ExitCode {
    process::logs::ended(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Serve => {
            logs::start();
            serve(Settings::read()?, shutdown::token()?).await
        }
        Command::Migrate => {
            logs::start();
            Board::migrate(&settings::database("HOLDFAST_BOARD_DATABASE_URL")?).await
        }
        Command::Token { subject, roles, hours } => {
            let auth = Auth::new(&auth::Settings::read()?)?;
            let lifetime = Duration::from_secs(u64::from(hours) * 3600);
            say(&auth.token(&Caller { subject, roles }, lifetime)?);
            Ok(())
        }
        Command::CheckUpgrade { limit } => {
            let Checked { replayed, diverge } = upgrade::check(limit, say).await?;
            say(&format!("{replayed} open bookings replayed, {diverge} would not go on"));
            anyhow::ensure!(diverge == 0, "this build cannot replace the one that runs");
            Ok(())
        }
        Command::Reconcile { mend, alone, since } => {
            let since = since.unwrap_or_else(|| Utc::now() - USUALLY_SINCE);
            let Compared { bookings, charges, differences, left } =
                reconcile::reconcile(Wanted { since, mend, alone }, say).await?;
            say(&format!("{bookings} bookings and {charges} charges compared, {differences} differences, {left} left"));
            anyhow::ensure!(left == 0, "something does not agree");
            Ok(())
        }
        Command::Conformance { queue, item } => {
            let wrong = conformance::run(queue, item, say).await?;
            anyhow::ensure!(wrong == 0, "{wrong} promises are not kept");
            Ok(())
        }
        Command::Forget { customer } => {
            say(&forget::forget(&Api::read(arguments.direct).await?, &customer).await?);
            Ok(())
        }
        Command::Stuck(wanted) => {
            say(&stuck::stuck(&Api::read(arguments.direct).await?, wanted).await?);
            Ok(())
        }
        Command::Bookings(wanted) => bookings::run(&Api::read(arguments.direct).await?, wanted, say).await,
    }
}

fn item(text: &str) -> Result<Item, &'static str> {
    let read = || {
        let (system, number) = text.split_once('/')?;
        Some(Item { system: system.to_owned(), number: number.parse().ok()? })
    };
    read().ok_or("expected a system and a number, such as ebook/1")
}

#[allow(clippy::print_stdout, reason = "these commands are asked for what they print")]
fn say(text: &str) {
    println!("{text}");
}
