//! Gone: the fault matrix takes a completion that never arrives for a worker that was killed. Here the worker is killed
//! (SIGKILL), before and after the effect, and the endings are the same.

use super::own_stack::OwnStack;
use crate::world::{Kind, World};
use dev::{simulator::books::Status, stack::Part};
use serde_json::Value;
use workflows::saga::Limits;

/// A rental whose worker is in the middle of an activity, and what it ends as in the matrix.
struct Caught {
    book: i64,
    id: String,
    activity: &'static str,
    kind: Kind,
    ending: &'static str,
}

fn at_or_past(stage: &'static str) -> impl Fn(&Value) -> bool {
    move |booking| booking["times"][stage].is_string()
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_what_the_matrix_says() {
    let mut own = OwnStack::of(Part::TOGETHER).await;
    let world = World::at(&own.stack.addresses);
    let mut caught = Vec::new();
    for (activity, ending) in [
        ("catalog.hold", "completed"),
        ("payment.charge", "completed"),
        ("payment.refund", "undone"),
        ("catalog.release", "undone"),
        ("catalog.confirm", "completed"),
    ] {
        for kind in [Kind::HoldBefore, Kind::HoldAfter] {
            let book = world.book().await;
            let opening = world.opening(book, Limits::default());
            let id = opening.booking.to_string();
            world.worker_fault(&id, activity, None, kind.clone()).await;
            world.begin(opening).await;
            caught.push(Caught { book, id, activity, kind, ending });
        }
    }
    for one in &caught {
        drive_into(&world, one).await;
    }

    own.stack.kill(Part::Workers);
    own.stack.run(Part::Workers).await.unwrap();

    for Caught { book, id, activity, kind, ending } in &caught {
        world.until(id, "paid", at_or_past("paid")).await;
        if *ending == "completed" {
            world.decide(*book, id, "approve").await.assert_status(200);
            let heard = world.bring_back(id).await.status;
            assert!(heard.is_success(), "{heard}");
        }
        let booking = world.ended(id).await;
        assert_eq!(booking["ending"], *ending, "{activity}, {kind:?}: {booking:#}");
        world.assert_promises(id).await;
    }
}

/// Takes a rental to where its worker is caught: before the effect, or after it and before anybody has heard of it.
async fn drive_into(world: &World, caught: &Caught) {
    let Caught { book, id, activity, kind, ending } = caught;
    if !matches!(*activity, "catalog.hold" | "payment.charge") {
        world.until(id, "paid", at_or_past("paid")).await;
        let decision = if *ending == "undone" { "reject" } else { "approve" };
        let heard = world.decide(*book, id, decision).await.status;
        assert!(heard.is_success(), "{heard}");
    }
    world.eventually("caught", async || world.met(id).await.1, |running| *running >= 1).await;
    if matches!(kind, Kind::HoldBefore) {
        return;
    }
    let took_effect = async || match *activity {
        "payment.charge" => !world.provider(id).await.is_empty(),
        "payment.refund" => world.provider(id).await.iter().any(|charge| charge.status == Status::Refunded),
        "catalog.hold" => world.hold_state(id).await.as_deref() == Some("held"),
        "catalog.release" => world.hold_state(id).await.as_deref() == Some("released"),
        _ => world.hold_state(id).await.as_deref() == Some("confirmed"),
    };
    world.eventually("done", took_effect, |done| *done).await;
}
