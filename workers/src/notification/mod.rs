//! Notification worker: one message per booking and stage, and a record of what was sent. Decides nothing.
//!
//! Messages go to the log for now: who and which stage, never the text, which may name people.

mod activities;

use crate::{GRACE, Setup, host, metrics::MESSAGES, store::Error};
use activities::Activities;
use deadpool_postgres::Pool;
use secrecy::SecretString;
use std::net::SocketAddr;
use temporalio_sdk::WorkerOptions;
use workflows::contracts::notification::{self, Money, Notice};

mod embedded {
    refinery::embed_migrations!("src/notification/migrations");
}

/// What the notification worker reads from its environment.
pub struct Settings {
    /// `HOLDFAST_NOTIFICATION_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_NOTIFICATION_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{database, or};
        Ok(Self {
            database: database("HOLDFAST_NOTIFICATION_DATABASE_URL")?,
            admin: or("HOLDFAST_NOTIFICATION_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8193)))?,
        })
    }
}

/// Runs the worker until it is told to stop.
///
/// # Errors
/// When it cannot start, or Temporal refuses it for good.
pub async fn run(settings: Settings, setup: &Setup) -> anyhow::Result<()> {
    process::postgres::migrate(&settings.database, &embedded::migrations::runner()).await?;
    let pool = process::postgres::pool(&settings.database)?;
    let options = WorkerOptions::new(notification::QUEUE)
        .register_activities(Activities { pool })
        .graceful_shutdown_period(GRACE)
        .build();
    host(setup, options, settings.admin).await
}

/// Keeps the contract [`notification::Send`].
///
/// # Errors
/// [`Error`]: not known yet.
pub async fn send(pool: &Pool, notice: &Notice) -> Result<(), Error> {
    let client = pool.get().await?;
    let record = client
        .prepare_cached(
            "insert into messages (booking, stage, system, customer, text) values ($1, $2, $3, $4, $5) \
             on conflict do nothing",
        )
        .await?;
    let customer = notice.customer.as_str();
    let new =
        client.execute(&record, &[&notice.booking.0, &notice.stage, &notice.system, &customer, &words(notice)]).await?;
    if new == 1 {
        MESSAGES.with_label_values(&[notice.system.as_str(), notice.stage.as_str()]).inc();
        tracing::info!(booking = %notice.booking, stage = notice.stage, "told the customer of {}", notice.booking);
    }
    Ok(())
}

/// What the customer reads.
fn words(notice: &Notice) -> String {
    let item = notice.item_name.as_deref().unwrap_or("what you asked for");
    let money = match notice.money {
        Money::NotTaken => "Nothing was charged.",
        Money::Refunded => "Your payment has been refunded.",
        Money::WrittenOff => "Your payment was not refunded. Please ask us about it.",
    };
    match (notice.stage.as_str(), notice.reason.as_deref()) {
        ("paid", _) => format!("We received your payment for \"{item}\". It now waits for approval."),
        ("approved", _) => format!("\"{item}\" is yours. Enjoy it, and bring it back when you are done."),
        ("returned", _) => format!("\"{item}\" is back with us. Thank you."),
        ("undone", Some("rejected")) => format!("Your request for \"{item}\" was not approved. {money}"),
        ("undone", Some("payment_declined")) => format!("Your payment for \"{item}\" was declined. {money}"),
        ("undone", Some("item_taken")) => format!("Somebody was quicker: \"{item}\" is taken. {money}"),
        ("undone", _) => format!("Your request for \"{item}\" has ended. {money}"),
        (stage, _) => format!("\"{item}\" is now {stage}."),
    }
}
