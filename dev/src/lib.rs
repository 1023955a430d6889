//! Stand-ins: everything Holdfast needs around it on one machine, for development, tests and benchmarks.
//!
//! [`stack`] starts a private Postgres, a Temporal dev server, the payment simulator and Holdfast itself, and ends what it
//! started. [`simulator`] is the payment provider. [`demo`] plays two rentals and tells what happens. [`mod@bench`] is what benchmarks
//! are made with.

pub mod addresses;
pub mod bench;
pub mod demo;
mod postgres;
pub mod program;
pub mod simulator;
pub mod stack;
