//! What an operator may do about a booking that is stuck, and the record of it.
//!
//! A move is heard like everything else people say, carried out in the next round of attempts, and written down with what
//! was stuck before and what after. What would lose money or sell a unit twice is refused.

use super::{Heard, Progress, Refusal, stage};
use crate::{
    booking::{BookingId, Row, Stuck, Subject},
    contracts::{ByHand, Move, Settled, Stake},
    money::Money,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// No more moves are heard before these have been carried out.
const PENDING_MAX: usize = 8;

/// What an operator does about a booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervention {
    /// Who.
    pub by: Subject,
    /// Why, in their words.
    pub reason: String,
    /// What makes a repeat the same intervention, when the caller sent a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// A move, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "move", rename_all = "kebab-case")]
pub enum Action {
    /// Ask for it again, now.
    Retry,
    /// It was done by hand.
    Resolve {
        /// What it is called where it was done, such as the provider's number of a refund.
        reference: String,
    },
    /// It is given up.
    WriteOff {
        /// All that is at risk: a slip of the pen must not cost money.
        amount: Money,
    },
    /// It is left out.
    Skip,
}

impl Action {
    /// Which move it is.
    #[must_use]
    pub const fn kind(&self) -> Move {
        match self {
            Self::Retry => Move::Retry,
            Self::Resolve { .. } => Move::Resolve,
            Self::WriteOff { .. } => Move::WriteOff,
            Self::Skip => Move::Skip,
        }
    }

    pub(super) fn by_hand(&self) -> Option<ByHand> {
        match self {
            Self::Resolve { reference } => Some(ByHand::Resolved { reference: reference.clone() }),
            Self::WriteOff { amount } => Some(ByHand::WrittenOff { amount: *amount }),
            Self::Retry | Self::Skip => None,
        }
    }
}

/// The record of an intervention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Of which booking.
    pub booking: BookingId,
    /// Which of its interventions, counted from 1 within one saga.
    pub number: u32,
    /// The version of the row when it was heard. With the number, what tells it from all others.
    pub version: i32,
    /// When it was carried out.
    pub at: DateTime<Utc>,
    /// What was done, by whom and why.
    #[serde(flatten)]
    pub intervention: Intervention,
    /// What was open before.
    pub before: Option<Stuck>,
    /// What is open after it.
    pub after: Option<Stuck>,
}

/// What a move would do, before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// To the money.
    pub money: MoneyEffect,
    /// How much of it.
    pub amount: Option<Money>,
    /// To the unit.
    pub hold: HoldEffect,
}

/// The answer to the question what a move would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Foresight {
    /// It may be made, and would do this.
    Allowed(Preview),
    /// It may not be made.
    Refused {
        /// A stable code.
        code: String,
    },
}

impl From<Result<Preview, Refusal>> for Foresight {
    fn from(preview: Result<Preview, Refusal>) -> Self {
        match preview {
            Ok(preview) => Self::Allowed(preview),
            Err(refusal) => Self::Refused { code: refusal.code.to_owned() },
        }
    }
}

/// What a move would do to the money of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyEffect {
    /// Nothing.
    Unchanged,
    /// The provider is asked once more to give it back.
    RefundTriedAgain,
    /// It counts as given back, if the provider's books say that it was.
    CountedAsRefunded,
    /// It stays where it is, and is written off.
    WrittenOff,
}

/// What a move would do to the unit of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEffect {
    /// Nothing.
    Unchanged,
    /// It becomes free when the money is dealt with, or at once where no money is open.
    Released,
}

/// Where a booking is, as it knows itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its state.
    pub row: Row,
    /// How often what is open has been asked for without success.
    pub attempts: u32,
}

/// Something that is being settled: what an operator has to know of it.
#[derive(Clone, Debug)]
pub(super) struct OpenTask {
    pub name: &'static str,
    pub stake: Stake,
    pub moves: &'static [Move],
    /// Why the worker said that it cannot be done.
    pub refused: Option<String>,
}

/// What is being settled, and what operators have said about it.
#[derive(Debug, Default)]
pub(super) struct Interventions {
    /// Empty while nothing is being settled.
    pub open: Vec<OpenTask>,
    /// How often each was asked for without success.
    pub attempts: u32,
    /// Heard, and not carried out yet.
    pub pending: Vec<Intervention>,
    /// How many there have been.
    pub count: u32,
    /// Carried out, and not acknowledged by the board yet.
    pub unpublished: Vec<Audit>,
}

impl Progress {
    /// Records what an operator wants done; it is carried out at once.
    pub fn intervene(&mut self, intervention: Intervention) -> Heard {
        self.interventions.pending.push(intervention);
        self.heard()
    }

    /// May an operator do this, and what would it do?
    ///
    /// # Errors
    /// `not_stuck` when there is nothing to do anything about, `move_pending` while another move is being carried out,
    /// `move_not_allowed` when it would break a promise, `amount_differs` when another amount is at risk.
    pub fn preview(&self, action: &Action) -> Result<Preview, Refusal> {
        let Interventions { open, pending, .. } = &self.interventions;
        let amount = self.at_risk();
        let kind = action.kind();
        let Some(task) = self.stuck_at() else { return Err(self.refuse("not_stuck")) };
        // Until it is shown as stuck, it is being tried anyway: to be quicker harms nobody, to go another way might.
        if kind != Move::Retry && self.row.stage != stage::STUCK {
            return Err(self.refuse("not_stuck"));
        }
        let busy = if kind == Move::Retry { pending.len() >= PENDING_MAX } else { !pending.is_empty() };
        if busy {
            return Err(self.refuse("move_pending"));
        }
        if !task.allowed().contains(&kind) {
            return Err(self.refuse("move_not_allowed"));
        }
        if let Action::WriteOff { amount: given } = action
            && Some(*given) != amount
        {
            return Err(self.refuse("amount_differs"));
        }
        let money = match (task.stake, kind) {
            (Stake::Money, Move::Retry) => MoneyEffect::RefundTriedAgain,
            (Stake::Money, Move::Resolve) => MoneyEffect::CountedAsRefunded,
            (Stake::Money, Move::WriteOff) => MoneyEffect::WrittenOff,
            _ => MoneyEffect::Unchanged,
        };
        let releases = open.iter().any(|task| task.stake == Stake::Hold);
        let hold = if releases { HoldEffect::Released } else { HoldEffect::Unchanged };
        Ok(Preview { money, amount, hold })
    }

    /// Where the booking is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { row: self.row.clone(), attempts: self.interventions.attempts }
    }

    /// What the booking cannot get done, as things stand.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        self.stuck_at().map(|task| Stuck {
            step: task.name.to_owned(),
            reason: task.refused.clone(),
            at_risk: self.at_risk(),
            moves: task.allowed(),
        })
    }

    /// The first that was refused; otherwise the first that is open.
    pub(super) fn stuck_at(&self) -> Option<&OpenTask> {
        let open = &self.interventions.open;
        open.iter().find(|task| task.refused.is_some()).or(open.first())
    }

    /// The money that has to go back and has not.
    fn at_risk(&self) -> Option<Money> {
        let open = self.interventions.open.iter().any(|task| task.stake == Stake::Money);
        self.row.price.filter(|price| open && !price.is_zero())
    }
}

impl OpenTask {
    /// To leave out what a worker has refused would be to go on without it; what merely does not answer may be left out
    /// where the contract says so.
    fn allowed(&self) -> Vec<Move> {
        let allowed = |kind: &Move| match kind {
            Move::Retry => true,
            Move::Skip => self.moves.contains(kind) && self.refused.is_none(),
            Move::Resolve | Move::WriteOff => self.moves.contains(kind),
        };
        Move::ALL.iter().copied().filter(allowed).collect()
    }
}

/// What a round has found out about something that must be done.
pub(super) const fn is_settled(answer: Option<&Settled>) -> bool {
    matches!(answer, Some(Settled::Done | Settled::Nothing))
}
