//! Hung: a worker that is there and does nothing. It fails its liveness check and is replaced, as a platform does; what it was at
//! is finished by another.

use super::own_stack::OwnStack;
use crate::world::{ANSWERED_WITHIN, World};
use dev::stack::Part;
use futures::future::join_all;
use reqwest::Client;
use std::time::Duration;
use tokio::time::{Instant, interval};

const RENTALS: usize = 12;
/// As a platform is told to look, but quicker.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(1);
const FAILURES: u32 = 3;
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

/// Looks at liveness until it has failed so often in a row.
async fn noticed(admin: u16) -> Duration {
    let client = Client::builder().timeout(LOOK_MAX).build().unwrap();
    let began = Instant::now();
    let (mut failures, mut look) = (0, interval(LOOK_EVERY));
    while failures < FAILURES {
        look.tick().await;
        let live = client.get(format!("http://127.0.0.1:{admin}/health/live")).send().await;
        failures = if live.is_ok_and(|live| live.status().is_success()) { 0 } else { failures + 1 };
        assert!(began.elapsed() < NOTICED_WITHIN, "nobody notices that it hangs");
    }
    began.elapsed()
}

#[tokio::test]
async fn a_worker_that_hangs_is_replaced_and_its_tasks_are_finished_elsewhere() {
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = World::at(&own.stack.addresses);
    own.stack.run_replica(Part::Payment).await.unwrap();
    let mut books = Vec::new();
    for _ in 0..RENTALS {
        books.push(world.book().await);
    }

    own.stack.hang(Part::Payment);
    let rentals: Vec<String> = join_all(books.iter().map(async |book| world.rent(*book).await.id())).await;
    let admin = own.stack.addresses.payment_admin;
    let noticed = noticed(admin).await;
    own.stack.kill(Part::Payment);
    own.stack.run(Part::Payment).await.unwrap();

    for rental in &rentals {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
        assert_eq!(world.provider(rental).await.len(), 1, "{rental} was charged more than once");
        world.assert_agrees(rental).await;
    }
    println!("noticed after {noticed:.1?}; {RENTALS} rentals paid");
}

/// What a worker is given that hangs comes back, and is done by one of the others. Nobody who asks is told of it: they are
/// answered in time, if only that their booking is pending.
#[tokio::test]
async fn one_bad_worker_of_three_costs_no_request() {
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = World::at(&own.stack.addresses);
    for part in [Part::Catalog, Part::Payment] {
        for _ in 1..3 {
            own.stack.run_replica(part).await.unwrap();
        }
    }
    let mut books = Vec::new();
    for _ in 0..2 * RENTALS {
        books.push(world.book().await);
    }

    // Not the one that answers the gateway: that is another matter, and has a breaker.
    own.stack.hang_last(Part::Catalog);
    own.stack.hang_last(Part::Payment);
    let mut rentals = Vec::new();
    for book in books {
        let asked = Instant::now();
        let reply = world.rent(book).await;
        assert!([201, 202].contains(&reply.status.as_u16()), "{reply:?}");
        assert!(asked.elapsed() < ANSWERED_WITHIN, "answered after {:?}", asked.elapsed());
        rentals.push((reply.status == 202, reply.id()));
    }
    for (_, rental) in &rentals {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
        assert_eq!(world.provider(rental).await.len(), 1, "{rental} was charged more than once");
        world.assert_agrees(rental).await;
    }
    let pending = rentals.iter().filter(|(pending, _)| *pending).count();
    println!(
        "{} rentals with one worker of three hanging: none failed, {pending} were pending at first",
        rentals.len()
    );
}
