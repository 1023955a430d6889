//! Lookups: single bookings, many of them in one statement. Whoever asks while statements are under way goes along with the next
//! one, so a crowd of readers costs Postgres little more than a few. What is read is never older than its question.

use super::{Error, rows, within};
use deadpool_postgres::Pool;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;
use workflows::booking::{BookingId, Row};

/// So many statements at a time. One that hangs is no reason for all to wait.
const STATEMENTS_MAX: usize = 4;
/// So many bookings in one.
const TOGETHER_MAX: usize = 100;
/// So many questions wait for a statement; who comes after them waits for a place.
const WAITING_MAX: usize = 1_000;

type Found = HashMap<Uuid, tokio_postgres::Row>;
/// A booking, and who wants to know.
type Question = (BookingId, oneshot::Sender<Result<Arc<Found>, Arc<Error>>>);

/// Where single bookings are asked for.
#[derive(Clone)]
pub(super) struct Lookups(mpsc::Sender<Question>);

impl Lookups {
    /// Begins to answer; ends with the last of those who may ask.
    pub(super) fn over(pool: Pool) -> Self {
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        tokio::spawn(answer_all(pool, asked));
        Self(ask)
    }

    pub(super) async fn find(&self, booking: BookingId) -> Result<Option<Row>, Error> {
        let (tell, told) = oneshot::channel();
        self.0.send((booking, tell)).await.map_err(|_| Error::Slow)?;
        let found = told.await.map_err(|_| Error::Slow)?.map_err(Error::Together)?;
        found.get(&booking.0).map(rows::read).transpose()
    }
}

async fn answer_all(pool: Pool, mut asked: mpsc::Receiver<Question>) {
    let statements = Arc::new(Semaphore::new(STATEMENTS_MAX));
    // A statement first, then the questions: whoever asks while none is free goes along.
    while let Ok(statement) = statements.clone().acquire_owned().await {
        let mut questions = Vec::new();
        if asked.recv_many(&mut questions, TOGETHER_MAX).await == 0 {
            return;
        }
        let pool = pool.clone();
        tokio::spawn(async move {
            let (bookings, tell): (Vec<_>, Vec<_>) =
                questions.into_iter().map(|(booking, tell)| (booking.0, tell)).unzip();
            let found = within(rows::found(&pool, &bookings)).await.map(Arc::new).map_err(Arc::new);
            for tell in tell {
                // Who does not wait any more needs no answer.
                drop(tell.send(found.clone()));
            }
            drop(statement);
        });
    }
}
