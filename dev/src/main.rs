//! `holdfast-dev up | demo | stack | simulator`.

use anyhow::Context;
use clap::{Parser, Subcommand};
use dev::{
    addresses::{Addresses, unless_asked_otherwise},
    demo, simulator,
    stack::{Part, Stack, state_folder},
};
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// The stand-ins around Holdfast, for one machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Starts everything and keeps it running until Ctrl-C.
    Up,
    /// Plays one approved and one rejected rental against a running system, and tells what happens.
    Demo,
    /// Starts everything on free ports in a fresh folder, runs a command with its settings, and ends everything.
    Stack {
        /// The command.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Runs the payment simulator alone.
    Simulator {
        /// Where it listens: loopback, unless it is alone in a container.
        #[arg(long, default_value_t = std::net::IpAddr::from([127, 0, 0, 1]))]
        ip: std::net::IpAddr,
        /// At which port.
        #[arg(long, default_value_t = 8199)]
        port: u16,
        /// The file its books are kept in.
        #[arg(long)]
        books: PathBuf,
        /// For how many seconds it remembers idempotency keys.
        #[arg(long, default_value_t = 86_400)]
        key_memory_seconds: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse().command).await.unwrap_or_else(|error| {
        say(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(wanted: Wanted) -> anyhow::Result<ExitCode> {
    match wanted {
        Wanted::Up => up().await,
        Wanted::Demo => demo::play().await.map(|()| ExitCode::SUCCESS),
        Wanted::Stack { command } => with_stack(&command).await,
        Wanted::Simulator { ip, port, books, key_memory_seconds } => {
            let listener = TcpListener::bind((ip, port)).await.context("the simulator's port")?;
            let key_memory = Duration::from_secs(key_memory_seconds);
            simulator::serve(listener, simulator::Settings { books, key_memory }).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn up() -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let state = state_folder()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // The terminal was closed: nothing is to stay behind.
    let mut hang_up = signal(SignalKind::hangup())?;
    say(&format!("Starting Holdfast. State: {}", state.display()));
    let starting = Stack::start(&state, Addresses::configured_and_free()?, Part::TOGETHER, |part| {
        say(&format!("  {:>5.1} s  {part}", began.elapsed().as_secs_f32()));
    });
    let mut stack = tokio::select! {
        stack = starting => stack?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
        _ = hang_up.recv() => return Ok(ExitCode::from(129)),
    };
    welcome(&stack.addresses, began.elapsed())?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
            _ = look.tick() => if let Some(part) = stack.ended() {
                let name = part.name();
                say(&format!("{name} has ended by itself: see {}/logs/{name}.log", state.display()));
                stack.end();
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    say("\nEnding what was started ...");
    stack.end();
    say("Done. Your bookings are kept: `make up` goes on where this ended.");
    Ok(ExitCode::SUCCESS)
}

fn welcome(at: &Addresses, took: Duration) -> anyhow::Result<()> {
    let api = format!("http://127.0.0.1:{}", at.http);
    let (admin, member) = (demo::token(at, "librarian", "admin")?, demo::token(at, "1", "member")?);
    say(&format!(
        "Ready after {:.1} s.

  Console        {api}/console
  API            {api}, described at {api}/docs
  Temporal UI    http://127.0.0.1:{}/namespaces/holdfast/workflows
  Metrics        http://127.0.0.1:{}/metrics
  Dashboard      psql postgres://board:holdfast@127.0.0.1:{}/holdfast -c 'select stage, item_name, customer from bookings'

Open the console and click, or rent a book from another terminal. Paste this:

  ADMIN={admin}
  MEMBER={member}
  BOOK=$(curl -s {api}/ebook/books -H \"Authorization: Bearer $ADMIN\" -H 'Content-Type: application/json' \\
    -d '{{\"bookName\":\"Hello, JAVA\",\"rentalFee\":3000}}' | sed 's/.*\"id\":\\([0-9]*\\).*/\\1/')
  curl -s {api}/ebook/rents -H 'Prefer: wait=5' -H \"Authorization: Bearer $MEMBER\" -H 'Content-Type: application/json' \\
    -d \"{{\\\"bookId\\\":$BOOK}}\"; echo
  curl -s -X PATCH {api}/ebook/books/approve/$BOOK -H \"Authorization: Bearer $ADMIN\"; echo

Or watch a story of each system: make demo.  Ctrl-C ends everything.",
        took.as_secs_f32(),
        at.temporal_ui,
        at.admin,
        at.postgres,
    ));
    Ok(())
}

/// A hundred tests at once on a small machine: a second is not what is measured there, one test's broken provider is not to be
/// another's, and nobody is to wait for their turn. The environment may say otherwise.
const PATIENT: [(&str, &str); 5] = [
    ("HOLDFAST_ANSWER_SECONDS", "3"),
    ("HOLDFAST_PROVIDER_BREAKER_FAILURES", "1000"),
    ("HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX", "10000"),
    ("HOLDFAST_REQUESTS_PER_SECOND_MAX", "10000"),
    ("HOLDFAST_REQUESTS_AT_ONCE_MAX", "1000"),
];

async fn with_stack(command: &[String]) -> anyhow::Result<ExitCode> {
    let state = std::env::temp_dir().join(format!("holdfast-{}", std::process::id()));
    let mut addresses = Addresses::free()?;
    addresses.also.extend(unless_asked_otherwise(&PATIENT));
    let mut stack = Stack::start(&state, addresses, Part::TOGETHER, |part| say(&format!("  starting: {part}"))).await?;
    let mut child = tokio::process::Command::new(&command[0])
        .args(&command[1..])
        .envs(stack.addresses.environment())
        .env("HOLDFAST_STACK", serde_json::to_string(&stack.addresses)?)
        .spawn()
        .with_context(|| format!("cannot start {}", command[0]))?;
    let status = child.wait().await?;
    stack.end();
    let keep = std::env::var_os("HOLDFAST_KEEP").is_some() || !status.success();
    if keep {
        say(&format!("The logs are in {}/logs", state.display()));
    } else {
        std::fs::remove_dir_all(&state).with_context(|| format!("cannot remove {}", state.display()))?;
    }
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// Tells the person at the terminal. A closed pipe is no reason to fail.
fn say(text: &str) {
    let mut out = std::io::stderr();
    let _written = writeln!(out, "{text}");
    if out.is_terminal() {
        let _flushed = out.flush();
    }
}
