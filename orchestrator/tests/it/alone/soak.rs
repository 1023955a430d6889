//! The soak: people who book at random and change their minds, a provider that fails, and parts that are killed, for as long as is
//! asked (`make soak MINUTES=30 SEED=1`). What must never be is looked for all the time, and in the end every booking is asserted.

use super::own_stack::OwnStack;
use crate::{
    play::{self, Until},
    world::World,
};
use dev::{
    simulator::faults::{After, Before, Fault, Operation},
    stack::Part,
};
use futures::{FutureExt, StreamExt, stream};
use orchestrator::host::{self, Kind};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::{LocalSet, spawn_local},
    time::{Instant, interval},
};
use workflows::saga::Limits;

const PEOPLE: u64 = 8;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Something goes wrong after so many looks, at most.
const PEACE_MAX: u32 = 3;
/// Nobody is waited for, and it does not move: for longer than this, that is nobody's booking.
const UNOWNED: &str = "3 minutes";
const SETTLED_AT_ONCE: usize = 16;

/// What must never be: each is a number that stays zero.
const NEVER: &[(&str, &str)] = &[
    (
        "postings that do not add up",
        "select count(*) from (select from payment.postings group by booking, movement having sum(amount_minor) <> 0) wrong",
    ),
    (
        "bookings charged twice",
        "select count(*) from (select from payment.postings where movement = 'capture' and account = 'bookings' group by booking having count(*) > 1) wrong",
    ),
    (
        "units sold twice",
        "select count(*) from catalog.holds one join catalog.holds other using (unit) where one.booking < other.booking and one.state in ('held', 'confirmed') and other.state in ('held', 'confirmed') and one.period && other.period",
    ),
    (
        "refunds lost",
        "select count(*) from board.bookings b where ending = 'undone' and at < now() - interval '30 seconds' and (select coalesce(sum(amount_minor), 0) from payment.postings p where p.booking = b.booking and account = 'bookings') <> 0",
    ),
];

tokio::task_local! {
    /// Set where a person books.
    static IS_PERSON: ();
}

/// A booking, with whoever books.
type Booking = (Arc<World>, &'static Kind, String);

#[derive(Default)]
struct Count {
    asserted: usize,
    /// Something was in their way: they are looked at again in the end.
    doubtful: Vec<Booking>,
}

/// P1 to P6, for as long as is asked.
#[tokio::test]
#[ignore = "make soak"]
async fn nothing_creeps_up_over_time() {
    // What people do here holds references that no other thread may see.
    LocalSet::new().run_until(soak()).await;
}

async fn soak() {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse::<u64>());
    let minutes = number("MINUTES").map_or(30, |minutes| minutes.expect("MINUTES: expected a number"));
    let seed = number("SEED").map_or_else(|| rand::rng().random(), |seed| seed.expect("SEED: expected a number"));
    println!("a soak of {minutes} minutes, SEED={seed}");
    let mut own = OwnStack::prompt(Part::APART).await;
    let world = Arc::new(World::at(&own.stack.addresses));
    let until = Instant::now() + Duration::from_mins(minutes);
    let count = Arc::new(Mutex::new(Count::default()));
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        // A person who is disturbed panics, and comes back: that is no news.
        if IS_PERSON.try_with(|()| ()).is_err() {
            loud(what);
        }
    }));
    let people: Vec<_> = (0..PEOPLE)
        .map(|person| {
            let live = live(own.stack.addresses.clone(), StdRng::seed_from_u64(seed ^ person), until, count.clone());
            spawn_local(IS_PERSON.scope((), live))
        })
        .collect();

    let mut rng = StdRng::seed_from_u64(seed);
    let (mut kills, mut faults, mut peace) = (BTreeMap::<&str, u32>::new(), 0, PEACE_MAX);
    let mut pause = interval(LOOK_EVERY);
    while Instant::now() < until {
        pause.tick().await;
        look(&world).await;
        peace = peace.saturating_sub(1);
        if peace > 0 {
            continue;
        }
        peace = rng.random_range(1..=PEACE_MAX);
        if rng.random_bool(0.5) {
            let part = *Part::APART.choose(&mut rng).unwrap();
            own.stack.kill(part);
            own.stack.run(part).await.unwrap();
            *kills.entry(part.name()).or_default() += 1;
        } else {
            faults += 1;
            let asked = AssertUnwindSafe(world.fault_for_everybody(fault(&mut rng))).catch_unwind().await;
            drop(asked);
        }
        let Count { asserted, doubtful } = &*count.lock().unwrap();
        println!(
            "{asserted} bookings asserted, {} to be looked at again, {faults} faults, kills {kills:?}",
            doubtful.len()
        );
    }
    for person in people {
        person.await.unwrap();
    }

    let (asserted, doubtful) = {
        let mut count = count.lock().unwrap();
        (count.asserted, std::mem::take(&mut count.doubtful))
    };
    let settled =
        stream::iter(&doubtful).map(|(world, kind, id)| settle(world, kind, id)).buffer_unordered(SETTLED_AT_ONCE);
    let begun = settled.filter(|begun| std::future::ready(*begun)).count().await;
    look(&world).await;
    let unowned = format!(
        "select count(*) from board.bookings where ending is null and waiting_for is null and at < now() - interval '{UNOWNED}'"
    );
    assert_eq!(counted(&world, &unowned).await, Some(0), "stuck without an owner");
    let killed: u32 = kills.values().sum();
    println!(
        "{} bookings, all asserted; {faults} faults, {killed} kills {kills:?}; 0 of: {}, stuck without an owner",
        asserted + begun,
        NEVER.iter().map(|(what, _)| *what).collect::<Vec<_>>().join(", ")
    );
}

/// Books, and goes through with it or not, again and again.
async fn live(at: dev::addresses::Addresses, mut rng: StdRng, until: Instant, count: Arc<Mutex<Count>>) {
    let world = Arc::new(World::at(&at));
    while Instant::now() < until {
        let kind = host::SAGAS.choose(&mut rng).unwrap();
        let limits = Limits { near: rng.random_bool(0.5), ..Limits::default() };
        let plan = if rng.random_bool(0.6) { Until::Completed } else { Until::Cancelled };
        let opening = AssertUnwindSafe(play::opening(&world, kind, 3_000, limits)).catch_unwind().await;
        let Ok(opening) = opening else { continue };
        let id = opening.booking.to_string();
        let went = AssertUnwindSafe(async {
            world.begin_of(kind.system, opening).await;
            play::play(&world, kind, &id, plan).await;
            world.ended(&id).await;
            world.assert_promises(&id).await;
        });
        let went = went.catch_unwind().await;
        let mut count = count.lock().unwrap();
        match went {
            Ok(()) => count.asserted += 1,
            Err(_) => count.doubtful.push((world.clone(), kind, id)),
        }
    }
}

/// A few calls of the provider go wrong.
fn fault(rng: &mut StdRng) -> Fault {
    let operation = [Operation::Charge, Operation::Refund, Operation::Find].choose(rng).copied();
    let usual = Fault { operation, times: Some(rng.random_range(1..10)), ..Fault::default() };
    match rng.random_range(0..5) {
        0 => Fault { before: Some(Before::Error), ..usual },
        1 => Fault { after: Some(After::Error), ..usual },
        2 => Fault { after: Some(After::DropReply), ..usual },
        3 => Fault { delay_ms: Some((100, 3_000)), ..usual },
        _ => Fault { refuse_refunds: true, operation: None, ..usual },
    }
}

/// Looks for what must never be; not while Postgres is away.
pub async fn look(world: &World) {
    for (what, query) in NEVER {
        assert!(matches!(counted(world, query).await, None | Some(0)), "{what}");
    }
}

async fn counted(world: &World, query: &str) -> Option<i64> {
    let asked = AssertUnwindSafe(async { world.database().await.query_one(query, &[]).await });
    asked.catch_unwind().await.ok()?.ok().map(|row| row.get(0))
}

/// Brings a booking to its end that somebody was disturbed with, and asserts it. `false`: it never began.
async fn settle(world: &World, kind: &Kind, id: &str) -> bool {
    let found = world.get(&world.operator, &format!("/bookings/{id}")).await;
    if found.status == 404 {
        return false;
    }
    let theirs = |booking: &Value| booking["waiting_for"].is_string() && booking["waiting_for"] != "operator";
    let booking =
        world.until(id, "over, or somebody's turn", |booking| booking["ending"].is_string() || theirs(booking)).await;
    let open = booking["ending"].is_null();
    if open && world.tell(id, "cancel", json!({ "by": world.member.subject })).await.is_err() {
        play::play_from(world, kind, id, booking["stage"].as_str().unwrap()).await;
    }
    world.ended(id).await;
    world.assert_promises(id).await;
    true
}
