//! The simulator's books: every charge there ever was, on disk.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The amount that every card is too poor for.
const DECLINED_AMOUNT: i64 = 40_200;
/// The card that is always declined.
const DECLINED_CARD: &str = "declined";

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The money was taken.
    Captured,
    /// It was not.
    Declined,
    /// It was taken and given back.
    Refunded,
    /// It was refused because the key had been cancelled before.
    Cancelled,
}

/// A line of the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The caller's key.
    pub key: String,
    /// Our own number for it, when money was taken.
    pub reference: Option<String>,
    /// Who paid.
    pub customer: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// Of which currency.
    pub currency: String,
    /// What became of it.
    pub status: Status,
    /// Why not, when it was declined.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What is to be charged.
pub(super) struct Order {
    pub key: String,
    pub customer: String,
    pub amount_minor: i64,
    pub currency: String,
}

/// Which charges are to be listed.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    since_ms: u64,
    #[serde(default)]
    skip: usize,
    limit: Option<usize>,
}

pub(super) struct Books {
    open: Mutex<Open>,
    key_memory: Duration,
}

struct Open {
    charges: Vec<Charge>,
    /// Where the charges of a key are.
    places: HashMap<String, Vec<usize>>,
    /// Who was seen with a key, also when nothing came of it.
    customers: HashMap<String, String>,
    file: File,
}

impl Books {
    pub(super) fn open(path: &Path, key_memory: Duration) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path);
        let file = file.with_context(|| format!("cannot open the books at {}", path.display()))?;
        let lines = BufReader::new(file.try_clone()?).lines();
        let mut open = Open { charges: Vec::new(), places: HashMap::new(), customers: HashMap::new(), file };
        for line in lines {
            let charge: Charge = serde_json::from_str(&line?).context("the books are damaged")?;
            open.customers.insert(charge.key.clone(), charge.customer.clone());
            open.enter(charge);
        }
        Ok(Self { open: Mutex::new(open), key_memory })
    }

    pub(super) fn listed(&self, wanted: &Wanted) -> Vec<Charge> {
        let open = self.lock();
        let young = open.charges.iter().filter(|charge| charge.at_ms >= wanted.since_ms);
        young.skip(wanted.skip).take(wanted.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    pub(super) fn meet(&self, key: &str, customer: &str) {
        self.lock().customers.insert(key.to_owned(), customer.to_owned());
    }

    pub(super) fn customer(&self, key: &str) -> String {
        self.lock().customers.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn find(&self, key: &str) -> Option<Charge> {
        self.lock().of(key).next().cloned()
    }

    pub(super) fn charge(&self, order: Order, method: Option<&str>) -> Charge {
        let mut open = self.lock();
        let recent = now_ms().saturating_sub(u64::try_from(self.key_memory.as_millis()).unwrap_or(u64::MAX));
        // A cancelled key stays cancelled; an idempotency key is forgotten.
        let remembered = |charge: &&Charge| charge.status == Status::Cancelled || charge.at_ms >= recent;
        let known = open.of(&order.key).filter(remembered).last();
        if let Some(known) = known {
            return known.clone();
        }
        let reason = match method {
            Some(DECLINED_CARD) => Some("insufficient_funds"),
            _ if order.amount_minor == DECLINED_AMOUNT => Some("amount_declined"),
            _ => None,
        };
        let charge = Charge {
            reference: reason.is_none().then(|| format!("ch_{}", uuid::Uuid::now_v7().simple())),
            status: if reason.is_none() { Status::Captured } else { Status::Declined },
            reason: reason.map(str::to_owned),
            key: order.key,
            customer: order.customer,
            amount_minor: order.amount_minor,
            currency: order.currency,
            at_ms: now_ms(),
        };
        open.write(charge.clone());
        charge
    }

    pub(super) fn cancel(&self, key: &str) -> Charge {
        let mut open = self.lock();
        if let Some(known) = open.of(key).next() {
            return known.clone();
        }
        let charge = Charge {
            key: key.to_owned(),
            reference: None,
            customer: open.customers.get(key).cloned().unwrap_or_default(),
            amount_minor: 0,
            currency: "XXX".to_owned(),
            status: Status::Cancelled,
            reason: Some("cancelled".to_owned()),
            at_ms: now_ms(),
        };
        open.write(charge.clone());
        charge
    }

    pub(super) fn refund(&self, key: &str) -> Option<Charge> {
        let mut open = self.lock();
        let mut charge = open.of(key).find(|charge| charge.reference.is_some())?.clone();
        if charge.status == Status::Captured {
            charge.status = Status::Refunded;
            open.write(charge.clone());
        }
        Some(charge)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// On disk before it is answered: these books are the truth that ours are held against.
    fn write(&mut self, charge: Charge) {
        let mut line = serde_json::to_vec(&charge).expect("a charge is plain data");
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).expect("the disk takes the books");
        self.enter(charge);
    }

    /// The last line about a charge is how it stands.
    fn enter(&mut self, charge: Charge) {
        let places = self.places.entry(charge.key.clone()).or_default();
        if let Some(place) = places.iter().find(|place| self.charges[**place].reference == charge.reference) {
            self.charges[*place] = charge;
        } else {
            places.push(self.charges.len());
            self.charges.push(charge);
        }
    }

    /// The charges of a key, oldest first.
    fn of(&self, key: &str) -> impl Iterator<Item = &Charge> {
        self.places.get(key).into_iter().flatten().map(|place| &self.charges[*place])
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
