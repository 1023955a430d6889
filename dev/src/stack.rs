//! Stack: all of Holdfast on one machine. Starts it in order, waits until each part is ready, ends it in reverse. A test
//! may stop, kill and start single parts.

use crate::{
    addresses::{Addresses, NAMESPACE},
    postgres::{self, Cluster},
    program::{Program, Usage},
};
use anyhow::{Context, bail};
use nix::{sys::signal::Signal, unistd::Uid};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const TEMPORAL_FILE: &str = "temporal.db";
const STARTS_WITHIN: Duration = Duration::from_secs(90);
const POSTGRES_RETRIES: u32 = 20;
const POSTGRES_PAUSE: Duration = Duration::from_millis(500);

/// A part of a stack: one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The private Postgres.
    Postgres,
    /// The Temporal dev server.
    Temporal,
    /// The payment simulator.
    Simulator,
    /// All workers in one process.
    Workers,
    /// The catalog worker alone.
    Catalog,
    /// The payment worker alone.
    Payment,
    /// The notification worker alone.
    Notification,
    /// The fulfilment worker alone.
    Fulfilment,
    /// The orchestrator.
    Orchestrator,
}

impl Part {
    /// The usual stack: workers together.
    pub const TOGETHER: &'static [Self] =
        &[Self::Postgres, Self::Temporal, Self::Simulator, Self::Workers, Self::Orchestrator];
    /// The stack in which every worker can be stopped by itself.
    pub const APART: &'static [Self] = &[
        Self::Postgres,
        Self::Temporal,
        Self::Simulator,
        Self::Catalog,
        Self::Payment,
        Self::Notification,
        Self::Fulfilment,
        Self::Orchestrator,
    ];

    /// The part's name, also that of its log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Temporal => "temporal",
            Self::Simulator => "simulator",
            Self::Workers => "workers",
            Self::Catalog => "catalog",
            Self::Payment => "payment",
            Self::Notification => "notification",
            Self::Fulfilment => "fulfilment",
            Self::Orchestrator => "orchestrator",
        }
    }
}

/// A running stack. Ends with this value.
pub struct Stack {
    /// Where everything is.
    pub addresses: Addresses,
    /// What Temporal is told beside the usual, as `key=value` of its dynamic configuration, when it starts the next time.
    pub temporal_told: Vec<String>,
    state: PathBuf,
    /// Where our programs are.
    programs: PathBuf,
    cluster: Cluster,
    /// Started in this order, ended in reverse.
    running: Vec<(Part, Program)>,
}

impl Stack {
    /// Starts some parts, in this order, telling which.
    ///
    /// # Errors
    /// When a part is missing or does not become ready.
    pub async fn start(
        state: &Path,
        addresses: Addresses,
        parts: &[Part],
        tell: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(state.join("logs")).with_context(|| {
            format!("cannot write to {}. Choose another folder with HOLDFAST_STATE=<folder>", state.display())
        })?;
        temporal_cli()?;
        let cluster = Cluster::prepare(&state.join("postgres"), addresses.postgres)?;
        let mut stack = Self {
            addresses,
            temporal_told: Vec::new(),
            state: state.to_owned(),
            programs: programs()?,
            cluster,
            running: Vec::new(),
        };
        for part in parts {
            tell(part.name());
            stack.run(*part).await?;
        }
        Ok(stack)
    }

    /// From now on, starts the programs of another folder.
    pub fn use_programs(&mut self, folder: PathBuf) {
        self.programs = folder;
    }

    /// Starts a part that does not run, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn run(&mut self, part: Part) -> anyhow::Result<()> {
        let addresses = self.addresses.clone();
        let mut started = self.try_to_run(part, &addresses).await;
        // After a crash its last processes may still be going, and it will not start beside them.
        for _ in 0..POSTGRES_RETRIES {
            if started.is_ok() || part != Part::Postgres {
                break;
            }
            tokio::time::sleep(POSTGRES_PAUSE).await;
            started = self.try_to_run(part, &addresses).await;
        }
        started
    }

    /// Starts one more process of a part, which listens elsewhere. Gives back where.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn run_replica(&mut self, part: Part) -> anyhow::Result<Addresses> {
        let addresses = self.addresses.for_a_replica()?;
        self.try_to_run(part, &addresses).await?;
        Ok(addresses)
    }

    async fn try_to_run(&mut self, part: Part, at: &Addresses) -> anyhow::Result<()> {
        let logs = self.state.join("logs");
        // Postgres ends fast, without waiting for its clients, on SIGINT.
        let ending = if part == Part::Postgres { Signal::SIGINT } else { Signal::SIGTERM };
        let mut program = Program::start(part.name(), self.command(part, at)?, &logs, ending)?;
        match part {
            Part::Postgres => {
                program.ready(STARTS_WITHIN, async || self.cluster.answers()).await?;
                self.cluster.bootstrap()?;
            }
            Part::Temporal => {
                let cli = temporal_cli()?;
                let address = format!("127.0.0.1:{}", at.temporal);
                let serving = async || {
                    let asked =
                        Command::new(&cli).args(["operator", "cluster", "health", "--address", &address]).output();
                    asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim() == "SERVING")
                };
                program.ready(STARTS_WITHIN, serving).await?;
            }
            _ => {
                let client = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
                for port in health_ports(part, at) {
                    let url = format!("http://127.0.0.1:{port}/health/ready");
                    let ready = async || client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
                    program.ready(STARTS_WITHIN, ready).await?;
                }
            }
        }
        self.running.push((part, program));
        Ok(())
    }

    /// Asks a part to end, and waits until it has.
    pub fn stop(&mut self, part: Part) {
        if let Some(mut program) = self.take(part) {
            program.stop();
        }
    }

    /// Ends a part as a crash would.
    pub fn kill(&mut self, part: Part) {
        if let Some(mut program) = self.take(part) {
            program.kill();
        }
    }

    /// Ends Postgres or Temporal as a crash would, and takes away what it has on disk: it starts empty.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn lose(&mut self, part: Part) -> anyhow::Result<()> {
        self.kill(part);
        match part {
            Part::Postgres => {
                let folder = self.state.join("postgres");
                std::fs::remove_dir_all(&folder)?;
                self.cluster = Cluster::prepare(&folder, self.addresses.postgres)?;
            }
            Part::Temporal => {
                for end in ["", "-wal", "-shm"] {
                    let file = self.state.join(format!("{TEMPORAL_FILE}{end}"));
                    if file.exists() {
                        std::fs::remove_file(file)?;
                    }
                }
            }
            _ => bail!("{} has nothing on disk", part.name()),
        }
        Ok(())
    }

    /// Copies what Temporal has on disk, while it does not run, to a file, or from one.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn copy_temporal(&self, file: &Path, back: bool) -> anyhow::Result<()> {
        // A server that is stopped in the middle of something leaves the newest in the log.
        for end in ["", "-wal"] {
            let own = self.state.join(format!("{TEMPORAL_FILE}{end}"));
            let copy = PathBuf::from(format!("{}{end}", file.display()));
            let (from, to) = if back { (copy, own) } else { (own, copy) };
            if from.exists() {
                std::fs::copy(from, to)?;
            }
        }
        Ok(())
    }

    /// Lets a part hang: its first process is there, and does nothing.
    pub fn hang(&mut self, part: Part) {
        if let Some(program) = self.programs(part).next() {
            program.hang();
        }
    }

    /// The same, for the last that was started.
    pub fn hang_last(&mut self, part: Part) {
        if let Some(program) = self.programs(part).next_back() {
            program.hang();
        }
    }

    /// Lets a part go on after it hung.
    pub fn go_on(&mut self, part: Part) {
        if let Some(program) = self.programs(part).next() {
            program.go_on();
        }
    }

    /// The processes of a part, in the order they were started in.
    fn programs(&mut self, part: Part) -> impl DoubleEndedIterator<Item = &mut Program> {
        self.running.iter_mut().filter(move |(running, _)| *running == part).map(|(_, program)| program)
    }

    /// The first part that has ended by itself.
    pub fn ended(&mut self) -> Option<Part> {
        self.running.iter_mut().find_map(|(part, program)| program.has_ended().then_some(*part))
    }

    /// What a part has used so far.
    #[must_use]
    pub fn usage(&self, part: Part) -> Usage {
        let used = self.running.iter().filter(|(running, _)| *running == part).map(|(_, program)| program.usage());
        used.fold(Usage::default(), |sum, one| Usage {
            cpu: sum.cpu + one.cpu,
            memory_bytes: sum.memory_bytes + one.memory_bytes,
        })
    }

    /// What a part has logged so far.
    ///
    /// # Errors
    /// When it has not been started.
    pub fn log(&self, part: Part) -> std::io::Result<String> {
        std::fs::read_to_string(self.state.join("logs").join(part.name()).with_extension("log"))
    }

    /// Ends everything, last started first.
    pub fn end(&mut self) {
        while let Some((_, mut program)) = self.running.pop() {
            program.stop();
        }
    }

    fn take(&mut self, part: Part) -> Option<Program> {
        let at = self.running.iter().position(|(running, _)| *running == part)?;
        Some(self.running.remove(at).1)
    }

    fn command(&self, part: Part, at: &Addresses) -> anyhow::Result<Command> {
        let ours = |program: &str, arguments: &[&str]| -> anyhow::Result<Command> {
            let mut command = Command::new(found(&self.programs, program)?);
            command.args(arguments).envs(at.environment());
            Ok(command)
        };
        match part {
            Part::Postgres => Ok(self.cluster.command_to_run()),
            Part::Temporal => self.temporal(),
            Part::Simulator => {
                let mut command = ours("holdfast-dev", &["simulator", "--port", &at.simulator.to_string()])?;
                command.arg("--books").arg(self.state.join("simulator.jsonl"));
                Ok(command)
            }
            Part::Workers => {
                let mut command = ours("holdfast-worker", &["all"])?;
                command.envs(at.faults.map(|port| ("HOLDFAST_FAULTS", format!("127.0.0.1:{port}"))));
                Ok(command)
            }
            Part::Catalog | Part::Payment | Part::Notification | Part::Fulfilment => {
                ours("holdfast-worker", &[part.name()])
            }
            Part::Orchestrator => ours("holdfast", &["serve"]),
        }
    }

    fn temporal(&self) -> anyhow::Result<Command> {
        let at = &self.addresses;
        let mut command = Command::new(temporal_cli()?);
        command.args(["server", "start-dev", "--ip", "127.0.0.1", "--namespace", NAMESPACE, "--log-level", "error"]);
        command.args(["--port", &at.temporal.to_string(), "--ui-port", &at.temporal_ui.to_string()]);
        command.args(["--metrics-port", &at.temporal_metrics.to_string()]);
        command.arg("--db-filename").arg(self.state.join(TEMPORAL_FILE));
        for attribute in ["BookingSystem", "BookingStage", "BookingItem", "BookingCustomer", "WaitingFor"] {
            command.args(["--search-attribute", &format!("{attribute}=Keyword")]);
        }
        // A write-ahead log without a sync for each write: several times the bookings per second.
        command.args(["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]);
        let usual = [
            // The development server looks up in its store, several times for each booking and one after the other, what can be
            // searched for. Other servers remember it for a minute.
            "system.forceSearchAttributesCacheRefreshOnRead=false",
            // As in deploy/temporal/dynamic.yaml, which says why.
            "history.transferProcessorMaxPollRPS=1000",
            "system.enableActivityEagerExecution=true",
            "matching.numTaskqueueReadPartitions=1",
            "matching.numTaskqueueWritePartitions=1",
        ];
        for value in usual.into_iter().chain(self.temporal_told.iter().map(String::as_str)) {
            command.args(["--dynamic-config-value", value]);
        }
        Ok(command)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.end();
    }
}

fn health_ports(part: Part, at: &Addresses) -> Vec<u16> {
    match part {
        Part::Postgres | Part::Temporal => Vec::new(),
        Part::Simulator => vec![at.simulator],
        Part::Workers => vec![at.catalog_admin, at.payment_admin, at.notification_admin, at.fulfilment_admin],
        Part::Catalog => vec![at.catalog_admin],
        Part::Payment => vec![at.payment_admin],
        Part::Notification => vec![at.notification_admin],
        Part::Fulfilment => vec![at.fulfilment_admin],
        Part::Orchestrator => vec![at.admin],
    }
}

/// Where the state of `make up` is kept: `HOLDFAST_STATE`, or a folder that Postgres's own user can reach.
///
/// # Errors
/// When there is no home folder and none is set.
pub fn state_folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("HOLDFAST_STATE").filter(|folder| !folder.is_empty()) {
        return std::path::absolute(folder).context("HOLDFAST_STATE");
    }
    if Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/lib/holdfast"));
    }
    let home = std::env::var_os("HOME").context("neither HOLDFAST_STATE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".local/state/holdfast"))
}

/// Where our programs are: `HOLDFAST_PROGRAMS`, or beside this one.
fn programs() -> anyhow::Result<PathBuf> {
    std::env::var_os("HOLDFAST_PROGRAMS").map_or_else(beside, |folder| Ok(PathBuf::from(folder)))
}

/// The folder of what was built together with this program.
fn beside() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    // A test's own program is one folder further down.
    let found = here.ancestors().skip(1).take(2).find(|folder| folder.join("holdfast").exists());
    found.map(Path::to_owned).context("holdfast is not built: run `cargo build --workspace`")
}

fn found(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    if path.exists() { Ok(path) } else { bail!("{} is not built: run `cargo build --workspace`", path.display()) }
}

/// A program of ours.
///
/// # Errors
/// When it is not there.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    found(&programs()?, name)
}

/// A program that `tools/setup` has put beside ours.
///
/// # Errors
/// When it is not there.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = beside()?.join("../tools/bin").join(name);
    if path.exists() { Ok(path) } else { bail!("{} is not there: run `tools/setup test`", path.display()) }
}

/// The servers that a stack runs beside Holdfast.
///
/// # Errors
/// When one is not on this machine.
pub fn servers() -> anyhow::Result<Vec<PathBuf>> {
    Ok(vec![temporal_cli()?, postgres::binaries()?.join("postgres")])
}

fn temporal_cli() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("HOLDFAST_TEMPORAL") {
        Some(path) => PathBuf::from(path),
        None => beside()?.join("../tools/temporal"),
    };
    if path.exists() { Ok(path) } else { bail!("the Temporal server is not built: run `make tools`") }
}
