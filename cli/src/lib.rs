//! The parts of the command line that can be used and tested without a terminal.
//!
//! Owns the tree of modules; each opens with what it guarantees. Leaves out the
//! arguments, the printing and the exit status: those are the program's.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod import;
