//! The gate before an upgrade, at a system with open bookings.

use super::own_stack::OwnStack;
use crate::{play, world::World};
use dev::stack::{Part, program};
use orchestrator::host;
use workflows::saga::Limits;

/// The gate before an upgrade: bookings wait at every turn of every system, and all of them would go on with this build. Nothing is
/// changed by asking.
#[tokio::test]
async fn open_bookings_go_on_with_this_build() {
    let own = OwnStack::of(Part::TOGETHER).await;
    let world = World::at(&own.stack.addresses);
    let rental = world.paid(world.book().await).await;
    let lent = world.lent(world.book().await).await;
    let mut waiting = vec![rental.clone(), lent.clone()];
    for kind in host::SAGAS.iter().filter(|kind| kind.system != "ebook") {
        let opening = play::opening(&world, kind, 3_000, Limits::default()).await;
        waiting.push(world.begin_of(kind.system, opening).await);
    }
    for id in &waiting {
        world.until(id, "waits", |booking| booking["waiting_for"].is_string()).await;
    }
    let listed = async || check_upgrade(&world).await;
    let all = format!("{} open", waiting.len());
    // Temporal's list of workflows lags behind by a moment.
    let text = world.eventually("listed", listed, |text| text.starts_with(&all)).await;
    assert!(text.contains(" open bookings replayed, 0 would not go on"), "{text}");
    assert_eq!(world.booking(&rental).await["stage"], "paid");
    assert_eq!(world.booking(&lent).await["stage"], "approved");
}

async fn check_upgrade(world: &World) -> String {
    let mut command = std::process::Command::new(program("holdfast").unwrap());
    command.args(["check-upgrade", "--limit", "200"]).envs(world.settings());
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
