//! What an operator may do about a booking that is stuck, and the record of it.
//!
//! A move is heard like everything else people say, carried out in the next round of attempts, and written down with what
//! was stuck before and what after. What would lose money or sell a unit twice is refused.

use super::{Heard, Progress, Refusal, stage};
use crate::{
    booking::{BookingId, Row, Stuck, Subject},
    contracts::{ByHand, Move, Stake},
    money::Money,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A saga hears no more moves than this: the engine takes 2,000 messages for each of its runs, and people need the rest.
const MOVES_MAX: u32 = 1_000;

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

/// The record of an intervention. It is on the board before the move is carried out, and once more with what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Of which booking.
    pub booking: BookingId,
    /// The version of the row when it was heard.
    pub version: i32,
    /// Which of its interventions, counted from 1 within one saga.
    pub number: u32,
    /// When it was taken up.
    pub at: DateTime<Utc>,
    /// About which step.
    pub step: String,
    /// What was done, by whom and why.
    #[serde(flatten)]
    pub intervention: Intervention,
    /// What was open before.
    pub before: Option<Stuck>,
    /// What came of it; not known yet when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What is open after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Stuck>,
}

/// What came of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The step is done, or left out.
    Done,
    /// A worker refused it, or it was not allowed any more.
    Refused {
        /// A stable code.
        reason: String,
    },
    /// Nobody answered. It is tried on as before.
    NoAnswer,
    /// The step was done before the move could be made.
    NotNeeded,
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
    /// It counts as given back if the provider's books say that it was; otherwise nothing happens.
    RefundedIfTheProviderAgrees,
    /// It stays where it is, and is written off.
    WrittenOff,
}

/// What a move would do to the unit of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEffect {
    /// Nothing.
    Unchanged,
    /// It becomes free once the money is dealt with, or at once where no money is open.
    ReleasedAfterTheMoney,
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

/// An intervention that has not come to its end. It is about the step that was stuck when it was heard, and no other.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub audit: Audit,
    /// The board has its record: it is being carried out.
    pub taken_up: bool,
}

/// What is being settled, and what operators have said about it.
#[derive(Debug, Default)]
pub(super) struct Interventions {
    /// Empty while nothing is being settled.
    pub open: Vec<OpenTask>,
    /// How often each was asked for without success.
    pub attempts: u32,
    /// One at a time.
    pub pending: Option<Pending>,
    /// How many there have been.
    pub count: u32,
    /// Not acknowledged by the board yet, with their place in the order in which they were told.
    pub unpublished: Vec<(u32, Audit)>,
    pub told: u32,
}

impl Interventions {
    /// Has the board to be told of an intervention, or of what came of it.
    pub fn tell(&mut self, audit: Audit) {
        self.told += 1;
        self.unpublished.push((self.told, audit));
    }
}

impl Progress {
    /// Records what an operator wants done; it is carried out at once.
    pub fn intervene(&mut self, intervention: Intervention) -> Heard {
        self.interventions.count += 1;
        let audit = Audit {
            booking: self.row.booking,
            version: self.row.version,
            number: self.interventions.count,
            at: self.row.at,
            step: self.stuck_at().map(|task| task.name.to_owned()).unwrap_or_default(),
            intervention,
            before: self.stuck(),
            outcome: None,
            after: None,
        };
        self.interventions.pending = Some(Pending { audit, taken_up: false });
        self.heard()
    }

    /// May an operator do this, and what would it do?
    ///
    /// # Errors
    /// `not_stuck` when there is nothing to do anything about, `move_pending` while another move is being carried out,
    /// `move_not_allowed` when it would break a promise, `amount_differs` when another amount is at risk, and
    /// `too_many_moves` when this saga has heard as many as it can.
    pub fn preview(&self, action: &Action) -> Result<Preview, Refusal> {
        let Interventions { open, pending, count, .. } = &self.interventions;
        let amount = self.at_risk();
        let kind = action.kind();
        let Some(task) = self.stuck_at() else { return Err(self.refuse("not_stuck")) };
        // Until it is shown as stuck, it is being tried anyway: to be quicker harms nobody, to go another way might.
        if kind != Move::Retry && self.row.stage != stage::STUCK {
            return Err(self.refuse("not_stuck"));
        }
        if pending.is_some() {
            return Err(self.refuse("move_pending"));
        }
        if !task.allowed(amount).contains(&kind) {
            return Err(self.refuse("move_not_allowed"));
        }
        if *count >= MOVES_MAX {
            return Err(self.refuse("too_many_moves"));
        }
        if let Action::WriteOff { amount: given } = action
            && Some(*given) != amount
        {
            return Err(self.refuse("amount_differs"));
        }
        let money = match (task.stake, kind) {
            (Stake::Money, Move::Retry) => MoneyEffect::RefundTriedAgain,
            (Stake::Money, Move::Resolve) => MoneyEffect::RefundedIfTheProviderAgrees,
            (Stake::Money, Move::WriteOff) => MoneyEffect::WrittenOff,
            _ => MoneyEffect::Unchanged,
        };
        let releases = open.iter().any(|task| task.stake == Stake::Hold);
        let hold = if releases { HoldEffect::ReleasedAfterTheMoney } else { HoldEffect::Unchanged };
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
            moves: task.allowed(self.at_risk()),
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
    /// where the contract says so. Where no money is at risk, there is none to settle by hand.
    pub(super) fn allowed(&self, at_risk: Option<Money>) -> Vec<Move> {
        let allowed = |kind: &Move| match kind {
            Move::Retry => true,
            Move::Skip => self.moves.contains(kind) && self.refused.is_none(),
            Move::Resolve | Move::WriteOff => self.moves.contains(kind) && at_risk.is_some(),
        };
        Move::ALL.iter().copied().filter(allowed).collect()
    }
}
