//! Capacity: one item with many units, and many people who want it at the same moment.

use super::own_stack::OwnStack;
use crate::world::{Reply, World};
use futures::future::join_all;
use orchestrator::gateway::auth::Role;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::time::Instant;

const UNITS: usize = 50;
const CLIENTS: usize = 200;

/// P3: exactly as many as there are, nobody is told that it is sold out while it is not, and a unit that comes back is sold.
#[tokio::test]
async fn of_two_hundred_who_want_one_of_fifty_exactly_fifty_get_one() {
    let own = OwnStack::start().await;
    let world = World::at(&own.stack.addresses);
    let item = world.item_of(UNITS).await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| world.person(&[Role::Member])).collect();

    let began = Instant::now();
    let replies = join_all(clients.iter().map(|client| {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&client.token);
        world.send(request.header("prefer", "wait=30").json(&json!({ "bookId": item })))
    }));
    let replies = replies.await;
    let took = began.elapsed();

    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for reply in &replies {
        *codes.entry(reply.status.as_u16()).or_default() += 1;
    }
    println!("{CLIENTS} clients on {UNITS} units: {codes:?} in {:.1} s", took.as_secs_f32());
    assert_eq!(codes, BTreeMap::from([(201, UNITS), (409, CLIENTS - UNITS)]));
    let held: Vec<_> = replies.iter().filter(|reply| reply.status == 201).map(Reply::id).collect();
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.assert_problem(409, "book_already_rented");
    }
    for id in &held {
        world.assert_agrees(id).await;
    }

    // One gives theirs back; of two who want it then, one gets it.
    let owner = clients.iter().zip(&replies).find(|(_, reply)| reply.status == 201).unwrap();
    let path = format!("/ebook/rents/cancel/{}", owner.1.id());
    world.patch(owner.0, &path).await.assert_status(200);
    let again = join_all([0, 1].map(|_| {
        let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
        world.send(request.header("prefer", "wait=30").json(&json!({ "bookId": item })))
    }));
    let mut statuses: Vec<_> = again.await.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}
