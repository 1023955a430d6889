//! Two gateways: whichever answers, nobody reads something older than what they have been told; and when one is killed, whoever
//! asks again under their key loses nothing and doubles nothing.

use super::own_stack::OwnStack;
use crate::world::{Person, Reply, World};
use dev::{addresses::Addresses, stack::Part};
use futures::{StreamExt, stream};
use orchestrator::gateway::auth::Role;
use reqwest::Method;
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

const STORIES: usize = 24;
const AT_ONCE: usize = 6;
const REQUESTS: usize = 80;

fn version(reply: &Reply) -> i64 {
    let tag = reply.headers.get("etag").unwrap_or_else(|| panic!("no version in {reply:?}")).to_str().unwrap();
    tag.trim_matches('"').parse().unwrap()
}

/// Reads at a gateway are never older than what the other one has answered.
async fn reads(there: &World, who: &Person, id: &str, known: i64) {
    for path in [format!("/ebook/rents/{id}"), format!("/ebook/rents/{id}?version={known}"), format!("/bookings/{id}")]
    {
        let read = there.get(who, &path).await.assert_status(200);
        assert!(version(&read) >= known, "{path}: {} after {known}", version(&read));
        assert_eq!(read.body["version"], version(&read));
    }
}

#[tokio::test]
async fn nobody_reads_something_older_than_they_were_told() {
    let mut own = OwnStack::of(Part::TOGETHER).await;
    let first = World::at(&own.stack.addresses);
    let second = World::at(&own.stack.run_replica(Part::Orchestrator).await.unwrap());
    let worlds = [&first, &second];
    let stories = stream::iter(0..STORIES).map(async |number| {
        let (here, there) = (worlds[number % 2], worlds[(number + 1) % 2]);
        let (member, librarian) = (&first.member, &first.librarian);
        let book = first.book().await;
        let asked = here.request(Method::POST, "/ebook/rents").bearer_auth(&member.token).header("prefer", "wait=20");
        let asked = here.send(asked.json(&json!({ "bookId": book }))).await.assert_status(201);
        let id = asked.id();
        reads(there, member, &id, version(&asked)).await;
        let approved = there.patch(librarian, &format!("/ebook/books/approve/{book}")).await.assert_status(200);
        reads(here, member, &id, version(&approved)).await;
        let returned = here.patch(member, &format!("/ebook/rents/return/{id}")).await;
        assert!([200, 202].contains(&returned.status.as_u16()), "{returned:?}");
        reads(there, member, &id, version(&returned)).await;
        // What has not happened yet is waited for.
        let ended = there.get(member, &format!("/ebook/rents/{id}?version={}", version(&approved) + 1)).await;
        assert_eq!(ended.assert_status(200).body["status"], "RETURNED");
    });
    assert_eq!(stories.buffer_unordered(AT_ONCE).count().await, STORIES);
}

/// Connections go to one gateway after the other; to the next where one does not answer.
async fn balance(listener: TcpListener, gateways: [u16; 2]) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((mut stream, _)) = listener.accept().await {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            for next in 0..gateways.len() {
                let port = gateways[(turn + next) % gateways.len()];
                if let Ok(mut gateway) = TcpStream::connect(("127.0.0.1", port)).await {
                    // What breaks off is the client's to ask again.
                    let _broken = copy_bidirectional(&mut stream, &mut gateway).await;
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_under_load_loses_nothing_and_doubles_nothing() {
    let mut own = OwnStack::prompt(Part::TOGETHER).await;
    let replica = own.stack.run_replica(Part::Orchestrator).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap().port();
    tokio::spawn(balance(listener, [own.stack.addresses.http, replica.http]));
    let addresses: Addresses = replica.clone();
    let world = &World::at(&Addresses { http: front, ..addresses });
    let books = world.item_of(REQUESTS).await;
    let answered = &Notify::new();

    let asked = stream::iter(0..REQUESTS).map(async |number| {
        let member = world.person(&[Role::Member]);
        let key = format!("key-{number}");
        let ask = || {
            let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&member.token);
            request.header("idempotency-key", &key).json(&json!({ "bookId": books }))
        };
        // Whoever is cut off, or told to come back, asks again.
        let reply = world.answered(ask, |reply| [201, 202].contains(&reply.status.as_u16())).await;
        answered.notify_one();
        reply.id()
    });
    let asked = asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let killed = async {
        for _ in 0..REQUESTS / 4 {
            answered.notified().await;
        }
        own.stack.kill(Part::Orchestrator);
    };
    let (ids, ()) = futures::join!(asked, killed);

    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), REQUESTS);
    for id in &ids {
        world.at_stage(id, "paid").await;
        assert_eq!(world.provider(id).await.len(), 1, "{id} was charged more than once");
        world.assert_agrees(id).await;
    }
    let all = world.get(&world.librarian, "/bookings?limit=100").await.body;
    assert_eq!(all["bookings"].as_array().unwrap().len(), REQUESTS, "bookings that nobody asked for");
}
