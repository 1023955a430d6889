//! Board: the dashboard table. What an answered request said is there, or something newer is.
//!
//! Rows only move forward. Whoever waits for a booking to move on waits here, not on the saga: that costs Temporal
//! nothing, and what is answered has been published by then.

mod activities;
mod feed;
mod forget;
mod lookups;
mod receivers;
mod rows;
mod tail;

pub(crate) use activities::Activities;
pub use receivers::{Delivery, Outcome, Receiver, Receivers};
pub(crate) use rows::details;
pub use rows::{Change, FeedPlace, Filter, Inbox, Intervention, Interventions, Level, Page, Place, Waiting};
pub use tail::{Follower, Whose};

use crate::metrics::BOARD_LAG;
use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, PoolError};
use feed::Feed;
use futures::future::join_all;
use lookups::Lookups;
use process::postgres::{CONNECTIONS_MAX, STATEMENT_MAX, pool, pool_of};
use secrecy::SecretString;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tail::Tail;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Period, Row, Subject},
    contracts::{
        board::Rows,
        recovery::{Claims, OpenAfter},
    },
};

mod embedded {
    refinery::embed_migrations!("src/board/migrations");
}

/// Connections of those who write, and of whatever may take long.
const WRITERS_MAX: usize = 8;
/// Connections of those who read.
const READERS_MAX: usize = CONNECTIONS_MAX - WRITERS_MAX;
/// Nobody who reads waits longer for the table; a reader has one second in all.
const READ_WITHIN: Duration = Duration::from_millis(400);
/// A notification can be lost with its connection; then a waiting caller looks for itself after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// What the last look of somebody who has waited may take beyond their time.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// Whoever waits for long looks less and less often.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(2);

/// The board did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("the board refused a statement")]
    Statement(#[from] tokio_postgres::Error),
    /// No connection in time.
    #[error("no connection to the board")]
    Connection(#[from] PoolError),
    /// No answer in the time a reader has.
    #[error("the board is too slow")]
    Slow,
    /// The statement that asked for this booking and others failed.
    #[error(transparent)]
    Together(Arc<Self>),
    /// A row holds what we never write.
    #[error("the column {0} holds something unexpected")]
    Corrupt(&'static str),
}

/// The dashboard table and whoever waits for it to change. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    pool: Pool,
    /// For what is read within [`READ_WITHIN`]. Apart, so that writes that hang (somebody locks a row, say) are in nobody's way
    /// who reads.
    reads: Pool,
    lookups: Lookups,
    feed: Arc<Feed>,
    tail: Arc<Mutex<Tail>>,
    /// Sagas may not publish for now.
    frozen: Arc<AtomicBool>,
}

impl Board {
    /// Brings the schema up to date, and the feed into the order of this database's transactions.
    ///
    /// # Errors
    /// When the database stays away, or a migration fails.
    pub async fn migrate(url: &SecretString) -> anyhow::Result<()> {
        process::postgres::migrate(url, &embedded::migrations::runner()).await?;
        if rows::begin_feed_again(&pool(url)?).await.context("the feed")? {
            tracing::warn!(
                "the feed was written in another database: it goes on in this one, and its last changes are told again"
            );
        }
        Ok(())
    }

    /// Opens the board, and listens for what other replicas publish until told to stop.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn open(url: &SecretString, stop: CancellationToken) -> anyhow::Result<Self> {
        let feed = Arc::new(Feed::new());
        tokio::spawn(feed::listen(feed.clone(), url.clone(), stop));
        let (pool, reads) = (pool_of(url, WRITERS_MAX, STATEMENT_MAX)?, pool_of(url, READERS_MAX, READ_WITHIN)?);
        let lookups = Lookups::over(reads.clone());
        Ok(Self { pool, reads, lookups, feed, tail: Arc::default(), frozen: Arc::default() })
    }

    /// Makes the connections of those who read, where the database lets us in. The first readers would spend their short time on
    /// that, and a connection that is given up half made has to be made again.
    pub async fn connect_readers(&self) {
        drop(join_all((0..READERS_MAX).map(|_| self.reads.get())).await);
    }

    /// Forgets bookings that ended more than `HOLDFAST_BOARD_KEEP_DAYS` days ago, where that is set, until told to stop.
    ///
    /// # Errors
    /// [`process::settings::Error`] when it is no number from 1.
    pub fn start_forgetting(&self, stop: CancellationToken) -> Result<(), process::settings::Error> {
        if let Some(keep) = forget::keep()? {
            tokio::spawn(forget::sweep(self.pool.clone(), keep, stop));
        }
        Ok(())
    }

    /// From now on, what sagas publish in this process has to wait, or no longer. A saga that was restored from a backup does not
    /// know yet that it is behind.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
    }

    fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Writes what a run of a booking's saga has not seen acknowledged, and wakes whoever waits for it. Gives back the version the
    /// board has of one that has not ended, where that is another one than it was told.
    ///
    /// # Errors
    /// [`Error`]: it is not known whether they were written.
    pub async fn publish(&self, news: &Rows, run: Option<Uuid>) -> Result<Option<i32>, Error> {
        let instead = rows::publish(&self.pool, news, run).await?;
        let now = Utc::now();
        for row in &news.rows {
            BOARD_LAG.observe((now - row.at).to_std().unwrap_or_default().as_secs_f64());
        }
        if let Some(row) = news.rows.last() {
            self.feed.wake(row.booking);
        }
        Ok(instead)
    }

    /// Lists the bookings that have not ended, page by page.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn open_bookings(&self, page: &OpenAfter) -> Result<Claims, Error> {
        rows::open(&self.pool, page).await
    }

    /// The row of a booking.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn find(&self, booking: BookingId) -> Result<Option<Row>, Error> {
        within(self.lookups.find(booking)).await
    }

    /// The live booking of a single-unit item.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn holder(&self, system: &str, item: i64) -> Result<Option<Row>, Error> {
        // The newest: of one that has just been released, the last row may still be on its way.
        Ok(self.holders(system, &[item]).await?.pop())
    }

    /// How many live bookings other than this one hold a unit of an item, counted up to `most`.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn held_by_others(
        &self,
        system: &str,
        item: i64,
        booking: BookingId,
        most: usize,
    ) -> Result<usize, Error> {
        within(rows::held_by_others(&self.reads, system, item, booking, most)).await
    }

    /// The live bookings of some items, oldest first; those that hold nothing yet are left out.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn holders(&self, system: &str, items: &[i64]) -> Result<Vec<Row>, Error> {
        within(rows::holders(&self.reads, system, items)).await
    }

    /// How many units of some items are held by live bookings, by item; those of which none is are left out.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn held(&self, system: &str, items: &[i64]) -> Result<HashMap<i64, i64>, Error> {
        within(rows::held(&self.reads, system, items)).await
    }

    /// Bookings of some items, of one customer or of all, live or ended: so many of each, live ones before ended ones; newest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn recent(
        &self,
        system: &str,
        items: &[i64],
        customer: Option<&str>,
        of_each: i64,
    ) -> Result<Vec<Row>, Error> {
        within(rows::recent(&self.reads, system, items, customer, of_each)).await
    }

    /// Of each of some items a live booking that holds it during a time, where there is one; of an item without a time, one
    /// that holds it at any time. Other than a booking that is left out.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn holders_during(
        &self,
        system: &str,
        items: &[(i64, Option<Period>)],
        beside: Option<BookingId>,
    ) -> Result<Vec<Row>, Error> {
        within(rows::holders_during(&self.reads, system, items, beside)).await
    }

    /// A page of bookings, newest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn page(&self, filter: &Filter) -> Result<Page, Error> {
        within(rows::page(&self.reads, filter)).await
    }

    /// A page of what waits for somebody, the most urgent first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn waiting(&self, wanted: &Waiting) -> Result<Inbox, Error> {
        within(rows::waiting(&self.reads, wanted)).await
    }

    /// Counts the live bookings of some systems by stage. Each system comes with the stage from which on its customer has paid.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn levels(
        &self,
        systems: &[(&str, Option<&str>)],
        due_before: DateTime<Utc>,
    ) -> Result<Vec<Level>, Error> {
        within(rows::levels(&self.reads, systems, due_before)).await
    }

    /// How many bookings a filter chooses.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn count(&self, filter: &Filter) -> Result<i64, Error> {
        within(rows::count_of(&self.reads, filter)).await
    }

    /// The rows of some bookings, in no order; those without a row are left out.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn all_of(&self, bookings: &[BookingId]) -> Result<Vec<Row>, Error> {
        let bookings: Vec<Uuid> = bookings.iter().map(|booking| booking.0).collect();
        rows::all_of(&self.pool, &bookings).await
    }

    /// What operators have done, newest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn interventions(&self, wanted: &Interventions) -> Result<Vec<Intervention>, Error> {
        within(rows::interventions(&self.reads, wanted)).await
    }

    /// Every version of a booking, oldest first.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn timeline(&self, booking: BookingId) -> Result<Vec<Change>, Error> {
        within(rows::timeline(&self.reads, booking)).await
    }

    /// What changed after a place in the feed, oldest first, up to 100 changes.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn changes(&self, after: FeedPlace) -> Result<Vec<Change>, Error> {
        within(rows::changes(&self.reads, after, None, None)).await
    }

    /// Follows what changes after a place in the feed.
    #[must_use]
    pub fn follow(&self, after: FeedPlace, whose: Whose) -> Follower {
        Follower::new(self.clone(), after, whose)
    }

    /// The place in the feed that everything new comes after.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn newest_place(&self) -> Result<FeedPlace, Error> {
        let asked = Instant::now();
        within(async { self.tail.lock().await.newest(&self.reads, asked).await }).await
    }

    /// How many bookings of a customer have not ended.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn open_of(&self, customer: &Subject) -> Result<i64, Error> {
        within(forget::open_of(&self.reads, customer)).await
    }

    /// Bookings of a customer that have ended, the oldest first: their systems and ids.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn ended_of(&self, customer: &Subject, limit: i64) -> Result<Vec<(String, BookingId)>, Error> {
        within(forget::ended_of(&self.reads, customer, limit)).await
    }

    /// Forgets whose some bookings were, with all that they say of them, and puts nobody in their place. Gives back how many
    /// there were.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn forget_owner(&self, bookings: &[BookingId], nobody: &str) -> Result<u64, Error> {
        forget::owner(&self.pool, bookings, nobody).await
    }

    /// Who is told of changes by a signed call.
    #[must_use]
    pub const fn receivers(&self) -> Receivers<'_> {
        Receivers(&self.pool)
    }

    /// Waits until a booking's row is as wished, or the time is up. Gives back the row as it was then.
    ///
    /// # Errors
    /// [`Error`] when the board did not answer even once in all that time.
    pub async fn wait(
        &self,
        booking: BookingId,
        until: Instant,
        wished: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Error> {
        let watch = self.feed.watch(booking);
        let mut known = Err(Error::Slow);
        let (mut first, mut pause) = (true, LOOK_AGAIN);
        loop {
            // Registered before it reads: a change between the two is not missed.
            let changed = watch.changed();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            // The first look has a limit of its own, so that there is one. Those after it end with the time.
            let look = self.find(booking);
            let seen =
                if first { look.await } else { timeout_at(until + LAST_LOOK, look).await.unwrap_or(Err(Error::Slow)) };
            first = false;
            match seen {
                Err(error) if known.is_err() => known = Err(error),
                Err(_) => {}
                row => known = row,
            }
            let there = matches!(&known, Ok(Some(row)) if wished(row));
            if there || Instant::now() >= until {
                return known;
            }
            // Woken, or late: either way, look.
            let _woken = timeout_at(until.min(Instant::now() + pause), changed).await;
            pause = (2 * pause).min(LOOK_AGAIN_MAX);
        }
    }
}

async fn within<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(READ_WITHIN, read).await.unwrap_or(Err(Error::Slow))
}
