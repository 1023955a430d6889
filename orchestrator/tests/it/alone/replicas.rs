//! Replicas: five workers of each kind and two orchestrators do what one of each does.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::stack::Part;
use futures::{StreamExt, stream};

const RENTALS: usize = 40;
const REPLICAS: usize = 5;
const AT_ONCE: usize = 8;

#[tokio::test]
async fn more_workers_and_a_second_orchestrator_change_no_count_and_answer_for_each_other() {
    // What they answer is measured here, not within which second seventeen processes on two cores do.
    let mut own = OwnStack::start().await;
    let first = World::at(&own.stack.addresses);
    let mut second = World::at(&own.stack.run_replica(Part::Orchestrator).await.unwrap());
    (second.librarian, second.member) = (first.librarian.clone(), first.member.clone());
    for part in [Part::Catalog, Part::Payment, Part::Notification] {
        for _ in 1..REPLICAS {
            own.stack.run_replica(part).await.unwrap();
        }
    }

    // Requested at one, decided at the other, returned at the first; whichever hosts the saga.
    let worlds = (&first, &second);
    let rentals = stream::iter(0..RENTALS).map(async |number| {
        let (here, there) = if number % 2 == 0 { worlds } else { (worlds.1, worlds.0) };
        let book = here.book().await;
        let rental = here.paid(book).await;
        there.approve(book).await.assert_status(200);
        here.bring_back(&rental).await.assert_status(200);
        there.ended(&rental).await;
        rental
    });
    let rentals: Vec<_> = rentals.buffer_unordered(AT_ONCE).collect().await;

    for rental in &rentals {
        first.assert_agrees(rental).await;
        assert_eq!(first.provider(rental).await.len(), 1);
        first.eventually("told", async || first.messages(rental).await.len(), |told| *told == 3).await;
    }
}
