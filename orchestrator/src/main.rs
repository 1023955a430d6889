//! `holdfast serve | migrate | token | stuck | explain`.

use clap::{Parser, Subcommand};
use orchestrator::{
    Settings,
    board::Board,
    gateway::auth::{self, Auth, Caller, Role},
    operator::{self, Stuck},
    serve,
};
use process::{logs, settings, shutdown};
use std::{process::ExitCode, time::Duration};
use workflows::booking::{BookingId, Subject};

/// The booking orchestrator. Settings come from the environment: see .env.example.
#[derive(Parser)]
#[command(version)]
struct Arguments {
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
    /// What needs an operator, and what to do about it. Asks the gateway at `HOLDFAST_URL` as `HOLDFAST_TOKEN`.
    #[command(subcommand)]
    Stuck(Stuck),
    /// Tells the story of a booking: what happened, what it waits for, and what may be done.
    Explain {
        /// Which booking.
        booking: BookingId,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    process::logs::ended(run(Arguments::parse().command).await)
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
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
        Command::Stuck(wanted) => {
            say(&operator::stuck(wanted).await?);
            Ok(())
        }
        Command::Explain { booking } => {
            say(&operator::explain(booking).await?);
            Ok(())
        }
    }
}

#[allow(clippy::print_stdout, reason = "these commands are asked for what they print")]
fn say(text: &str) {
    println!("{text}");
}
