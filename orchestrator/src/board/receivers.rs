//! Receivers: who is told of changes by a signed call, how far they have been told, and what came of each call.

use super::{Error, FeedPlace};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Somebody who is told.
#[derive(Clone, Debug, Serialize)]
pub struct Receiver {
    /// Their id.
    pub id: Uuid,
    /// Where they are called.
    pub url: String,
    /// What signs the calls.
    #[serde(skip)]
    pub secret: SecretString,
    /// Only of this system, or of all.
    pub system: Option<String>,
    /// Who registered them.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
    /// The last change they were told.
    pub position: FeedPlace,
    /// Not called before.
    pub next_at: DateTime<Utc>,
    /// How often the next change was tried in vain.
    pub attempts: i32,
    /// Not called until somebody resumes it.
    pub paused: bool,
}

/// A call, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Its number.
    pub delivery: i64,
    /// Which change.
    pub place: FeedPlace,
    /// Of which booking.
    pub booking: Uuid,
    /// Which version.
    pub version: i32,
    /// When.
    pub at: DateTime<Utc>,
    /// The how manieth attempt.
    pub attempt: i32,
    /// The receiver's HTTP status; none where it did not answer.
    pub status: Option<i32>,
    /// `delivered`, `failed`, or `given_up`: the receiver is paused.
    pub outcome: String,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They have it.
    Delivered,
    /// They do not; tried again after a while.
    Failed(Duration),
    /// They do not, and are paused.
    GivenUp,
}

/// The receivers' tables.
pub struct Receivers<'board>(pub(super) &'board Pool);

const COLUMNS: &str = "receiver, url, secret, system, made_by, made_at, tx, seq, next_at, attempts, paused";

impl Receivers<'_> {
    /// Registers one, to be told from a place on.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn add(
        &self,
        url: &str,
        secret: &SecretString,
        system: Option<&str>,
        by: &str,
        from: Option<FeedPlace>,
    ) -> Result<Receiver, Error> {
        // Without a place: from now on.
        let insert = format!(
            "insert into receivers (receiver, url, secret, system, made_by, tx, seq) values ($1, $2, $3, $4, $5, \
             coalesce($6, pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1), coalesce($7, 9223372036854775807)) \
             returning {COLUMNS}"
        );
        let (tx, seq) = from.map(|place| (place.tx, place.seq)).unzip();
        let client = self.0.get().await?;
        let row = client
            .query_one(&insert, &[&Uuid::now_v7(), &url, &secret.expose_secret(), &system, &by, &tx, &seq])
            .await?;
        Ok(receiver(&row))
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn all(&self) -> Result<Vec<Receiver>, Error> {
        let select = format!("select {COLUMNS} from receivers order by made_at limit 1000");
        Ok(self.0.get().await?.query(&select, &[]).await?.iter().map(receiver).collect())
    }

    /// Removes one, with the log of its calls. `false`: there is none.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn remove(&self, id: Uuid) -> Result<bool, Error> {
        Ok(self.0.get().await?.execute("delete from receivers where receiver = $1", &[&id]).await? == 1)
    }

    /// Tells one again from a place on, or goes on where it was, at once. `None`: there is none.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn resume(&self, id: Uuid, from: Option<FeedPlace>) -> Result<Option<Receiver>, Error> {
        let update = format!(
            "update receivers set tx = coalesce($2, tx), seq = coalesce($3, seq), attempts = 0, paused = false, \
             next_at = now() where receiver = $1 returning {COLUMNS}"
        );
        let (tx, seq) = from.map(|place| (place.tx, place.seq)).unzip();
        Ok(self.0.get().await?.query_opt(&update, &[&id, &tx, &seq]).await?.as_ref().map(receiver))
    }

    /// A page of the calls to one, newest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn deliveries(&self, id: Uuid, before: Option<i64>, limit: i64) -> Result<Vec<Delivery>, Error> {
        let select = "select delivery, tx, seq, booking, version, at, attempt, status, outcome from deliveries \
                      where receiver = $1 and ($2::bigint is null or delivery < $2) order by delivery desc limit $3";
        Ok(self.0.get().await?.query(select, &[&id, &before, &limit]).await?.iter().map(delivery).collect())
    }

    /// Takes one that may be called now, for some time: nobody else calls it meanwhile.
    pub(crate) async fn lease(&self, lasts: Duration) -> Result<Option<Receiver>, Error> {
        let take = format!(
            "update receivers set next_at = now() + make_interval(secs => $1) where receiver = (select receiver \
             from receivers where not paused and next_at <= now() order by next_at limit 1 for update skip locked) \
             returning {COLUMNS}"
        );
        let client = self.0.get().await?;
        let take = client.prepare_cached(&take).await?;
        Ok(client.query_opt(&take, &[&lasts.as_secs_f64()]).await?.as_ref().map(receiver))
    }

    /// Gives one back: it may be called again after some time.
    pub(crate) async fn give_back(&self, id: Uuid, after: Duration) -> Result<(), Error> {
        let back = "update receivers set next_at = now() + make_interval(secs => $2) where receiver = $1";
        self.0.get().await?.execute(back, &[&id, &after.as_secs_f64()]).await?;
        Ok(())
    }

    /// Moves one on over changes that are not for it. `false`: it was sent somewhere else meanwhile.
    pub(crate) async fn skip(&self, told: &Receiver, to: FeedPlace) -> Result<bool, Error> {
        let moved = "update receivers set tx = $2, seq = $3 where receiver = $1 and (tx, seq) = ($4, $5)";
        let FeedPlace { tx, seq } = told.position;
        Ok(self.0.get().await?.execute(moved, &[&told.id, &to.tx, &to.seq, &tx, &seq]).await? == 1)
    }

    /// Writes a call down, and how far its receiver has been told. `false`: it was sent somewhere else meanwhile.
    pub(crate) async fn record(
        &self,
        told: &Receiver,
        change: &super::Change,
        status: Option<u16>,
        outcome: Outcome,
    ) -> Result<bool, Error> {
        let FeedPlace { tx, seq } = change.place;
        let (word, next, paused) = match outcome {
            Outcome::Delivered => ("delivered", None, false),
            Outcome::Failed(pause) => ("failed", Some(pause.as_secs_f64()), false),
            Outcome::GivenUp => ("given_up", None, true),
        };
        let delivered = outcome == Outcome::Delivered;
        // Nothing is written when the position was moved by hand since it was read.
        let record = "with moved as (update receivers set \
                tx = case when $10 then $2 else tx end, seq = case when $10 then $3 else seq end, \
                attempts = case when $10 then 0 else attempts + 1 end, paused = $9, \
                next_at = case when $8::float8 is null then next_at else now() + make_interval(secs => $8) end \
                where receiver = $1 and (tx, seq) = ($11, $12) returning receiver) \
            insert into deliveries (receiver, tx, seq, booking, version, attempt, status, outcome) \
            select receiver, $2, $3, $4, $5, $6, $7, $13 from moved";
        let status = status.map(i32::from);
        let before = told.position;
        let written = self
            .0
            .get()
            .await?
            .execute(
                record,
                &[
                    &told.id,
                    &tx,
                    &seq,
                    &change.booking.0,
                    &change.version,
                    &(told.attempts + 1),
                    &status,
                    &next,
                    &paused,
                    &delivered,
                    &before.tx,
                    &before.seq,
                    &word,
                ],
            )
            .await?;
        Ok(written == 1)
    }

    /// Forgets calls that are older than 30 days.
    pub(crate) async fn forget(&self) -> Result<u64, Error> {
        Ok(self.0.get().await?.execute("delete from deliveries where at < now() - interval '30 days'", &[]).await?)
    }
}

fn receiver(row: &Row) -> Receiver {
    Receiver {
        id: row.get("receiver"),
        url: row.get("url"),
        secret: row.get::<_, String>("secret").into(),
        system: row.get("system"),
        made_by: row.get("made_by"),
        made_at: row.get("made_at"),
        position: FeedPlace { tx: row.get("tx"), seq: row.get("seq") },
        next_at: row.get("next_at"),
        attempts: row.get("attempts"),
        paused: row.get("paused"),
    }
}

fn delivery(row: &Row) -> Delivery {
    Delivery {
        delivery: row.get("delivery"),
        place: FeedPlace { tx: row.get("tx"), seq: row.get("seq") },
        booking: row.get("booking"),
        version: row.get("version"),
        at: row.get("at"),
        attempt: row.get("attempt"),
        status: row.get("status"),
        outcome: row.get("outcome"),
    }
}
