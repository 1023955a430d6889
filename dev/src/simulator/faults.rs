//! Faults on demand: what the simulator does wrong, when it is asked to.

use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a hanging call hangs: longer than anybody waits.
pub const HANG: Duration = Duration::from_mins(1);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Takes money.
    Charge,
    /// Looks a charge up.
    Find,
    /// Cancels a key.
    Cancel,
    /// Gives money back.
    Refund,
}

/// What goes wrong before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// 502.
    Error,
    /// No answer for [`HANG`].
    Hang,
}

/// What goes wrong after it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// 502.
    Error,
    /// The connection is closed without an answer.
    DropReply,
}

/// Something that goes wrong, for those it is meant for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls; all when absent.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// Only of this customer.
    #[serde(default)]
    pub customer: Option<String>,
    /// Only under this key.
    #[serde(default)]
    pub key: Option<String>,
    /// How often; for ever when absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// Takes a random time between these, in milliseconds, before anything is done.
    #[serde(default)]
    pub delay_ms: Option<(u64, u64)>,
    /// The same, after it is done and before it is answered.
    #[serde(default)]
    pub delay_after_ms: Option<(u64, u64)>,
    /// Fails before anything is done.
    #[serde(default)]
    pub before: Option<Before>,
    /// Fails after it is done.
    #[serde(default)]
    pub after: Option<After>,
    /// Refuses refunds: an answer, not a failure.
    #[serde(default)]
    pub refuse_refunds: bool,
}

impl Fault {
    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay_ms.map(random)
    }

    pub(super) fn delay_after(&self) -> Option<Duration> {
        self.delay_after_ms.map(random)
    }

    fn is_for(&self, operation: Operation, key: &str, customer: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.customer.as_deref().is_none_or(|wanted| wanted == customer)
            && self.key.as_deref().is_none_or(|wanted| wanted == key)
    }
}

/// What has come of the faults of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How many have not been used up.
    pub left: usize,
    /// How many calls that met one are still at it.
    pub running: usize,
}

#[derive(Default)]
pub(super) struct Faults {
    wanted: Mutex<Vec<Fault>>,
    /// The customers of the calls that are at it.
    running: Arc<Mutex<Vec<String>>>,
}

/// A call is at it for as long as this lives.
pub(super) struct Met {
    running: Arc<Mutex<Vec<String>>>,
    customer: String,
}

impl Drop for Met {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = running.iter().position(|customer| *customer == self.customer) {
            running.swap_remove(place);
        }
    }
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(super) fn seen(&self, customer: &str) -> Seen {
        let left = self.lock().iter().filter(|fault| fault.customer.as_deref() == Some(customer)).count();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Seen { left, running: running.iter().filter(|running| *running == customer).count() }
    }

    pub(super) fn clear(&self, customer: &str) {
        self.lock().retain(|fault| fault.customer.as_deref() != Some(customer));
    }

    /// The fault for this call, used up once.
    pub(super) fn next(&self, operation: Operation, key: &str, customer: &str) -> (Fault, Option<Met>) {
        let Some(fault) = self.take(|fault| !fault.refuse_refunds && fault.is_for(operation, key, customer)) else {
            return (Fault::default(), None);
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push(customer.to_owned());
        (fault, Some(Met { running: self.running.clone(), customer: customer.to_owned() }))
    }

    pub(super) fn refuses_refund(&self, key: &str, customer: &str) -> bool {
        self.take(|fault| fault.refuse_refunds && fault.is_for(Operation::Refund, key, customer)).is_some()
    }

    fn take(&self, meant: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.lock();
        let at = faults.iter().position(meant)?;
        let fault = faults[at].clone();
        match &mut faults[at].times {
            Some(1) => {
                faults.remove(at);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random((least, most): (u64, u64)) -> Duration {
    Duration::from_millis(rand::random_range(least..=most.max(least)))
}
