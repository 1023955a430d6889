//! Feed: wakes whoever waits for a booking, or for anything. In this process at once; from other replicas by `LISTEN`.

use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::Instant,
};
use tokio_postgres::{AsyncMessage, NoTls};
use tokio_util::sync::CancellationToken;
use workflows::booking::BookingId;

/// The channel on which [`super::rows::publish`] announces a booking.
pub(super) const CHANNEL: &str = "holdfast_board";
const RECONNECT: Duration = Duration::from_secs(1);

/// Who waits for what.
pub(super) struct Feed {
    watched: Mutex<HashMap<BookingId, Weak<Notify>>>,
    /// When something was announced last.
    anything: watch::Sender<Instant>,
}

/// Somebody waits for a booking for as long as this lives.
pub(super) struct Watch<'feed> {
    feed: &'feed Feed,
    booking: BookingId,
    notify: Arc<Notify>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { watched: Mutex::default(), anything: watch::Sender::new(Instant::now()) }
    }

    pub(super) fn watch(&self, booking: BookingId) -> Watch<'_> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let known = watched.get(&booking).and_then(Weak::upgrade);
        let notify = known.unwrap_or_else(|| {
            let notify = Arc::new(Notify::new());
            watched.insert(booking, Arc::downgrade(&notify));
            notify
        });
        Watch { feed: self, booking, notify }
    }

    pub(super) fn wake(&self, booking: BookingId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = watched.get(&booking).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
        self.anything.send_replace(Instant::now());
    }

    pub(super) fn anything(&self) -> watch::Receiver<Instant> {
        self.anything.subscribe()
    }

    fn wake_all(&self) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in watched.values().filter_map(Weak::upgrade) {
            notify.notify_waiters();
        }
        self.anything.send_replace(Instant::now());
    }
}

impl Watch<'_> {
    pub(super) fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watched = self.feed.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.notify) == 1 {
            watched.remove(&self.booking);
        }
    }
}

/// Listens for what other replicas publish, reconnecting when the connection is lost.
pub(super) async fn listen(feed: Arc<Feed>, url: SecretString, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let listening = stop.run_until_cancelled(listen_once(&feed, &url)).await;
        if let Some(Err(error)) = listening {
            tracing::warn!(error = process::logs::chain(&error), "the board's feed is interrupted; looking instead");
            let _stopped = stop.run_until_cancelled(tokio::time::sleep(RECONNECT)).await;
        }
    }
}

async fn listen_once(feed: &Feed, url: &SecretString) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = tokio_postgres::connect(url.expose_secret(), NoTls).await?;
    let subscribe = format!("listen {CHANNEL}");
    let mut subscribed = std::pin::pin!(client.batch_execute(&subscribe));
    let mut waiting = true;
    loop {
        tokio::select! {
            outcome = &mut subscribed, if waiting => {
                outcome?;
                waiting = false;
                // Whatever was announced before has been missed.
                feed.wake_all();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message.transpose()? {
                Some(AsyncMessage::Notification(notification)) => {
                    if let Ok(booking) = notification.payload().parse() {
                        feed.wake(booking);
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }
}
