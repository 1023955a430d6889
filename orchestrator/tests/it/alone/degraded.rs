//! Degraded: parts that are slow or half gone. Nobody waits longer than the one second of the gateway, no booking stops, and
//! what could not be written at once is written later, complete and in order.

use super::own_stack::OwnStack;
use crate::world::{ANSWERED_WITHIN, World};
use dev::{
    simulator::faults::{Fault, Operation},
    stack::Part,
};
use futures::{StreamExt, stream};
use std::time::Duration;
use tokio::time::{Instant, interval};

const DEAD_FOR: Duration = Duration::from_mins(1);
const REQUESTS_EACH_SECOND: u64 = 2;
/// More than there are connections to the board.
const READS: usize = 20;

/// P8, EB-N3, RS-N3, CN-N3, HS-N3, X7: 400 to 620 ms for each charge, then no provider at all for a minute, under a steady load.
#[tokio::test]
async fn every_rental_accepted_while_the_provider_is_slow_and_then_dead_is_charged_once() {
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = World::at(&own.stack.addresses);
    world
        .fault_for_everybody(Fault {
            operation: Some(Operation::Charge),
            delay_ms: Some((400, 620)),
            ..Fault::default()
        })
        .await;

    let rentals = rent_steadily(&world, Duration::from_secs(5)).await;
    own.stack.kill(Part::Simulator);
    let more = rent_steadily(&world, DEAD_FOR).await;
    own.stack.run(Part::Simulator).await.unwrap();

    for rental in rentals.iter().chain(&more) {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
        world.assert_agrees(rental).await;
    }
}

/// Distinct books at a steady rate, whatever becomes of them. Every request is accepted, and answered in time.
async fn rent_steadily(world: &World, duration: Duration) -> Vec<String> {
    let tick = interval(Duration::from_secs(1) / u32::try_from(REQUESTS_EACH_SECOND).unwrap());
    let ticks = stream::unfold(tick, async |mut tick| {
        tick.tick().await;
        Some(((), tick))
    });
    let requests = usize::try_from(duration.as_secs() * REQUESTS_EACH_SECOND).unwrap();
    let rentals = ticks.take(requests).map(async |()| {
        let book = world.book().await;
        let asked = Instant::now();
        let rental = world.rent(book).await.assert_status(201).id();
        assert!(asked.elapsed() < ANSWERED_WITHIN, "answered after {:?}", asked.elapsed());
        rental
    });
    rentals.buffer_unordered(requests).collect().await
}

/// No booking stops for the board; its rows and history are complete and in order afterwards. What it cannot show yet is known
/// to the gateway that began it, without a question to Temporal.
#[tokio::test]
async fn bookings_go_on_while_the_board_is_slow_or_gone_and_their_history_has_no_gaps() {
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = World::at(&own.stack.addresses);
    let admin = world.database().await;
    for outage in ["gone", "slow", "not written"] {
        let books = [world.book().await, world.book().await];
        let before = world.paid(books[0]).await;

        // On a connection of its own: the lock is held while the other one is used.
        let other = World::at(&own.stack.addresses);
        let lock = other.database().await;
        lock.batch_execute("begin").await.unwrap();
        if outage == "gone" {
            let gone = "alter role board nologin; \
                        select pg_terminate_backend(pid) from pg_stat_activity where usename = 'board'";
            admin.batch_execute(gone).await.unwrap();
        } else {
            // Who reads a table is in the way of the stronger lock only.
            let mode = if outage == "slow" { "access exclusive" } else { "exclusive" };
            lock.batch_execute(&format!("lock table board.bookings in {mode} mode")).await.unwrap();
        }
        let asked = Instant::now();
        let rental = world.rent(books[1]).await.assert_status(202).id();
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{outage}: answered after {:?}", asked.elapsed());
        if outage == "not written" {
            own.stack.hang(Part::Temporal);
            let path = format!("/ebook/rents/{rental}");
            // One after the other: what hangs in the table is in the way of none of them.
            for _ in 0..READS {
                let shown = world.get(&world.member, &path).await;
                assert_eq!(shown.assert_status(200).body["stage"], "requested");
            }
            own.stack.go_on(Part::Temporal);
        }
        // Held and charged without a board to say so.
        world.eventually("charged", async || world.provider(&rental).await.len(), |charges| *charges == 1).await;
        lock.batch_execute("rollback").await.unwrap();
        admin.batch_execute("alter role board login").await.unwrap();

        let booking = world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
        let stages: Vec<_> = booking["timeline"].as_array().unwrap().iter().map(|change| &change["stage"]).collect();
        assert_eq!(stages, ["requested", "held", "paid"], "{outage}");
        for id in [&before, &rental] {
            world.cancel(id).await;
            world.ended(id).await;
            world.assert_agrees(id).await;
        }
    }
}
