//! `holdfast serve | migrate | token`.

use clap::{Parser, Subcommand};
use orchestrator::{
    Settings,
    board::Board,
    gateway::auth::{self, Auth, Caller, Role},
    serve,
};
use process::{logs, settings, shutdown};
use std::{process::ExitCode, time::Duration};
use workflows::booking::Subject;

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
            let auth = Auth::new(&auth::Settings::read()?);
            let lifetime = Duration::from_secs(u64::from(hours) * 3600);
            #[allow(clippy::print_stdout, reason = "the token is what this command is for")]
            {
                println!("{}", auth.token(&Caller { subject, roles }, lifetime)?);
            }
            Ok(())
        }
    }
}
