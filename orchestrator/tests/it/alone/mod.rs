//! Suites that stop or overload things: each has a stack of its own, and runs alone (`make test` sees to that), so that what they
//! measure is theirs.

mod browser;
mod capacity;
mod conformance;
mod console;
mod degraded;
mod door;
mod front;
mod gone;
mod hung;
mod kills;
mod outages;
mod own_stack;
mod replicas;
mod systems;
mod upgrade;
mod weather;
