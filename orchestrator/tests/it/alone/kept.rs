//! Kept: what ended long ago is forgotten by the board, where that is configured, and nothing else is.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::stack::Part;
use uuid::Uuid;

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_and_what_is_open_or_new_is_not() {
    let mut own = OwnStack::with(Part::TOGETHER, |at| at.with("HOLDFAST_BOARD_KEEP_DAYS", "30")).await;
    let world = World::at(&own.stack.addresses);
    let ended = async || {
        let id = world.paid(world.book().await).await;
        world.cancel(&id).await;
        world.ended(&id).await;
        world.assert_promises(&id).await;
        id
    };
    let (old, new) = (ended().await, ended().await);
    let open = world.paid(world.book().await).await;
    let db = world.database().await;
    let aged = [&old, &open].map(|id| id.parse::<Uuid>().unwrap());
    for table in ["bookings", "history"] {
        let age = format!("update board.{table} set at = at - interval '31 days' where booking = any($1)");
        db.execute(&age, &[&aged.as_slice()]).await.unwrap();
    }
    own.stack.stop(Part::Orchestrator);
    own.stack.run(Part::Orchestrator).await.unwrap();

    let versions = async |id: &str| {
        let count = "select (select count(*) from board.bookings where booking = $1) + \
            (select count(*) from board.history where booking = $1)";
        db.query_one(count, &[&id.parse::<Uuid>().unwrap()]).await.unwrap().get::<_, i64>(0)
    };
    world.eventually("forgotten", async || versions(&old).await, |versions| *versions == 0).await;
    assert!(versions(&new).await > 1 && versions(&open).await > 1, "something else was forgotten");
    // The money trail is the payment worker's, and stays.
    let postings = "select count(*) from payment.postings where booking = $1";
    let kept: i64 = db.query_one(postings, &[&aged[0]]).await.unwrap().get(0);
    assert_eq!(kept, 4, "a capture and a refund");
    world.cancel(&open).await;
    world.ended(&open).await;
}
