//! What holds for the business crate as a whole.

mod no_io;
mod replay;
