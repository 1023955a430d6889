//! Suites that stop or overload things: each has a stack of its own, and runs alone (`make test` sees to that), so that what they
//! measure is theirs.

mod capacity;
mod degraded;
mod gone;
mod kills;
mod outages;
mod own_stack;
mod replicas;
mod systems;
