//! Stack: all of Holdfast on one machine. Starts it in order, waits until each part is ready, ends it in reverse.

use crate::{postgres::Cluster, program::Program};
use anyhow::{Context, bail};
use nix::{sys::signal::Signal, unistd::Uid};
use serde::{Deserialize, Serialize};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const STARTS_WITHIN: Duration = Duration::from_secs(90);
/// The secrets of a stack that listens on loopback only.
const JWT_SECRET: &str = "holdfast-development-secret-0123456789";
const SERVICE_SECRET: &str = "holdfast-development-service";
const NAMESPACE: &str = "holdfast";

/// A port, and the variable that moves it.
struct Port {
    variable: &'static str,
    usual: u16,
}

/// Where everything is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The gateway.
    pub http: u16,
    /// The orchestrator's health and metrics.
    pub admin: u16,
    /// The catalogue's HTTP side.
    pub catalog_http: u16,
    /// Health and metrics of the catalog worker.
    pub catalog_admin: u16,
    /// Health and metrics of the payment worker.
    pub payment_admin: u16,
    /// Health and metrics of the notification worker.
    pub notification_admin: u16,
    /// The payment simulator.
    pub simulator: u16,
    /// Postgres.
    pub postgres: u16,
    /// Temporal.
    pub temporal: u16,
    /// Temporal's web UI.
    pub temporal_ui: u16,
    /// Temporal's metrics.
    pub temporal_metrics: u16,
}

impl Addresses {
    /// The usual ports, each of which a variable can move. A busy one is named, with its variable.
    ///
    /// # Errors
    /// When a port is busy or its variable holds none.
    pub fn usual() -> anyhow::Result<Self> {
        let port = |variable, usual| Port { variable, usual }.free();
        Ok(Self {
            http: port("HOLDFAST_PORT", 8080)?,
            admin: port("HOLDFAST_ADMIN_PORT", 8190)?,
            catalog_http: port("HOLDFAST_CATALOG_PORT", 8181)?,
            catalog_admin: port("HOLDFAST_CATALOG_ADMIN_PORT", 8191)?,
            payment_admin: port("HOLDFAST_PAYMENT_ADMIN_PORT", 8192)?,
            notification_admin: port("HOLDFAST_NOTIFICATION_ADMIN_PORT", 8193)?,
            simulator: port("HOLDFAST_SIMULATOR_PORT", 8199)?,
            postgres: port("HOLDFAST_POSTGRES_PORT", 8532)?,
            temporal: port("HOLDFAST_TEMPORAL_PORT", 7233)?,
            temporal_ui: port("HOLDFAST_TEMPORAL_UI_PORT", 8233)?,
            temporal_metrics: port("HOLDFAST_TEMPORAL_METRICS_PORT", 8234)?,
        })
    }

    /// Ports nobody uses.
    ///
    /// # Errors
    /// When the machine has none left.
    pub fn free() -> anyhow::Result<Self> {
        // Held until all are chosen, so that no two are the same.
        let taken: Vec<TcpListener> =
            (0..11).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>().context("no free port")?;
        let mut ports = taken.iter().map(|listener| listener.local_addr().map(|address| address.port()));
        let mut port = || ports.next().context("no free port")?.context("no free port");
        Ok(Self {
            http: port()?,
            admin: port()?,
            catalog_http: port()?,
            catalog_admin: port()?,
            payment_admin: port()?,
            notification_admin: port()?,
            simulator: port()?,
            postgres: port()?,
            temporal: port()?,
            temporal_ui: port()?,
            temporal_metrics: port()?,
        })
    }

    /// The settings of every process of Holdfast in this stack.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let database = |role: &str| {
            format!("postgres://{role}:{}@127.0.0.1:{}/holdfast", crate::postgres::PASSWORD, self.postgres)
        };
        vec![
            ("HOLDFAST_HTTP", local(self.http)),
            ("HOLDFAST_ADMIN", local(self.admin)),
            ("HOLDFAST_BOARD_DATABASE_URL", database("board")),
            ("HOLDFAST_JWT_SECRET", JWT_SECRET.to_owned()),
            ("HOLDFAST_SERVICE_SECRET", SERVICE_SECRET.to_owned()),
            ("HOLDFAST_CATALOG_URL", format!("http://{}", local(self.catalog_http))),
            ("HOLDFAST_CATALOG_HTTP", local(self.catalog_http)),
            ("HOLDFAST_CATALOG_ADMIN", local(self.catalog_admin)),
            ("HOLDFAST_CATALOG_DATABASE_URL", database("catalog")),
            ("HOLDFAST_PAYMENT_ADMIN", local(self.payment_admin)),
            ("HOLDFAST_PAYMENT_DATABASE_URL", database("payment")),
            ("HOLDFAST_PAYMENT_PROVIDER_URL", format!("http://{}", local(self.simulator))),
            ("HOLDFAST_NOTIFICATION_ADMIN", local(self.notification_admin)),
            ("HOLDFAST_NOTIFICATION_DATABASE_URL", database("notification")),
            ("HOLDFAST_ADMIN_DATABASE_URL", database("postgres")),
            ("HOLDFAST_SIMULATOR_URL", format!("http://{}", local(self.simulator))),
            ("TEMPORAL_ADDRESS", local(self.temporal)),
            ("TEMPORAL_NAMESPACE", NAMESPACE.to_owned()),
        ]
    }
}

impl Port {
    fn free(&self) -> anyhow::Result<u16> {
        let port = match std::env::var(self.variable) {
            Ok(text) => text.parse().with_context(|| format!("{}: expected a port, got {text:?}", self.variable))?,
            Err(_) => self.usual,
        };
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("port {port} is busy. Free it, or choose another with {}=<port>", self.variable)
        })?;
        Ok(port)
    }
}

/// A running stack. Ends with this value.
pub struct Stack {
    /// Where everything is.
    pub addresses: Addresses,
    /// Started in this order, ended in reverse.
    programs: Vec<Program>,
}

impl Stack {
    /// Starts everything, telling what it does.
    ///
    /// # Errors
    /// When a part is missing or does not become ready.
    pub async fn start(state: &Path, addresses: Addresses, tell: impl Fn(&str)) -> anyhow::Result<Self> {
        let logs = state.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| {
            format!("cannot write to {}. Choose another folder with HOLDFAST_STATE=<folder>", state.display())
        })?;
        let mut stack = Self { addresses, programs: Vec::new() };
        tell("Postgres");
        let cluster = Cluster::prepare(&state.join("postgres"), stack.addresses.postgres)?;
        stack.programs.push(cluster.start(&logs).await?);
        tell("Temporal");
        stack.temporal(state, &logs).await?;
        tell("payment simulator");
        stack.simulator(state, &logs).await?;
        tell("workers and orchestrator");
        stack.holdfast(&logs).await?;
        Ok(stack)
    }

    /// The first part that has ended by itself.
    pub fn ended(&mut self) -> Option<&'static str> {
        self.programs.iter_mut().find_map(|program| program.has_ended().then(|| program.name()))
    }

    /// Ends everything, last started first.
    pub fn stop(&mut self) {
        while let Some(mut program) = self.programs.pop() {
            program.stop();
        }
    }

    async fn temporal(&mut self, state: &Path, logs: &Path) -> anyhow::Result<()> {
        let cli = temporal_cli()?;
        let ports = &self.addresses;
        let mut command = Command::new(&cli);
        command.args(["server", "start-dev", "--ip", "127.0.0.1", "--namespace", NAMESPACE, "--log-level", "error"]);
        command.args(["--port", &ports.temporal.to_string(), "--ui-port", &ports.temporal_ui.to_string()]);
        command.args(["--metrics-port", &ports.temporal_metrics.to_string()]);
        command.arg("--db-filename").arg(state.join("temporal.db"));
        for attribute in ["BookingSystem", "BookingStage", "BookingItem", "BookingCustomer", "WaitingFor"] {
            command.args(["--search-attribute", &format!("{attribute}=Keyword")]);
        }
        // A write-ahead log without a sync for each write: several times the bookings per second.
        command.args(["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]);
        // By default every hop to a worker waits up to 50 ms for its turn.
        command.args(["--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"]);
        let address = format!("127.0.0.1:{}", ports.temporal);
        let mut program = Program::start("temporal", command, logs, Signal::SIGTERM)?;
        let serving = async || {
            let health = Command::new(&cli).args(["operator", "cluster", "health", "--address", &address]).output();
            health.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("SERVING"))
        };
        program.ready(STARTS_WITHIN, serving).await?;
        self.programs.push(program);
        Ok(())
    }

    async fn simulator(&mut self, state: &Path, logs: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(sibling("holdfast-dev")?);
        command.args(["simulator", "--port", &self.addresses.simulator.to_string()]);
        command.arg("--books").arg(state.join("simulator.jsonl"));
        self.program("simulator", command, logs, &[self.addresses.simulator]).await
    }

    async fn holdfast(&mut self, logs: &Path) -> anyhow::Result<()> {
        let mut workers = Command::new(sibling("holdfast-worker")?);
        workers.arg("all").envs(self.addresses.environment());
        let ports = &self.addresses;
        let admin = [ports.catalog_admin, ports.payment_admin, ports.notification_admin];
        self.program("workers", workers, logs, &admin).await?;
        let mut orchestrator = Command::new(sibling("holdfast")?);
        orchestrator.arg("serve").envs(self.addresses.environment());
        let admin = [self.addresses.admin];
        self.program("orchestrator", orchestrator, logs, &admin).await
    }

    async fn program(
        &mut self,
        name: &'static str,
        command: Command,
        logs: &Path,
        admin: &[u16],
    ) -> anyhow::Result<()> {
        let mut program = Program::start(name, command, logs, Signal::SIGTERM)?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
        for port in admin {
            let url = format!("http://127.0.0.1:{port}/health/ready");
            let ready = async || client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
            program.ready(STARTS_WITHIN, ready).await?;
        }
        self.programs.push(program);
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stop();
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

/// A program of ours: it is built beside this one.
///
/// # Errors
/// When it is not there.
pub fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { bail!("{} is not there: run `cargo build --workspace`", path.display()) }
}

fn temporal_cli() -> anyhow::Result<PathBuf> {
    let default = || std::env::current_exe().map(|path| path.with_file_name("../tools/temporal"));
    let path = std::env::var_os("HOLDFAST_TEMPORAL").map_or_else(default, |path| Ok(PathBuf::from(path)))?;
    if path.exists() { Ok(path) } else { bail!("the Temporal server is not built: run `make tools`") }
}
