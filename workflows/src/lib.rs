//! The business of Holdfast: what a booking goes through, and what it asks of whom.
//!
//! One file per saga ([`rental`], [`resort`], [`cinema`], [`matching`], [`salon`], [`parcel`]), the [`contracts`] the sagas call, and the [`saga`] kit that turns a story
//! into something that survives outages. Nothing here does I/O: no socket, file, clock, thread or database. All
//! of that is reached through the contracts, which the workers keep.
//!
//! Read in this order: [`booking`] (the words), [`rental`] (a story), [`saga`] (how a story is carried),
//! [`contracts`] (what it asks for).

pub mod booking;
pub mod calls;
pub mod cinema;
pub mod contracts;
pub mod matching;
pub mod money;
pub mod parcel;
pub mod recovery;
pub mod rental;
pub mod resort;
pub mod saga;
pub mod salon;
