//! Postgres: a bounded pool, and migrations that run one process at a time.

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use deadpool_postgres::{Config, ManagerConfig, Pool, PoolConfig, RecyclingMethod, Runtime, Timeouts};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio_postgres::NoTls;

/// Connections of one process to its schema.
pub const CONNECTIONS_MAX: usize = 16;
/// How long a caller waits for a free connection, and how long to connect may take.
const WAIT_MAX: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Ends a statement or transaction that hangs, on the server's side. Shorter than any activity's attempt.
pub const STATEMENT_MAX: Duration = Duration::from_secs(4);
/// All our migrations share one advisory lock: they are short, and starts are rare.
const MIGRATION_LOCK: i64 = 0x686f_6c64_6661_7374;

/// Makes the pool of a process that needs only one. Connects only when it is used.
///
/// # Errors
/// When the URL cannot be read.
pub fn pool(url: &SecretString) -> anyhow::Result<Pool> {
    pool_of(url, CONNECTIONS_MAX, STATEMENT_MAX)
}

/// Makes a pool of so many connections, on which a statement or transaction may hang for so long. A statement that its caller has
/// given up goes on until then, and whoever gets its connection next waits behind it: so who gives up early wants a pool where
/// the server does too. Connects only when it is used.
///
/// # Errors
/// When the URL cannot be read.
pub fn pool_of(url: &SecretString, connections: usize, statement: Duration) -> anyhow::Result<Pool> {
    let mut config = Config::new();
    config.url = Some(url.expose_secret().to_owned());
    let ms = statement.as_millis();
    config.options = Some(format!("-c statement_timeout={ms} -c idle_in_transaction_session_timeout={ms}"));
    // A connection whose other end is gone without a word is given up, not waited for.
    config.keepalives = Some(true);
    config.keepalives_idle = Some(KEEPALIVE);
    config.manager = Some(ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let timeouts = Timeouts { wait: Some(WAIT_MAX), create: Some(WAIT_MAX), recycle: Some(WAIT_MAX) };
    config.pool = Some(PoolConfig { max_size: connections, timeouts, ..PoolConfig::default() });
    config.create_pool(Some(Runtime::Tokio1), NoTls).context("the database URL cannot be used")
}

/// Brings the schema up to date, waiting for a database that is still starting.
///
/// # Errors
/// When the database stays away for a minute, or a migration fails.
pub async fn migrate(url: &SecretString, runner: &refinery::Runner) -> anyhow::Result<()> {
    let patience = ExponentialBuilder::default().with_max_delay(Duration::from_secs(3)).with_max_times(25);
    let connect = || async { tokio_postgres::connect(url.expose_secret(), NoTls).await };
    let (mut client, connection) = connect
        .retry(patience)
        .notify(|error, pause| tracing::warn!(error = super::logs::chain(error), ?pause, "Postgres is not there yet"))
        .await
        .context("Postgres does not answer")?;
    let connection = tokio::spawn(connection);
    client.query("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.context("the migration lock")?;
    let report = runner.run_async(&mut client).await.context("a migration failed")?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "applied a migration");
    }
    // The lock goes with the connection.
    drop(client);
    connection.await.context("the migration connection")?.context("the migration connection")
}
