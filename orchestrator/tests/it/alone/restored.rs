//! One half of what is known is restored from a backup, and the other has gone on: nothing is lost, and nothing is doubled.

use super::own_stack::OwnStack;
use crate::{
    play::{self, Until},
    world::World,
};
use chrono::{DateTime, TimeDelta, Utc};
use dev::stack::{Part, program};
use orchestrator::host::{self, Kind};
use std::process::{Command, Output};
use uuid::Uuid;
use workflows::{
    booking::BookingId,
    saga::{Limits, Opening},
};

/// What runs while the door is shut: everything but the orchestrator.
const BEHIND_THE_DOOR: &[Part] = &[Part::Catalog, Part::Payment, Part::Notification, Part::Fulfilment];

/// Something to book, of a system.
type Listed = (&'static Kind, Opening);

/// Three things to book of every system.
async fn listed(world: &World) -> Vec<Listed> {
    let mut listed = Vec::new();
    for (number, kind) in host::SAGAS.iter().enumerate() {
        for place in 0..3 {
            // What was answered on the short road is known too.
            let limits = Limits { near: (number + place) % 2 == 0, ..Limits::default() };
            listed.push((kind, play::opening(world, kind, 3_000, limits).await));
        }
    }
    listed
}

/// Bookings, at every point of their story when the backup is made.
struct Bookings<'w> {
    world: &'w World,
    waiting: Vec<(&'static Kind, String)>,
    completed: Vec<(&'static Kind, String)>,
    undone: Vec<(&'static Kind, String)>,
}

impl<'w> Bookings<'w> {
    /// All of them wait for somebody. One third will go on to its end, one will be cancelled.
    async fn begin(world: &'w World, listed: impl Iterator<Item = &Listed>) -> Self {
        let mut bookings = Self { world, waiting: Vec::new(), completed: Vec::new(), undone: Vec::new() };
        for (number, (kind, opening)) in listed.enumerate() {
            let opening = Opening { booking: BookingId(Uuid::now_v7()), ..opening.clone() };
            let id = world.begin_of(kind.system, opening).await;
            [&mut bookings.waiting, &mut bookings.completed, &mut bookings.undone][number % 3].push((kind, id));
        }
        for (_, id) in bookings.all() {
            world.until(id, "waiting", |booking| booking["waiting_for"].is_string()).await;
        }
        bookings
    }

    async fn go_on(&self) {
        for (kind, id) in &self.completed {
            play::play(self.world, kind, id, Until::Completed).await;
        }
        for (kind, id) in &self.undone {
            play::play(self.world, kind, id, Until::Cancelled).await;
        }
        for (_, id) in self.completed.iter().chain(&self.undone) {
            self.world.ended(id).await;
        }
    }

    fn all(&self) -> impl Iterator<Item = &(&'static Kind, String)> {
        self.waiting.iter().chain(&self.completed).chain(&self.undone)
    }
}

/// P1, P3, P6: Postgres is lost, and restored in another cluster from a dump that is older than what people did since. Sagas, and the
/// provider, have gone on. Everything that was promised is known again before the door opens, each of it once, and the bookings
/// that were open go on to their ends.
#[tokio::test]
async fn what_postgres_forgot_is_known_again() {
    let mut own = OwnStack::start().await;
    let world = World::at(&own.stack.addresses);
    let listed = listed(&world).await;
    let before = Bookings::begin(&world, listed.iter()).await;
    let book = world.book().await;
    let early = world.lent(book).await;
    // A feed that this cluster has come far with, and the new one will not have.
    world.database().await.batch_execute(MANY_TRANSACTIONS).await.unwrap();
    // A message goes out some time after the change that it tells of: what was shown before the dump may have been told after it.
    let since = Utc::now() - TimeDelta::hours(1);
    let dump = own.folder.join("dump");
    let url = world.setting("HOLDFAST_ADMIN_DATABASE_URL").to_owned();
    postgres(Command::new("pg_dump").args(["--format=custom", "--file"]).arg(&dump).arg(&url));

    // Lost: what becomes of those bookings, and others of what is free again.
    before.go_on().await;
    let free = listed.chunks(3).flat_map(|three| &three[1..]);
    let after = Bookings::begin(&world, free).await;
    after.go_on().await;
    world.bring_back(&early).await.assert_status(200);
    world.ended(&early).await;
    let late = world.lent(book).await;
    let points = points(&world).await;
    assert!(points > 0);

    for part in [Part::Orchestrator].iter().chain(BEHIND_THE_DOOR) {
        own.stack.stop(*part);
    }
    own.stack.lose(Part::Postgres).unwrap();
    own.stack.run(Part::Postgres).await.unwrap();
    postgres(Command::new("pg_restore").args(["--clean", "--if-exists", "--dbname"]).arg(&url).arg(&dump));
    for part in BEHIND_THE_DOOR {
        own.stack.run(*part).await.unwrap();
    }

    let (found, text) = reconcile(&world, since, false).await;
    assert!(!found && !text.contains(" 0 differences"), "it finds what is missing:\n{text}");
    let (mended, text) = reconcile(&world, since, true).await;
    assert!(mended && text.ends_with(" 0 left\n"), "{text}");
    let (agrees, text) = reconcile(&world, since, false).await;
    assert!(agrees && text.contains(" 0 differences, 0 left"), "{text}");

    own.stack.run(Part::Orchestrator).await.unwrap();
    for (_, id) in before.all().chain(after.all()) {
        world.assert_promises(id).await;
    }
    for (_, id) in before.completed.iter().chain(&after.completed) {
        assert_eq!(world.ended(id).await["ending"], "completed");
    }
    for (_, id) in before.undone.iter().chain(&after.undone) {
        assert_eq!(world.ended(id).await["ending"], "undone");
    }
    world.assert_promises(&early).await;
    assert_eq!(world.hold_state(&early).await.as_deref(), Some("released"));
    assert_eq!(world.hold_state(&late).await.as_deref(), Some("confirmed"));
    world.rent(book).await.assert_problem(409, "book_already_rented");

    for (kind, id) in before.waiting.iter().chain(&after.waiting) {
        play::play(&world, kind, id, Until::Completed).await;
        assert_eq!(world.ended(id).await["ending"], "completed", "{} {id}", kind.system);
        world.assert_promises(id).await;
    }
    world.bring_back(&late).await.assert_status(200);
    world.ended(&late).await;
    world.assert_promises(&late).await;
    // The feed goes on in the new cluster: who follows it has heard of all parcels.
    let due = points + 100 * i64::try_from(parcels(&before.waiting) + parcels(&after.waiting)).unwrap();
    world.eventually("credited", async || self::points(&world).await, |points| *points == due).await;

    // Somebody gives money back at the provider's own console, and tells nobody.
    let (_, given) = after.completed.iter().find(|(kind, _)| kind.system == "ebook").unwrap();
    world.refund_by_hand(given).await;
    let (agrees, text) = run_reconcile(&world, since, &[]).await;
    let told = format!("{given}  payment: refunded_at_provider");
    assert!(!agrees && text.contains(&told) && text.contains(" 1 differences, 1 left"), "{text}");
}

/// P5, P6, the other way round: Temporal is restored as it was, and then lost altogether. What the board had shown stands, and
/// bookings that nobody runs any more go on from there.
#[tokio::test]
async fn what_temporal_forgot_goes_on_from_the_board() {
    let mut own = OwnStack::start().await;
    let world = World::at(&own.stack.addresses);
    let book = world.book().await;
    let lent = world.paid(book).await;
    let cancelled = world.paid(world.book().await).await;
    let backup = own.folder.join("temporal.backup");
    own.stack.stop(Part::Temporal);
    own.stack.copy_temporal(&backup, false).unwrap();
    own.stack.run(Part::Temporal).await.unwrap();

    // Lost: an approval, a cancellation, and a rental.
    let since = Utc::now();
    world.eventually("approved", async || world.approve(book).await.status, |status| *status == 200).await;
    world.eventually("cancelled", async || world.cancel(&cancelled).await.status, |status| *status == 200).await;
    world.ended(&cancelled).await;
    let fresh = world.paid(world.book().await).await;

    own.stack.stop(Part::Orchestrator);
    own.stack.lose(Part::Temporal).unwrap();
    own.stack.copy_temporal(&backup, true).unwrap();
    own.stack.run(Part::Temporal).await.unwrap();
    let (found, text) = reconcile(&world, since, false).await;
    assert!(!found && text.contains(&format!("ebook/{lent}  saga: is at version 3, and the board shows 4")), "{text}");
    let (mended, text) = reconcile(&world, since, true).await;
    assert!(mended, "{text}");
    own.stack.run(Part::Orchestrator).await.unwrap();

    // What was shown stands: the book is lent. What had not passed its point of no return is turned back.
    let booking = world.at_stage(&lent, "approved").await;
    assert_eq!(booking["waiting_for"], "customer", "{booking:#}");
    assert_eq!(world.ended(&cancelled).await["ending"], "undone");
    assert_eq!(world.ended(&fresh).await["reason"], "interrupted");
    for id in [&cancelled, &fresh] {
        world.assert_agrees(id).await;
    }

    // Lost altogether.
    own.stack.stop(Part::Orchestrator);
    own.stack.lose(Part::Temporal).unwrap();
    own.stack.run(Part::Temporal).await.unwrap();
    let (mended, text) = reconcile(&world, since, true).await;
    assert!(mended, "{text}");
    own.stack.run(Part::Orchestrator).await.unwrap();
    world.bring_back(&lent).await.assert_status(200);
    assert_eq!(world.ended(&lent).await["ending"], "completed");
    world.assert_agrees(&lent).await;
}

/// Every statement is a transaction of its own.
const MANY_TRANSACTIONS: &str =
    "do $$ begin for i in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$";

fn parcels(bookings: &[(&Kind, String)]) -> usize {
    bookings.iter().filter(|(kind, _)| kind.system == "parcel").count()
}

async fn points(world: &World) -> i64 {
    let sum = "select coalesce(sum(points), 0)::bigint from fulfilment.credits";
    world.database().await.query_one(sum, &[]).await.unwrap().get(0)
}

/// With the door shut: did it end without a difference that is left, and what did it print?
async fn reconcile(world: &World, since: DateTime<Utc>, mend: bool) -> (bool, String) {
    let options: &[&str] = if mend { &["--alone", "--mend"] } else { &["--alone"] };
    run_reconcile(world, since, options).await
}

async fn run_reconcile(world: &World, since: DateTime<Utc>, options: &[&str]) -> (bool, String) {
    let mut command = Command::new(program("holdfast").unwrap());
    command.args(["reconcile", "--since", &since.to_rfc3339()]).args(options).envs(world.settings());
    let done: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    (done.status.success(), text)
}

fn postgres(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
