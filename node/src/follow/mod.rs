//! Following ledgers of other nodes: copies that are verified as they arrive.
//!
//! ```text
//! peers    whom to follow: the file <database>.peers
//! copy     pure: which entries may be stored, under which head; what is a lie, what a second history
//! run      one task a peer and one a ledger: connect, ask, wait, back off
//! round    one question to one node: its newest head, the entries to it, the texts behind them
//! evidence fraud proofs, in <database>.evidence
//! ```
//!
//! A copy is a ledger of the store like any other, of which the operator's key is not here: every read
//! works on it, with proofs, and nothing is appended to it but what is copied. Guarantees that
//! nothing is stored of which it was not shown that it lies under a signed head, that any
//! interruption costs what was not stored, and that a node which does not answer holds up no other.
//! Leaves out what copies are good for: serving them (`serve`), relaying income from them (`relay`).

pub mod copy;
pub mod evidence;
pub mod peers;
mod round;
mod run;

pub use run::Follower;
