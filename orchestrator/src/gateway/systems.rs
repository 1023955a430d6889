//! The booking systems. A new one is a line here, a saga in the host's list, and a file beside each.

use super::{
    Gateway,
    auth::{Caller, Role},
    call::{Call, Fields},
    cinema, ebook, matching, parcel,
    problem::Problem,
    resort,
    routes::Route,
    salon,
    start::Wanted,
};
use futures::future::BoxFuture;
use workflows::booking::Row;

/// A booking system, as the gateway knows it.
pub(super) struct System {
    /// Its name, as in paths and on the board.
    pub name: &'static str,
    /// Its paths.
    pub routes: &'static [Route],
    /// Who works there, and so sees all of its bookings.
    pub staff: &'static [Role],
    /// Where its bookings begin.
    pub order: &'static str,
    /// The stage from which on its customer has paid, where they pay.
    pub paid: Option<&'static str>,
    /// Its catalogue, where it has one.
    pub shelf: Option<Shelf>,
    /// Reads what a customer asks for.
    pub read: for<'a> fn(&'a Gateway, &'a Call, &'a Fields) -> Reading<'a>,
}

/// A system's catalogue, as its routes show it.
pub(super) struct Shelf {
    /// Its path; that of an item has its number behind it.
    pub path: &'static str,
    /// Under which name a page lists the items.
    pub list: &'static str,
    /// The field with an item's number, and the one with its name.
    pub number: &'static str,
    pub title: &'static str,
    /// The field of a booking request that takes the number.
    pub wanted: &'static str,
}

/// A request that is being read: what it names may have to be looked up.
pub(super) type Reading<'a> = BoxFuture<'a, Result<Wanted, Problem>>;

/// Every system there is.
pub(super) const SYSTEMS: &[System] =
    &[ebook::SYSTEM, resort::SYSTEM, cinema::SYSTEM, matching::SYSTEM, salon::SYSTEM, parcel::SYSTEM];

/// The system of this name.
pub(super) fn named(name: &str) -> Option<&'static System> {
    SYSTEMS.iter().find(|system| system.name == name)
}

/// Every system, with the stage from which on its customer has paid, where they pay.
#[must_use]
pub fn paid_from() -> Vec<(&'static str, Option<&'static str>)> {
    SYSTEMS.iter().map(|system| (system.name, system.paid)).collect()
}

/// May somebody see a booking? Their own, those of the systems they work for, or all of them.
pub(super) fn may_see(caller: &Caller, row: &Row) -> bool {
    row.customer == caller.subject || sees_all_of(caller, &row.system)
}

/// May somebody see every booking of a system?
pub(super) fn sees_all_of(caller: &Caller, system: &str) -> bool {
    caller.sees_all() || named(system).is_some_and(|system| caller.is_any(system.staff))
}
