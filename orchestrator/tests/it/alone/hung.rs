//! Hung: a worker that is there and does nothing. It fails its liveness check and is replaced, as a platform does; what it was at
//! is finished by another.

use super::own_stack::OwnStack;
use crate::world::World;
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
    let mut own = OwnStack::start().await;
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
