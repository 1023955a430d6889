//! The short road's own agreement: what is asked there, of whichever worker, and what came of it.

use super::{Contract, activity, board};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// How long a saga waits on the short road, before it takes the long one. It keeps a task of the saga open meanwhile.
pub const PATIENCE: Duration = Duration::from_millis(300);

/// The header that says for which workflow it is asked: a worker knows it on the long road too.
pub const WORKFLOW_HEADER: &str = "x-workflow-id";

/// Asks a worker over the short road. One local activity for all contracts.
#[derive(Clone, Copy, Debug)]
pub struct Ask;

activity!(Ask, "road.ask", Asked => Answered);

/// What is asked of whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The contract's queue: whose it is.
    pub queue: String,
    /// The contract's name.
    pub contract: String,
    /// What the contract's activity takes.
    pub input: Value,
}

/// What was answered, and to what: of a local activity the history keeps nothing but this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// What was asked.
    pub asked: Asked,
    /// What the contract's activity answers.
    pub answer: Value,
}

/// Answers at once. The task that asks for it ends with that, and what it has heard is in the history.
#[derive(Clone, Copy, Debug)]
pub struct Written;

activity!(Written, "road.written", () => ());
impl Contract for Written {
    const NAME: &'static str = "road.written";
    const QUEUE: &'static str = board::QUEUE;
    const ATTEMPT: Duration = Duration::from_secs(5);
    const HAS_NEAR: bool = false;
}
