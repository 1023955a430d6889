//! Notification worker: one message per booking and stage, in the customer's language, by mail, by text or into the log, and
//! a record of what became of it. Decides nothing.
//!
//! A message is never told twice: where nobody knows whether it arrived, it becomes a dead letter, which a person may send
//! again. Addresses and words stay in the tables: logs name the booking and the stage.

mod activities;
mod channels;
mod contacts;
mod http;
mod words;

pub use channels::{Mail, Text};
pub use contacts::Contact;
pub use words::Language;

use crate::{GRACE, Setup, host, metrics::MESSAGES, road::Road, store::Error};
use activities::Activities;
use channels::Outcome;
use deadpool_postgres::Pool;
use lettre::message::Mailbox;
use secrecy::SecretString;
use std::{net::SocketAddr, sync::Arc};
use temporalio_sdk::WorkerOptions;
use tokio_postgres::{Row, types::Json};
use workflows::{
    booking::BookingId,
    contracts::notification::{self, Heard, Notice},
};

mod embedded {
    refinery::embed_migrations!("src/notification/migrations");
}

/// What the notification worker reads from its environment.
pub struct Settings {
    /// `HOLDFAST_NOTIFICATION_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_NOTIFICATION_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
    /// `HOLDFAST_NOTIFICATION_HTTP`: where the gateway reaches messages and contacts.
    pub http: SocketAddr,
    /// `HOLDFAST_SERVICE_SECRET`: what the gateway shows there.
    pub service_secret: SecretString,
    /// `HOLDFAST_SMTP_URL`: the mail server. With neither mail nor text, messages go to the log.
    pub smtp: Option<SecretString>,
    /// `HOLDFAST_MAIL_FROM`: whom mail comes from.
    pub from: Mailbox,
    /// `HOLDFAST_TEXT_URL`: the provider of text messages.
    pub text: Option<reqwest::Url>,
    /// `HOLDFAST_TEXT_TOKEN`: what is shown there.
    pub text_token: Option<SecretString>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{database, optional, or, required_or, secret};
        Ok(Self {
            database: database("HOLDFAST_NOTIFICATION_DATABASE_URL")?,
            admin: or("HOLDFAST_NOTIFICATION_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8193)))?,
            http: or("HOLDFAST_NOTIFICATION_HTTP", "address:port", SocketAddr::from(([127, 0, 0, 1], 8183)))?,
            service_secret: secret("HOLDFAST_SERVICE_SECRET", "at least 16 random characters", 16)?,
            smtp: optional::<String>("HOLDFAST_SMTP_URL", "smtps://user:password@host")?.map(Into::into),
            from: required_or(
                "HOLDFAST_MAIL_FROM",
                "an address such as Holdfast <holdfast@example.com>",
                "holdfast@localhost",
            )?,
            text: optional("HOLDFAST_TEXT_URL", "a URL")?,
            text_token: optional::<String>("HOLDFAST_TEXT_TOKEN", "a token")?.map(Into::into),
        })
    }
}

/// Where messages are kept, and how they leave.
pub struct Post {
    /// The worker's tables.
    pub pool: Pool,
    /// Mail, where there is a server.
    pub mail: Option<Mail>,
    /// Text messages, where there is a provider.
    pub text: Option<Text>,
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database stays away, or a migration fails.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    process::postgres::migrate(&settings.database, &embedded::migrations::runner()).await
}

/// Runs the worker until it is told to stop.
///
/// # Errors
/// When it cannot start, or Temporal refuses it for good.
pub async fn run(settings: Settings, setup: &Setup) -> anyhow::Result<()> {
    migrate(&settings).await?;
    let post = Arc::new(Post {
        pool: process::postgres::pool(&settings.database)?,
        // The URL holds a password, which the error may quote.
        mail: settings.smtp.map(|url| Mail::new(&url, settings.from)).transpose().map_err(|_| BadMailServer)?,
        text: settings.text.map(|url| Text::new(url, settings.text_token)).transpose()?,
    });
    let listener = process::admin::bind(settings.http).await?;
    let http = crate::http::serve(
        listener,
        settings.service_secret,
        setup.stop.clone(),
        http::routes(post.clone(), &Road::of(setup)),
    );
    let options = WorkerOptions::new(notification::QUEUE)
        .register_activities(Activities { post })
        .graceful_shutdown_period(GRACE)
        .build();
    tokio::try_join!(host(setup, options, settings.admin), async {
        http.await;
        Ok(())
    })?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("HOLDFAST_SMTP_URL: expected smtps://user:password@host, or smtp://host:port")]
struct BadMailServer;

/// Why a message is not delivered yet. To an activity that means: try again.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The tables do not answer.
    #[error("the messages cannot be read or written")]
    Store(#[from] Error),
    /// The server does not take it now: a stable code.
    #[error("not delivered yet: {0}")]
    NotYet(&'static str),
}

/// Whose customers are told by text.
const TOLD_BY_TEXT: &str = <workflows::salon::Salon as workflows::saga::Booking>::SYSTEM;
/// How long an attempt counts as being on its way. Longer than an attempt may take.
const ON_ITS_WAY_SECONDS: f64 = 20.0;

/// Keeps the contract [`notification::Send`].
///
/// # Errors
/// [`NotSent`]: not delivered yet, or not known.
pub async fn send(post: &Post, notice: &Notice) -> Result<(), NotSent> {
    let Some(envelope) = take(post, notice).await? else { return Ok(()) };
    let outcome = match (&envelope.channel, &post.mail, &post.text) {
        (Channel::Mail(to), Some(mail), _) => mail.send(notice, to, envelope.language, &envelope.text).await,
        (Channel::Text(to), _, Some(text)) => text.send(notice, to, &envelope.text).await,
        _ => Outcome::Sent,
    };
    if envelope.channel.leaves() {
        record(post, notice, outcome).await?;
    }
    let result = match outcome {
        Outcome::Sent => "sent",
        Outcome::NotYet(_) => "deferred",
        Outcome::Refused(_) | Outcome::Unknown(_) => "dead",
    };
    MESSAGES.with_label_values(&[notice.system.as_str(), notice.stage.as_str(), envelope.channel.name(), result]).inc();
    match outcome {
        Outcome::NotYet(problem) => Err(NotSent::NotYet(problem)),
        Outcome::Refused(problem) | Outcome::Unknown(problem) => {
            tracing::warn!(booking = %notice.booking, stage = notice.stage, problem, "a message became a dead letter");
            Ok(())
        }
        Outcome::Sent => {
            tracing::info!(
                booking = %notice.booking, stage = notice.stage, channel = envelope.channel.name(),
                "told the customer of {}", notice.booking
            );
            Ok(())
        }
    }
}

/// Keeps the contract [`notification::Told`].
///
/// # Errors
/// [`Error`]: not known.
pub async fn told(pool: &Pool, of: &[BookingId]) -> Result<Vec<Heard>, Error> {
    let of: Vec<uuid::Uuid> = of.iter().map(|booking| booking.0).collect();
    let client = pool.get().await?;
    let select = "select booking, array_agg(stage) as stages from messages \
                  where booking = any($1) and state in ('sent', 'dead') group by booking";
    let select = client.prepare_cached(select).await?;
    let heard = |row: &Row| Heard { booking: BookingId(row.get("booking")), stages: row.get("stages") };
    Ok(client.query(&select, &[&of]).await?.iter().map(heard).collect())
}

/// A message that is ours to deliver now.
struct Envelope {
    channel: Channel,
    language: Language,
    text: String,
}

/// Where a message goes.
enum Channel {
    Log,
    None,
    Mail(String),
    Text(String),
}

impl Channel {
    const fn leaves(&self) -> bool {
        matches!(self, Self::Mail(_) | Self::Text(_))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::None => "none",
            Self::Mail(_) => "mail",
            Self::Text(_) => "text",
        }
    }
}

/// Writes a message down and takes it up. `None`: it is dealt with already.
async fn take(post: &Post, notice: &Notice) -> Result<Option<Envelope>, NotSent> {
    let mut client = post.pool.get().await.map_err(Error::from)?;
    let transaction = client.transaction().await.map_err(Error::from)?;
    let customer = notice.customer.as_str();
    let contact = contacts::find(&transaction, customer).await?;
    let language = contact.as_ref().map_or(Language::En, |contact| contact.language);
    let channel = channel(post, notice, contact);
    let text = words::text(notice, language);

    let insert = "insert into messages (booking, stage, system, customer, item, text, language, channel, notice, state) \
                  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting') on conflict (booking, stage) do nothing";
    let (booking, stage) = (&notice.booking.0, &notice.stage);
    let record = transaction.prepare_cached(insert).await.map_err(Error::from)?;
    transaction
        .execute(
            &record,
            &[
                booking,
                stage,
                &notice.system,
                &customer,
                &notice.item,
                &text,
                &language.as_str(),
                &channel.name(),
                &Json(notice),
            ],
        )
        .await
        .map_err(Error::from)?;
    let look = "select state, channel, coalesce(extract(epoch from now() - tried_at)::float8, 0) as seconds from messages \
                where booking = $1 and stage = $2 for update";
    let look = transaction.prepare_cached(look).await.map_err(Error::from)?;
    let row: Row = transaction.query_one(&look, &[booking, stage]).await.map_err(Error::from)?;
    let change = match (row.get("state"), row.get::<_, &str>("channel")) {
        ("sent" | "dead", _) => return Ok(None),
        ("sending", _) if row.get::<_, f64>("seconds") < ON_ITS_WAY_SECONDS => {
            return Err(NotSent::NotYet("on_its_way"));
        }
        // An attempt that ended without a word, such as that of a worker that was killed.
        ("sending", "mail") => "state = 'dead', problem = 'outcome_unknown'",
        // Nothing leaves the machine: it is told with this very transaction.
        _ if notice.was_told || !channel.leaves() => "state = 'sent', sent_at = now(), attempts = attempts + 1",
        _ => "state = 'sending', tried_at = now(), attempts = attempts + 1",
    };
    let change = format!(
        "update messages set {change}, text = $3, channel = $4 where booking = $1 and stage = $2 returning state"
    );
    let row = transaction.query_one(&change, &[booking, stage, &text, &channel.name()]).await.map_err(Error::from)?;
    let ours = row.get::<_, &str>("state") != "dead";
    transaction.commit().await.map_err(Error::from)?;
    Ok((ours && !notice.was_told).then_some(Envelope { channel, language, text }))
}

/// A salon's customers are told by text, the others by mail; whoever has only one address, there.
fn channel(post: &Post, notice: &Notice, contact: Option<Contact>) -> Channel {
    if post.mail.is_none() && post.text.is_none() {
        return Channel::Log;
    }
    let (mail, phone) = contact.map_or((None, None), |contact| (contact.mail, contact.phone));
    let mail = mail.filter(|_| post.mail.is_some()).map(Channel::Mail);
    let text = phone.filter(|_| post.text.is_some()).map(Channel::Text);
    let chosen = if notice.system == TOLD_BY_TEXT { text.or(mail) } else { mail.or(text) };
    chosen.unwrap_or(Channel::None)
}

async fn record(post: &Post, notice: &Notice, outcome: Outcome) -> Result<(), NotSent> {
    let (state, problem) = match outcome {
        Outcome::Sent => ("sent", None),
        Outcome::NotYet(problem) => ("waiting", Some(problem)),
        Outcome::Refused(problem) | Outcome::Unknown(problem) => ("dead", Some(problem)),
    };
    let change = "update messages set state = $3, problem = $4, sent_at = case when $3 = 'sent' then now() end \
                  where booking = $1 and stage = $2";
    let client = post.pool.get().await.map_err(Error::from)?;
    let change = client.prepare_cached(change).await.map_err(Error::from)?;
    client.execute(&change, &[&notice.booking.0, &notice.stage, &state, &problem]).await.map_err(Error::from)?;
    Ok(())
}
