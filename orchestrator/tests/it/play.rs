//! Plays a booking of any system to its end, by what its saga declares of itself: whoever's turn it is says the first thing
//! they may say.

use crate::world::{Person, World};
use orchestrator::{
    gateway::auth::Role,
    host::{self, Kind},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use temporalio_client::errors::WorkflowUpdateError;
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Item, Party, Period},
    money::Money,
    saga::{Limits, Opening, Turn},
};

/// How far to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end of the story.
    Completed,
    /// To where it could still be turned back, with everything done that can be undone: and then it is cancelled.
    Cancelled,
}

/// A booking of a system, with an item of its own at a price. Nothing here is particular to one system: what has no use for a
/// part of it leaves it alone.
pub async fn opening(world: &World, kind: &Kind, price: i64, limits: Limits) -> Opening {
    let number = world.item_in(kind.system, price).await;
    let item = Item { system: kind.system.to_owned(), number };
    let customer = world.member.subject.parse().unwrap();
    let now = chrono::Utc::now();
    let opening = Opening::new(BookingId(Uuid::now_v7()), customer, item, limits);
    Opening {
        price: Some(Money::new(price, iso_currency::Currency::KRW).unwrap()),
        period: Some(Period::new(now + chrono::TimeDelta::days(1), now + chrono::TimeDelta::days(2)).unwrap()),
        details: BTreeMap::new(),
        ..opening
    }
}

/// Plays a booking that has begun. It may end before, when something goes wrong.
pub async fn play(world: &World, kind: &Kind, id: &str, until: Until) {
    let [story, forward] = kind.turns;
    let turns: Vec<&Turn> = match until {
        Until::Completed => story.iter().chain(forward).collect(),
        Until::Cancelled => story[..story.len() - 1].iter().collect(),
    };
    for turn in turns {
        if !its_turn(world, id, turn).await {
            return;
        }
        say(world, id, turn.says[0].word, turn.says[0].needs, turn.party).await;
    }
    if until == Until::Cancelled && its_turn(world, id, &story[story.len() - 1]).await {
        match world.tell(id, "cancel", json!({ "by": world.member.subject })).await {
            // Heard, but the engine's answer was lost and asked for again when all had ended. How it ended is looked at later.
            Ok(()) | Err(WorkflowUpdateError::NotFound(_)) => {}
            Err(error) => panic!("cancel: {error:?}"),
        }
    }
}

/// Plays a booking on from somebody's turn, after the point of no return.
pub async fn play_from(world: &World, kind: &Kind, id: &str, stage: &str) {
    for turn in kind.turns[1].iter().skip_while(|turn| turn.stage != stage) {
        assert!(its_turn(world, id, turn).await, "it never came back to {}", turn.stage);
        say(world, id, turn.says[0].word, turn.says[0].needs, turn.party).await;
    }
}

/// Plays a booking up to somebody's turn, which it then waits at.
pub async fn play_to(world: &World, kind: &Kind, id: &str, stage: &str) {
    for turn in kind.turns.into_iter().flatten() {
        assert!(its_turn(world, id, turn).await, "it never came to {}", turn.stage);
        if turn.stage == stage {
            return;
        }
        say(world, id, turn.says[0].word, turn.says[0].needs, turn.party).await;
    }
}

/// Waits until it is somebody's turn. `false`: it has ended, or was turned back, before.
async fn its_turn(world: &World, id: &str, turn: &Turn) -> bool {
    let there = |booking: &Value| booking["stage"] == turn.stage || over(booking);
    let booking = world.until(id, turn.stage, there).await;
    booking["stage"] == turn.stage
}

fn over(booking: &Value) -> bool {
    booking["ending"].is_string() || matches!(booking["stage"].as_str(), Some("undoing"))
}

/// Somebody says something, through the inbox.
pub async fn say(world: &World, id: &str, what: &str, needs: &[&str], party: Party) {
    let mut body = Map::from_iter([("bookings".to_owned(), json!([id]))]);
    body.extend(needs.iter().map(|name| ((*name).to_owned(), json!("as agreed"))));
    let path = format!("/inbox/{what}");
    let say =
        async || world.post(speaker(world, party), &path, Value::Object(body.clone())).await.assert_status(200).body;
    // Not confirmed in time, on a busy machine: to say it again is harmless.
    let known = |said: &Value| said["outcomes"][0]["status"] != 503;
    let said = world.eventually("heard", say, known).await;
    if said["outcomes"][0]["code"] == "item_taken" {
        // The board has it that somebody else was quicker. Here they were quicker after it was looked at.
        let says = host::SAGAS.iter().flat_map(|kind| kind.turns).flatten().flat_map(|turn| turn.says);
        let say = says.into_iter().find(|say| say.word == what).unwrap();
        let by = speaker(world, party).subject.parse().unwrap();
        return world.tell(id, say.update, say.message(&by, &Map::new())).await.unwrap();
    }
    // 202: heard, and it does not show yet.
    assert!([json!(200), json!(202)].contains(&said["outcomes"][0]["status"]), "{what}: {said:#}");
}

/// Who speaks for a party.
pub const fn speaker(world: &World, party: Party) -> &Person {
    match party {
        Party::Customer => &world.member,
        Party::Administrator => &world.librarian,
        Party::Manager | Party::Shop => &world.manager,
        Party::Teacher => &world.teacher,
        Party::Courier => &world.courier,
        Party::Sender => &world.sender,
        Party::Operator => &world.operator,
    }
}

/// What a happy path costs Temporal is named in the header of each saga's file, and this holds it to that.
#[tokio::test]
async fn the_happy_path_of_every_system_takes_the_events_that_its_header_names() {
    let headers = [
        ("resort", include_str!("../../../workflows/src/resort.rs")),
        ("cinema", include_str!("../../../workflows/src/cinema.rs")),
        ("matching", include_str!("../../../workflows/src/matching.rs")),
        ("salon", include_str!("../../../workflows/src/salon.rs")),
        ("parcel", include_str!("../../../workflows/src/parcel.rs")),
    ];
    let world = World::new();
    let mut wrong = Vec::new();
    for (system, source) in headers {
        let kind = host::kind(system).unwrap();
        // On a busy machine a row may go the long way to the board, which costs more: the cheapest of three counts.
        let mut cheapest = usize::MAX;
        for _ in 0..3 {
            let id = world.begin_of(system, opening(&world, kind, 3_000, Limits::default()).await).await;
            play(&world, kind, &id, Until::Completed).await;
            world.ended(&id).await;
            let closed = |events: &Vec<String>| events.iter().any(|event| event.contains("ExecutionCompleted"));
            let events = world.eventually("closed", async || world.events(&id).await, closed).await;
            // A deadline is not set for who has spoken already.
            let counts = |event: &&String| !event.contains("WorkflowTask") && !event.contains("Timer");
            cheapest = cheapest.min(events.iter().filter(counts).count());
        }
        if !source.contains(&format!("costs Temporal {cheapest} events")) {
            wrong.push((system, cheapest));
        }
    }
    assert!(wrong.is_empty(), "the headers name other numbers of events: {wrong:?}");
}

/// INV-4, X12: the inbox shows what waits for the caller, the most urgent first, with money and time left; many are answered at once.
#[tokio::test]
async fn the_inbox_shows_what_waits_and_takes_one_word_for_many() {
    let world = World::new();
    let kind = host::kind("ebook").unwrap();
    let mut ids = Vec::new();
    for hours in [5, 2, 9] {
        let limits = Limits { decision: std::time::Duration::from_hours(hours), ..Limits::default() };
        ids.push(world.begin_of("ebook", opening(&world, kind, 3_000, limits).await).await);
    }
    for id in &ids {
        world.at_stage(id, "paid").await;
    }
    let mut seen = Vec::new();
    let mut path = "/inbox?system=ebook&limit=2".to_owned();
    loop {
        let page = world.get(&world.librarian, &path).await.assert_status(200).body;
        seen.extend(page["bookings"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/inbox?system=ebook&limit=2&cursor={next}");
    }
    let ours: Vec<&Value> = seen.iter().filter(|one| ids.iter().any(|id| one["id"] == id.as_str())).collect();
    let order: Vec<_> = ours.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(order, [&ids[1], &ids[0], &ids[2]], "the most urgent first");
    assert_eq!(ours[0]["price"]["amount_minor"], 3_000);
    assert!((7_000..=7_200).contains(&ours[0]["seconds_left"].as_i64().unwrap()), "{}", ours[0]);
    assert_eq!(ours[0]["may"][0]["say"], "approve");

    let stranger = world.person(&[Role::Courier]);
    let body = json!({ "bookings": ids });
    let refused = world.post(&stranger, "/inbox/approve", body.clone()).await.assert_status(200).body;
    assert!(refused["outcomes"].as_array().unwrap().iter().all(|one| one["status"] == 404), "{refused}");
    let own = world.post(&world.member, "/inbox/approve", body.clone()).await.assert_status(200).body;
    assert!(own["outcomes"].as_array().unwrap().iter().all(|one| one["code"] == "forbidden"), "{own}");

    let mut some = body.clone();
    some["bookings"].as_array_mut().unwrap().push(json!(Uuid::now_v7()));
    let said = world.post(&world.librarian, "/inbox/approve", some).await.assert_status(200).body;
    let statuses: Vec<_> =
        said["outcomes"].as_array().unwrap().iter().map(|one| one["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 404]);
    for id in &ids {
        assert_eq!(world.booking(id).await["stage"], "approved");
    }
    let again = world.post(&world.librarian, "/inbox/reject", body).await.assert_status(200).body;
    assert!(again["outcomes"].as_array().unwrap().iter().all(|one| one["code"] == "decided_otherwise"), "{again}");
    for bad in [json!({}), json!({ "bookings": [] }), json!({ "bookings": ["x"] }), json!({ "bookings": "x" })] {
        world.post(&world.librarian, "/inbox/approve", bad).await.assert_problem(400, "invalid_field");
    }
    // A customer's own turn.
    let mine = world.get(&world.member, "/inbox").await.assert_status(200).body;
    assert_eq!(mine["bookings"].as_array().unwrap().len(), 3);
    assert_eq!(mine["bookings"][0]["may"][0]["say"], "return");
}
