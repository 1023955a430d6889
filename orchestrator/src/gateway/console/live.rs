//! Live: tells a page that something has happened that it may show. What, it asks for itself.

use super::{
    super::{
        Gateway,
        bookings::events,
        problem::Problem,
        systems::{SYSTEMS, sees_all_of},
    },
    Visit,
};
use crate::board::{Follower, Whose};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use warp::{reply::Response, sse::Event};

/// A page hears from us at least as often: else it says that it is not live.
const BEAT: Duration = Duration::from_secs(5);
/// The browser comes back after this time by itself.
const LASTS: Duration = Duration::from_mins(5);
/// However much happens, a page is told no more often.
const PAUSE: Duration = Duration::from_millis(250);

struct Following {
    gateway: Arc<Gateway>,
    follower: Follower,
    ends: Instant,
}

pub(super) async fn follow(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let all = SYSTEMS.iter().any(|system| sees_all_of(caller, system.name));
    // Everything, or what happens to one customer.
    let customer = (!all).then(|| caller.subject.to_string());
    let place = gateway.board.newest_place().await?;
    let follower = gateway.board.follow(place, Whose { customer, system: None });
    let following = Following { gateway: gateway.clone(), follower, ends: Instant::now() + LASTS };
    let (send, receive) = mpsc::channel(1);
    let kept = visit.place.clone();
    tokio::spawn(async move {
        following.tell(send).await;
        drop(kept);
    });
    Ok(events(receive))
}

impl Following {
    async fn tell(mut self, send: mpsc::Sender<Event>) {
        let mut event = Some(Event::default().event("beat").data("hello"));
        while let Some(told) = event {
            // A page that is gone, or does not listen, is told no more.
            if timeout_at(self.ends, send.send(told)).await.is_err() || send.is_closed() {
                return;
            }
            event = self.next().await;
        }
    }

    /// Something has happened, or nothing has for a while; `None`: it is over.
    async fn next(&mut self) -> Option<Event> {
        if Instant::now() >= self.ends {
            return None;
        }
        let news = self.follower.next(Instant::now() + BEAT);
        // A board that is away tells nothing: the page sees that we are gone.
        let changes = self.gateway.stop.run_until_cancelled(news).await?.ok()?;
        if changes.is_empty() {
            return Some(Event::default().event("beat").data("still here"));
        }
        tokio::time::sleep(PAUSE).await;
        Some(Event::default().event("change").data("something"))
    }
}
