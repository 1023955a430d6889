//! Tail: the newest changes of the feed, read once for all who follow it in this process. A thousand listeners cost Postgres what
//! one does. Whoever is further behind than what is kept reads the table until they have caught up.

use super::{
    Board, Error,
    rows::{self, CHANGES_MAX, Change, FeedPlace},
    within,
};
use deadpool_postgres::Pool;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// So many changes are kept.
const KEPT_MAX: usize = 2_000;
/// A change can be seen when every transaction that began before its own has ended, and that wakes nobody: then it is found after
/// this time.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Nobody has followed for so long: what happened meanwhile is not caught up with.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Everything that happened between two places.
#[derive(Default)]
pub(super) struct Tail {
    changes: VecDeque<Arc<Change>>,
    from: FeedPlace,
    to: FeedPlace,
    /// When the table was read last, up to `to`.
    read_at: Option<Instant>,
}

/// Whose changes somebody follows.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this system.
    pub system: Option<String>,
}

/// Somebody follows the feed.
pub struct Follower {
    board: Board,
    whose: Whose,
    place: FeedPlace,
    woken: watch::Receiver<Instant>,
}

impl Follower {
    pub(super) fn new(board: Board, after: FeedPlace, whose: Whose) -> Self {
        let woken = board.feed.anything();
        Self { board, whose, place: after, woken }
    }

    /// The next changes, oldest first, up to 100; none when nothing has happened until then. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Error`] when the board does not answer.
    pub async fn next(&mut self, until: Instant) -> Result<Vec<Arc<Change>>, Error> {
        loop {
            // Seen before it reads: a change after that wakes it again.
            let woken_at = *self.woken.borrow_and_update();
            let changes = within(self.look(woken_at)).await?;
            let now = Instant::now();
            if !changes.is_empty() || now >= until {
                return Ok(changes);
            }
            let _woken = timeout_at(until.min(now + LOOK_AGAIN), self.woken.changed()).await;
        }
    }

    async fn look(&mut self, woken_at: Instant) -> Result<Vec<Arc<Change>>, Error> {
        let pool = &self.board.reads;
        let mut tail = self.board.tail.lock().await;
        tail.catch_up(pool, woken_at.max(Instant::now() - LOOK_AGAIN)).await?;
        if let Some((changes, place)) = tail.since(self.place, &self.whose) {
            self.place = place;
            return Ok(changes);
        }
        let to = tail.to;
        drop(tail);
        let Whose { customer, system } = &self.whose;
        let changes = rows::changes(pool, self.place, customer.as_deref(), system.as_deref()).await?;
        let seen = changes.last().map_or(self.place, |change| change.place);
        // All there was up to `to` could be seen before this statement began.
        self.place = if changes.len() < CHANGES_MAX { seen.max(to) } else { seen };
        Ok(changes.into_iter().map(Arc::new).collect())
    }
}

impl Tail {
    /// The place that everything comes after which is written from now on.
    pub(super) async fn newest(&mut self, pool: &Pool, now: Instant) -> Result<FeedPlace, Error> {
        self.catch_up(pool, now).await?;
        Ok(self.to)
    }

    /// Reads what is new, unless that has been done since `fresh`. What was read stays when this is dropped half-way.
    async fn catch_up(&mut self, pool: &Pool, fresh: Instant) -> Result<(), Error> {
        if self.read_at.is_some_and(|read_at| read_at >= fresh) {
            return Ok(());
        }
        let begun = Instant::now();
        let newest = rows::newest_place(pool).await?;
        let idle = self.read_at.is_none_or(|read_at| read_at + IDLE_MAX < begun);
        // A newest place before ours is that of another database, restored in the place of the one we knew.
        if idle || newest < self.to {
            *self = Self { from: newest, to: newest, ..Self::default() };
        }
        loop {
            let page = rows::changes(pool, self.to, None, None).await?;
            let is_last = page.len() < CHANGES_MAX;
            self.append(page);
            if is_last {
                break;
            }
        }
        self.to = self.to.max(newest);
        self.read_at = Some(begun);
        Ok(())
    }

    fn append(&mut self, page: Vec<Change>) {
        for change in page {
            self.to = change.place;
            self.changes.push_back(Arc::new(change));
        }
        while self.changes.len() > KEPT_MAX {
            self.from = self.changes.pop_front().map_or(self.from, |oldest| oldest.place);
        }
    }

    /// Somebody's changes after a place, and the place up to which these are all; `None` where not everything after it is kept.
    fn since(&self, place: FeedPlace, whose: &Whose) -> Option<(Vec<Arc<Change>>, FeedPlace)> {
        if place < self.from || place > self.to {
            return None;
        }
        let first = self.changes.partition_point(|change| change.place <= place);
        let theirs = self.changes.range(first..).filter(|change| whose.sees(change));
        let changes: Vec<_> = theirs.take(CHANGES_MAX).cloned().collect();
        let cut = changes.last().filter(|_| changes.len() == CHANGES_MAX).map(|change| change.place);
        Some((changes, cut.unwrap_or(self.to)))
    }
}

impl Whose {
    fn sees(&self, change: &Change) -> bool {
        self.customer.as_ref().is_none_or(|customer| *customer == change.customer)
            && self.system.as_ref().is_none_or(|system| *system == change.system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use workflows::booking::BookingId;

    /// As many changes as there are places, one transaction after the other, of two customers in turn.
    fn tail(changes: std::ops::Range<i64>) -> Tail {
        let page = changes.clone().map(|tx| Change {
            place: FeedPlace { tx, seq: 7 },
            booking: BookingId(uuid::Uuid::nil()),
            version: 1,
            system: "ebook".into(),
            stage: "held".into(),
            ending: None,
            reason: None,
            waiting_for: None,
            customer: ["even", "odd"][usize::from(tx % 2 == 1)].into(),
            at: DateTime::UNIX_EPOCH,
        });
        let before = FeedPlace { tx: changes.start - 1, seq: i64::MAX };
        let mut tail = Tail { from: before, to: before, ..Tail::default() };
        tail.append(page.collect());
        tail
    }

    fn told(tail: &Tail, after: i64, whose: &Whose) -> Option<(Vec<i64>, i64)> {
        let (changes, place) = tail.since(FeedPlace { tx: after, seq: 7 }, whose)?;
        Some((changes.iter().map(|change| change.place.tx).collect(), place.tx))
    }

    #[test]
    fn what_is_not_kept_is_not_told_from_here() {
        let tail = tail(10..20);
        assert_eq!(told(&tail, 8, &Whose::default()), None);
        assert_eq!(told(&tail, 20, &Whose::default()), None);
        assert_eq!(told(&tail, 16, &Whose::default()), Some((vec![17, 18, 19], 19)));
        assert_eq!(told(&tail, 19, &Whose::default()), Some((vec![], 19)));
    }

    #[test]
    fn a_follower_hears_what_is_theirs_and_moves_on_past_the_rest() {
        let odd = Whose { customer: Some("odd".into()), system: Some("ebook".into()) };
        assert_eq!(told(&tail(10..15), 9, &odd), None, "9-7 is before everything that is kept");
        assert_eq!(told(&tail(10..15), 10, &odd), Some((vec![11, 13], 14)));
        let salon = Whose { system: Some("salon".into()), ..odd };
        assert_eq!(told(&tail(10..15), 10, &salon), Some((vec![], 14)));
    }

    #[test]
    fn a_full_page_goes_on_where_it_was_cut() {
        let tail = tail(10..500);
        let (changes, place) = told(&tail, 10, &Whose::default()).unwrap();
        assert_eq!((changes.len(), changes[0], place), (CHANGES_MAX, 11, 110));
        assert_eq!(told(&tail, place, &Whose::default()).unwrap().0[0], 111);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let tail = tail(10..5_000);
        assert_eq!(tail.changes.len(), KEPT_MAX);
        assert_eq!(told(&tail, 2_998, &Whose::default()), None);
        assert_eq!(told(&tail, 2_999, &Whose::default()).unwrap().0[0], 3_000);
    }
}
