//! Suites that stop or overload things: each has a stack of its own, and runs alone (`make test` sees to that), so that what they
//! measure is theirs.

mod browser;
mod capacity;
mod conformance;
mod console;
mod degraded;
mod deploy;
mod door;
mod front;
mod gone;
mod hung;
mod kept;
mod kills;
mod network;
mod outages;
mod own_stack;
mod people;
mod replicas;
mod restored;
mod scaling;
mod secrets;
mod soak;
mod systems;
mod traces;
mod upgrade;
mod weather;
