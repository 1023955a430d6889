//! Provider weather: a payment provider that is dead is left alone, bookings wait for it without an error, those who need no
//! payment do not notice, and it is not run over when it is back.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::stack::Part;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, interval};

/// What the provider may be asked in a second.
const CALLS_MAX: u32 = 20;
/// Of those who wait for a dead provider, as many come back in a second.
const BACK_EACH_SECOND: u32 = 5;
/// Rentals in a second, and as many salon reservations.
const PACE: u32 = 4;
/// How long the provider is dead: `HOLDFAST_OUTAGE_SECONDS`, for a long look.
const OUTAGE_SECONDS: u32 = 10;
/// How long fine weather is looked at, at most.
const FINE_SECONDS_MAX: u32 = 150;
/// As many salon reservations are made at a time; then the stylists are busy at another one.
const STYLISTS: u32 = 8;

/// Rentals and salon reservations at a steady pace. Everybody is told that their booking is taken, nobody that something is
/// broken. Gives back the rentals, and how long those who pay nothing waited, the longest first.
async fn steady(world: &World, seconds: u32, day: u32) -> (Vec<String>, Vec<Duration>) {
    let mut pace = interval(Duration::from_secs(1) / PACE);
    let (mut rentals, mut waited) = (Vec::new(), Vec::new());
    for number in 0..seconds * PACE {
        pace.tick().await;
        rentals.push(world.rent(world.book().await).await.assert_status(201).id());
        let slot = number / STYLISTS;
        let time =
            format!("{}-{:02}-{:02}T{:02}:00", 2030 + day, 1 + slot / 240 % 12, 1 + slot / 10 % 24, 9 + slot % 10);
        let asked = Instant::now();
        world.post(&world.member, "/salon/reservationSystems", json!({ "time": time })).await.assert_status(201);
        waited.push(asked.elapsed());
    }
    waited.sort_unstable_by(|one, other| other.cmp(one));
    (rentals, waited)
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_and_not_run_over_when_it_is_back() {
    let own = OwnStack::with(Part::APART, |at| {
        at.with("HOLDFAST_PROVIDER_CALLS_PER_SECOND_MAX", &CALLS_MAX.to_string())
            .with("HOLDFAST_PROVIDER_BREAKER_SECONDS", "0.5")
            .with("HOLDFAST_PROVIDER_BREAKER_SECONDS_MAX", "2")
            .with("HOLDFAST_ANSWER_SECONDS", "1")
            // As it is for people: in other tests, all that is open is looked at every five seconds.
            .with("HOLDFAST_RECOVERY_SWEEP_SECONDS", "300")
    });
    let mut own = own.await;
    let world = World::at(&own.stack.addresses);
    for number in 0..STYLISTS {
        let stylist = json!({ "stylistName": format!("s-{number}") });
        world.registered(&world.manager, "/salon/hrSystems", stylist).await;
    }
    let outage = std::env::var("HOLDFAST_OUTAGE_SECONDS").map_or(OUTAGE_SECONDS, |seconds| seconds.parse().unwrap());
    let (before, fine) = steady(&world, outage.min(FINE_SECONDS_MAX), 0).await;
    for rental in &before {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
    }
    let asked = world.provider_calls().await;
    own.stack.kill(Part::Simulator);
    let (rentals, foul) = steady(&world, outage, 1).await;
    assert!(world.provider_breaker().await >= 1.0, "nobody leaves the dead provider alone");
    let hammered = world.provider_calls().await - asked;
    // Those that found out, and a probe each time it was open long enough.
    assert!(hammered < 15.0 + f64::from(outage), "{hammered} calls to a provider that is dead for {outage} s");
    own.stack.run(Part::Simulator).await.unwrap();
    let mut fastest: f64 = 0.0;
    let mut look = interval(Duration::from_millis(500));
    let (mut last, mut at) = (world.provider_calls().await, Instant::now());
    let waiting = u32::try_from(rentals.len()).unwrap();
    let until = Instant::now() + Duration::from_mins(1) + Duration::from_secs(1) * waiting / BACK_EACH_SECOND;
    while world.provider_breaker().await > 0.0
        || world.provider_kept(&rentals).await < 3000 * i64::try_from(rentals.len()).unwrap()
    {
        look.tick().await;
        let now = world.provider_calls().await;
        fastest = fastest.max((now - last) / at.elapsed().as_secs_f64());
        (last, at) = (now, Instant::now());
        assert!(Instant::now() < until, "the provider is back, and not all were charged");
    }
    println!("{hammered} calls while it was dead; then at most {fastest:.1} a second, of {CALLS_MAX} allowed");
    // Half a second may begin with a burst of a tenth of the second's calls.
    assert!(fastest <= f64::from(CALLS_MAX) * 1.3, "{fastest} calls a second");
    for rental in &rentals {
        world.until(rental, "paid", |booking| booking["stage"] == "paid").await;
        world.assert_agrees(rental).await;
    }
    // Once more, with as many bookings in the tables as by now.
    let (_, again) = steady(&world, outage.min(FINE_SECONDS_MAX), 2).await;
    for (weather, waited) in [("fine", fine), ("foul", foul), ("fine again", again)] {
        let [p50, p90, p99] = [2, 10, 100].map(|part| waited[waited.len() / part]);
        println!("{weather}: salon p50 {p50:?}, p90 {p90:?}, p99 {p99:?}");
    }
    an_operator_stops_all_calls(&world).await;
}

/// The switch: nothing is asked while it is off, and everything afterwards.
async fn an_operator_stops_all_calls(world: &World) {
    let turn = async |paused: bool| {
        let wish = json!({ "paused": paused, "reason": "It has announced an outage." });
        world.put(&world.operator, "/provider", wish).await.assert_status(200).body
    };
    let weather = turn(true).await;
    assert_eq!((&weather["state"], &weather["pause"]["by"]), (&json!("paused"), &json!(world.operator.subject)));
    let before = world.provider_calls().await;
    let rental = world.rent(world.book().await).await.assert_status(201).id();
    let tried = async || world.attempts(&rental, "payment.charge").await;
    world.eventually("tried again", tried, |attempts| *attempts > 1).await;
    assert_eq!(world.provider_calls().await.to_bits(), before.to_bits(), "somebody asked");
    turn(false).await;
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
}
