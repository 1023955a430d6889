//! The feed: how long after a rental was answered the last of a thousand listeners has seen it.

use crate::candidate::{Begun, Candidate, Field};
use anyhow::{bail, ensure};
use dev::bench::{
    cpu_ms_each,
    load::open,
    quantile,
    report::{Better, Section},
};
use reqwest::Method;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

pub const COMMAND: &str = "make bench ONLY=feed";
const LISTENERS: usize = 1000;
/// More at a time would be refused: a gateway has a limit for what it has not answered yet.
const CONNECTING_MAX: usize = 100;
const RENTALS: usize = 20;
const ARRIVALS: f64 = 2.0;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// By booking: how many have seen that it is held, and when the last of them did.
type Seen = Arc<Mutex<HashMap<String, (usize, Option<Instant>)>>>;

pub fn section() -> Section {
    Section::new(
        "A thousand listeners",
        "`GET /bookings/feed` as server-sent events to a thousand connections, while two books a second are rented. The listeners run \
         in the process that measures, on the same cores.",
        COMMAND,
    )
}

pub async fn measure(field: &Field, section: &mut Section) -> anyhow::Result<()> {
    field.prepare(Candidate::Holdfast).await?;
    field.calm().await?;
    let seen = Seen::default();
    let mut listeners = JoinSet::new();
    let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
    let connected = Arc::new(Semaphore::new(0));
    for _ in 0..LISTENERS {
        let request = field.request(Method::GET, "/bookings/feed?cursor=now", &field.librarian);
        // A stream has no end: only the connection has a limit.
        let request = request.timeout(Duration::from_hours(1));
        listeners.spawn(listen(request, seen.clone(), connecting.clone(), connected.clone()));
    }
    let all = connected.acquire_many(u32::try_from(LISTENERS)?);
    tokio::select! {
        all = tokio::time::timeout(SEEN_WITHIN, all) => drop(all??),
        Some(ended) = listeners.join_next() => bail!("a listener ended: {ended:?}"),
    }
    let books = field.books(Candidate::Holdfast, RENTALS).await?;
    let before = field.used(Candidate::Holdfast);
    let begun = open(ARRIVALS, books, async |book| {
        let begun = field.begin(Candidate::Holdfast, book).await?;
        anyhow::Ok((begun, Instant::now()))
    });
    let begun = begun.await.into_iter().map(|(_, begun)| begun).collect::<anyhow::Result<Vec<(Begun, Instant)>>>()?;
    let mut late = Vec::new();
    for (begun, answered) in &begun {
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let (count, last) = seen.lock().expect("nobody panics with it").get(&begun.id).copied().unwrap_or_default();
            if count >= LISTENERS {
                late.push(last.map_or(0.0, |last| last.saturating_duration_since(*answered).as_secs_f64() * 1000.0));
                break;
            }
            ensure!(Instant::now() < until, "{count} of {LISTENERS} have seen {}", begun.id);
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
    }
    let cpu = cpu_ms_each(&before, &field.used(Candidate::Holdfast), RENTALS);
    listeners.shutdown().await;
    for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
        section.add(
            "Holdfast",
            &format!("from the answer to the last listener, {label}"),
            "ms",
            Better::Less,
            quantile(&late, share),
        );
    }
    section.add("Holdfast", "processor time of the program for each rental", "ms", Better::Less, cpu["program"]);
    for (begun, _) in begun {
        field.finish(Candidate::Holdfast, &begun).await?;
    }
    Ok(())
}

async fn listen(
    request: reqwest::RequestBuilder,
    seen: Seen,
    connecting: Arc<Semaphore>,
    connected: Arc<Semaphore>,
) -> anyhow::Result<()> {
    let place = connecting.acquire().await?;
    let mut response = request.send().await?.error_for_status()?;
    drop(place);
    connected.add_permits(1);
    let mut text = String::new();
    while let Some(part) = response.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&part));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
            if let Ok(change) = serde_json::from_str::<serde_json::Value>(data)
                && change["stage"] == "held"
                && let Some(id) = ["booking", "id"].iter().find_map(|name| change[*name].as_str())
            {
                let mut seen = seen.lock().expect("nobody panics with it");
                let (count, last) = seen.entry(id.to_owned()).or_default();
                (*count, *last) = (*count + 1, Some(Instant::now()));
            }
            text = rest.to_owned();
        }
    }
    Ok(())
}
