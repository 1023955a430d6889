//! A private Postgres: a cluster of our own under the state folder, from the machine's binaries.

use anyhow::{Context, bail, ensure};
use nix::unistd::Uid;
use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// Postgres refuses to run as root: then it runs as *nobody*, who owns nothing else here.
const NOBODY: u32 = 65_534;
/// The passwords of a cluster that listens on loopback only and dies with its folder.
pub(crate) const PASSWORD: &str = "holdfast";
const DATABASE: &str = "holdfast";
const BOOTSTRAP: &str = include_str!("../../deploy/postgres/bootstrap.sql");

pub(crate) struct Cluster {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// A cluster in `folder`, made when it is not there yet.
    pub(crate) fn prepare(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let cluster = Self { binaries: binaries()?, folder: folder.to_owned(), port };
        if folder.join("PG_VERSION").exists() {
            return Ok(cluster);
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        if Uid::effective().is_root() {
            chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
        let made = cluster
            .command("initdb")
            .arg("--pgdata")
            .arg(folder)
            .args(["--username=postgres", "--encoding=UTF8", "--no-locale", "--auth-local=trust"])
            .args(["--auth-host=scram-sha-256", "--no-sync"])
            .output()
            .context("initdb did not start")?;
        ensure!(
            made.status.success(),
            "initdb failed: {}As root, Postgres runs as nobody, who must be able to reach {}: choose another folder with \
             HOLDFAST_STATE",
            String::from_utf8_lossy(&made.stderr),
            folder.display()
        );
        Ok(cluster)
    }

    pub(crate) fn command_to_run(&self) -> Command {
        let mut command = self.command("postgres");
        let socket = format!("unix_socket_directories={}", self.folder.display());
        command.arg("-D").arg(&self.folder).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", &socket, "max_connections=200", "shared_buffers=128MB"] {
            command.args(["-c", setting]);
        }
        command
    }

    pub(crate) fn answers(&self) -> bool {
        self.psql("postgres", &["--command=select 1"], None).is_ok()
    }

    /// Makes the database, its roles and schemas, as an administrator would.
    pub(crate) fn bootstrap(&self) -> anyhow::Result<()> {
        let exists = self.psql(
            "postgres",
            &["--tuples-only", &format!("--command=select 1 from pg_database where datname = '{DATABASE}'")],
            None,
        )?;
        if exists.trim().is_empty() {
            self.psql("postgres", &[&format!("--command=create database {DATABASE}")], None)?;
        }
        let mut variables = vec![format!("--variable=database={DATABASE}")];
        for role in ["board", "catalog", "payment", "notification", "fulfilment"] {
            variables.push(format!("--variable={role}_password={PASSWORD}"));
        }
        // For tests and for looking around with psql.
        let administrator = format!("{BOOTSTRAP}\nalter role postgres password '{PASSWORD}';\n");
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        self.psql(DATABASE, &variables, Some(&administrator)).context("the database could not be set up")?;
        Ok(())
    }

    fn psql(&self, database: &str, arguments: &[&str], input: Option<&str>) -> anyhow::Result<String> {
        use std::{io::Write, process::Stdio};
        let mut command = Command::new(self.binaries.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--username=postgres", "--dbname", database]);
        command.arg("--host").arg(&self.folder).args(["--port", &self.port.to_string()]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("psql did not start")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.unwrap_or_default().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir("/");
        if Uid::effective().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

/// The newest Postgres on this machine.
pub(crate) fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = entry.file_name().to_string_lossy().parse().ok();
        let binaries = entry.path().join("bin");
        if let Some(version) = version
            && binaries.join("initdb").exists()
        {
            found.push((version, binaries));
        }
    }
    let newest = found.into_iter().max();
    match newest {
        Some((version, binaries)) if version >= 15 => Ok(binaries),
        Some((version, _)) => {
            bail!("Postgres {version} is too old: 15 or later is needed (apt-get install postgresql)")
        }
        None => bail!("there is no Postgres on this machine: apt-get install postgresql"),
    }
}
