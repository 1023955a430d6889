//! What holds for the business crate as a whole.

mod contracts;
mod no_io;
mod replay;
