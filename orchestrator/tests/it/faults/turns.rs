//! Every two things that people may say to a booking of any system, one after the other, wherever it waits for somebody. By
//! what the sagas declare; the rental's own pairs, with deadlines and running steps, are in `pairs.rs`.

use super::case::{Case, Outcome, Road, ending, settle};
use crate::{
    play::{self, speaker},
    world::World,
};
use futures::{FutureExt, future::LocalBoxFuture};
use orchestrator::host::{Kind, SAGAS};
use serde_json::{Map, Value, json};
use temporalio_client::errors::WorkflowUpdateError;
use workflows::saga::{Say, Turn};

/// Something that is said: what the turn allows, or that the customer cancels.
#[derive(Clone, Copy)]
enum Act {
    Cancel,
    Say(&'static Say),
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Say(say) => say.word,
        }
    }
}

/// Where the other systems wait for people.
pub fn turns() -> impl Iterator<Item = (&'static Kind, &'static Turn)> {
    let others = SAGAS.iter().filter(|kind| kind.system != "ebook");
    others.flat_map(|kind| kind.turns.into_iter().flatten().map(move |turn| (kind, turn)))
}

fn pairs(turn: &'static Turn) -> Vec<(Act, Act)> {
    let acts: Vec<Act> = [Act::Cancel].into_iter().chain(turn.says.iter().map(Act::Say)).collect();
    acts.iter().flat_map(|first| acts.iter().map(|second| (*first, *second))).collect()
}

/// What is said in each case of a turn, and what the case is called.
pub fn names(kind: &Kind, turn: &'static Turn) -> Vec<(String, String)> {
    let named = |(first, second): (Act, Act)| {
        let acts = format!("{}, {}", first.name(), second.name());
        (acts.clone(), format!("{} at {}: {acts}", kind.system, turn.stage))
    };
    pairs(turn).into_iter().map(named).collect()
}

pub fn cases() -> Vec<Box<dyn Case>> {
    let all = turns().flat_map(|(kind, turn)| {
        let named = pairs(turn).into_iter().zip(names(kind, turn));
        named.map(move |(acts, (_, name))| Box::new(TurnCase { kind, turn, acts, name }) as Box<dyn Case>)
    });
    all.collect()
}

struct TurnCase {
    kind: &'static Kind,
    turn: &'static Turn,
    acts: (Act, Act),
    name: String,
}

impl Case for TurnCase {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn play(&self, road: Road) -> LocalBoxFuture<'_, Outcome> {
        self.play(road).boxed_local()
    }
}

impl TurnCase {
    async fn play(&self, road: Road) -> Outcome {
        let world = World::new();
        let opening = play::opening(&world, self.kind, 3_000, road.limits()).await;
        let id = world.begin_of(self.kind.system, opening).await;
        play::play_to(&world, self.kind, &id, self.turn.stage).await;

        let first = self.act(&world, &id, self.acts.0).await;
        let second = self.act(&world, &id, self.acts.1).await;
        // Whether the saga has ended by then makes another code, and no difference to anybody.
        let second = match second.as_str() {
            "heard" | "too_late" if self.acts.0.name() == self.acts.1.name() => "harmless",
            "too_late" | "decided_otherwise" => "refused",
            other => other,
        };

        self.end(&world, &id).await;
        let booking = settle(&world, &id).await;
        Outcome { ending: format!("{first}, {second}: {}", ending(&booking)), booking: id }
    }

    /// What was answered: `heard`, or a code.
    async fn act(&self, world: &World, id: &str, act: Act) -> String {
        match act {
            Act::Cancel => match world.tell(id, "cancel", json!({ "by": world.member.subject })).await {
                Ok(()) => "heard".to_owned(),
                Err(WorkflowUpdateError::Failed(failure)) => failure.message.split(':').next().unwrap().to_owned(),
                Err(WorkflowUpdateError::NotFound(_)) => "too_late".to_owned(),
                Err(other) => panic!("{other}"),
            },
            Act::Say(say) => {
                let mut body = Map::from_iter([("bookings".to_owned(), json!([id]))]);
                body.extend(say.needs.iter().map(|name| ((*name).to_owned(), json!("as agreed"))));
                let path = format!("/inbox/{}", say.word);
                let body = Value::Object(body);
                let post = async || world.post(speaker(world, self.turn.party), &path, body.clone()).await.body;
                let said = world.eventually("answered", post, |said| said["outcomes"][0]["status"] != 503).await;
                said["outcomes"][0]["code"].as_str().unwrap_or("heard").to_owned()
            }
        }
    }

    /// What still waits for somebody is cancelled, or, past the point of no return, taken to its end.
    async fn end(&self, world: &World, id: &str) {
        let over = |booking: &Value| booking["ending"].is_string() || booking["waiting_for"].is_string();
        let booking = world.until(id, "over, or somebody's turn", over).await;
        if booking["ending"].is_string() || self.act(world, id, Act::Cancel).await == "heard" {
            return;
        }
        let stage = self.kind.turns[1].iter().find(|turn| booking["stage"] == turn.stage);
        if let Some(turn) = stage {
            play::play_from(world, self.kind, id, turn.stage).await;
        }
    }
}
