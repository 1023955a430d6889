//! The workers' contracts on real Postgres and against a real payment provider process: repeats, late and early calls,
//! and everything that gets lost.

mod catalog;
mod delivery;
mod notification;
mod payment;
mod providers;
mod stripe;
mod world;
