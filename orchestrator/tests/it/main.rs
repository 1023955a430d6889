//! The orchestrator against the real stack: HTTP in, JSON out, and afterwards the books are compared.
//!
//! `make test` starts one stack for the whole run. A test makes its own books and members, so that all of them run side by
//! side; a suite that stops things starts a stack of its own.

mod access;
mod alone;
mod board;
mod cinema;
mod cli;
mod contract;
mod dashboards;
mod documented;
mod ebook;
mod faults;
mod feed;
mod forget;
mod histories;
mod input;
mod keys;
mod kit;
mod matching;
mod moves;
mod parcel;
mod play;
mod races;
mod recovery;
mod regressions;
mod requirements;
mod resort;
mod salon;
mod sign_in;
mod stuck;
mod world;
