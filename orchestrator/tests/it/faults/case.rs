//! A case of the matrix, and what all of them have in common.

use crate::world::World;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use workflows::saga::Limits;

/// Something that goes wrong with one booking.
pub trait Case {
    /// What it is called, in the grid and to repeat it alone.
    fn name(&self) -> String;

    /// Plays it with a world of its own, on a road to the workers, and checks every promise.
    fn play(&self, road: Road) -> LocalBoxFuture<'_, Outcome>;
}

/// How a booking reaches its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Through their queues.
    Long,
    /// Over HTTP first, and through their queues when that goes wrong.
    Short,
}

impl Road {
    pub const ALL: &'static [Self] = &[Self::Long, Self::Short];

    pub fn limits(self) -> Limits {
        Limits { near: self == Self::Short, ..Limits::default() }
    }
}

/// What became of it.
pub struct Outcome {
    /// The booking.
    pub booking: String,
    /// How it ended.
    pub ending: String,
}

/// Waits until a booking has ended and nothing of it is running any more, and checks every promise.
pub async fn settle(world: &World, id: &str) -> Value {
    let booking = world.ended(id).await;
    // What was late arrives now, and must not change anything.
    world.lift(id).await;
    world.eventually("quiet", async || world.met(id).await.1, |running| *running == 0).await;
    world.eventually("quiet", async || world.provider_faults().await.running, |running| *running == 0).await;
    world.assert_promises(id).await;
    booking
}

/// How a booking ended, in words.
pub fn ending(booking: &Value) -> String {
    let stuck = if booking["times"]["stuck"].is_string() { "stuck, then " } else { "" };
    match booking["ending"].as_str() {
        Some("undone") => format!("{stuck}undone: {}", booking["reason"].as_str().unwrap_or_default()),
        Some(other) => format!("{stuck}{other}"),
        None => format!("open at {}", booking["stage"]),
    }
}
