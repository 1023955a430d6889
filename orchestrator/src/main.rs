//! `holdfast serve | migrate | token | conformance | check-upgrade`, and the command line: `book | decide | return | cancel | show | watch | explain | stuck`.

use clap::{Parser, Subcommand};
use orchestrator::{
    Settings,
    board::Board,
    cli::{
        Api,
        bookings::{self, Bookings},
        stuck::{self, Stuck},
    },
    conformance::{self, Queue},
    gateway::auth::{self, Auth, Caller, Role},
    serve,
    upgrade::{self, Checked},
};
use process::{logs, settings, shutdown};
use std::{process::ExitCode, time::Duration};
use workflows::booking::{Item, Subject};

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
    /// Makes the calls of a bad day to the workers of a task queue, and prints what they got wrong. What they do is real.
    Conformance {
        /// Which workers.
        #[arg(long)]
        queue: Queue,
        /// For the catalog: what may be held meanwhile, and has one unit, such as ebook/1.
        #[arg(long, value_parser = item)]
        item: Option<Item>,
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
        Command::Conformance { queue, item } => {
            let wrong = conformance::run(queue, item, say).await?;
            anyhow::ensure!(wrong == 0, "{wrong} promises are not kept");
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
