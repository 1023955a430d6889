//! Every system while each worker is stopped, and afterwards: the end is that of an undisturbed run.

use super::own_stack::OwnStack;
use crate::{
    play::{self, Until},
    world::World,
};
use dev::stack::Part;
use futures::{StreamExt, future::join_all, stream};
use orchestrator::host::{self, Kind};
use serde_json::{Value, json};
use workflows::saga::Limits;

/// How a booking ended, without its times.
async fn end(world: &World, id: &str) -> (Value, Value) {
    let booking = world.ended(id).await;
    (booking["stage"].clone(), booking["ending"].clone())
}

/// Has a story a step that this worker answers? Nobody waits for a message.
fn asks(kind: &Kind, worker: Part) -> bool {
    let undoable = (kind.undoable)();
    let steps =
        undoable.iter().map(|(step, _)| *step).chain(kind.asked.iter().copied()).chain(kind.forward.iter().copied());
    steps.into_iter().any(|step| step.split('.').next() == Some(worker.name()))
}

async fn begin(world: &World, kind: &Kind) -> String {
    world.begin_of(kind.system, play::opening(world, kind, 3_000, Limits::default()).await).await
}

/// RS-N2, CN-N2, MT-N2, HS-N2, TK-N1, INV-6: a worker is away when bookings begin, and comes back; each is played on where it
/// can be, on both roads, ends as if nothing had been, and its messages are told once.
#[tokio::test]
async fn whichever_worker_is_away_every_booking_ends_as_it_should() {
    let mut own = OwnStack::start().await;
    let world = World::at(&own.stack.addresses);

    for away in [Part::Payment, Part::Notification, Part::Fulfilment, Part::Catalog] {
        let mut played = Vec::new();
        for kind in host::SAGAS {
            // Their items, while the catalog is there.
            for near in [false, true] {
                played.push((kind, play::opening(&world, kind, 3_000, Limits { near, ..Limits::default() }).await));
            }
        }
        own.stack.kill(away);
        let mut ids = Vec::new();
        for (kind, opening) in played {
            ids.push((kind, world.begin_of(kind.system, opening).await));
        }
        for (_, id) in &ids {
            // Accepted, and readable, whoever is away.
            world.until(id, "on the board", |booking| booking["version"].as_i64() >= Some(1)).await;
        }
        // Who asks nothing of it goes all the way without it.
        let alone = ids.iter().filter(|(kind, _)| !asks(kind, away));
        let ended = join_all(alone.map(|(kind, id)| async {
            play::play(&world, kind, id, Until::Completed).await;
            end(&world, id).await.1
        }))
        .await;
        assert!(ended.iter().all(|ending| ending == "completed"), "without the {away:?} worker: {ended:?}");
        own.stack.run(away).await.unwrap();

        let others = ids.iter().filter(|(kind, _)| asks(kind, away));
        join_all(others.map(|(kind, id)| play::play(&world, kind, id, Until::Completed))).await;
        for (kind, id) in &ids {
            let last = kind.turns.concat().last().map(|turn| turn.stage);
            assert_eq!(
                end(&world, id).await.1,
                "completed",
                "{} without the {away:?} worker, after {last:?}",
                kind.system
            );
            world.assert_promises(id).await;
        }
    }
}

/// MT-N6, TK-N1: without the fulfilment worker every system but the one that gives vouchers goes on to its end, and what it
/// would have given is given when it is there.
#[tokio::test]
async fn the_fulfilment_worker_can_be_left_out() {
    let without: Vec<Part> = Part::APART.iter().copied().filter(|part| *part != Part::Fulfilment).collect();
    let mut own = OwnStack::of(&without).await;
    let world = World::at(&own.stack.addresses);
    let others = host::SAGAS.iter().filter(|kind| kind.system != "resort");

    let mut parcel = String::new();
    for kind in others {
        let id = begin(&world, kind).await;
        play::play(&world, kind, &id, Until::Completed).await;
        assert_eq!(end(&world, &id).await.1, "completed");
        if kind.system == "parcel" {
            parcel = id;
        }
    }
    // Its customers hear that points cannot be shown now; nothing else is different.
    world.get(&world.member, "/parcel/points").await.assert_problem(503, "unavailable");
    world.get(&world.member, &format!("/parcel/deliveries/{parcel}")).await.assert_status(200);

    own.stack.run(Part::Fulfilment).await.unwrap();

    let points = async || world.get(&world.member, "/parcel/points").await.body["points"][0]["point"].clone();
    world.eventually("credited", points, |points| *points == json!(100)).await;
}

/// MT-N5, HS-F2: a thousand bookings of all systems at once, and everything that is said reaches its own.
#[tokio::test]
async fn a_thousand_interleaved_bookings_of_all_systems_hear_their_own_messages() {
    const BOOKINGS: usize = 1_000;
    const AT_ONCE: usize = 48;
    let own = OwnStack::of(Part::TOGETHER).await;
    let world = World::at(&own.stack.addresses);
    let role = |number: usize| if number.is_multiple_of(3) { Until::Cancelled } else { Until::Completed };

    let played = stream::iter(0..BOOKINGS).map(|number| {
        let world = &world;
        async move {
            let kind = &host::SAGAS[number % host::SAGAS.len()];
            let price = 1_000 + i64::try_from(number).unwrap();
            let limits = Limits { near: number.is_multiple_of(2), ..Limits::default() };
            let opening = play::opening(world, kind, price, limits).await;
            let id = world.begin_of(kind.system, opening).await;
            play::play(world, kind, &id, role(number)).await;
            let booking = world.ended(&id).await;
            let expected = if role(number) == Until::Completed { "completed" } else { "undone" };
            assert_eq!(booking["ending"], expected, "{number}: {booking:#}");
            if kind.system != "salon" {
                assert_eq!(booking["price"]["amount_minor"], price, "{number}: {booking:#}");
            }
            assert_eq!(booking["system"], kind.system);
            id
        }
    });
    let ids: Vec<String> = played.buffer_unordered(AT_ONCE).collect().await;

    for id in ids {
        world.assert_agrees(&id).await;
    }
}
