//! What every Holdfast process needs around its own work: settings, logs, an admin port, Postgres, Temporal, an orderly
//! end. Nothing here knows a booking.

pub mod admin;
pub mod breaker;
pub mod codec;
pub mod levels;
pub mod logs;
pub mod metrics;
pub mod postgres;
pub mod settings;
pub mod shutdown;
pub mod temporal;
pub mod traces;
