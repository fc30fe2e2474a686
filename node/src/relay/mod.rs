//! Relaying between ledgers: what another ledger has said, proven and appended to one's own.
//!
//! Owns what is to be relayed and its proofs, for the node and the command line, and the node's own
//! hand and clock. Guarantees that
//! nothing is remembered beside the logs: what is to be relayed is what the two books differ in,
//! so that a crash loses nothing and doubles nothing; and that a proof is only made of what lies
//! under a signed head. What it appends is judged by the rules like everybody's: it is trusted
//! with nothing. Leaves out how another ledger gets into this store.
//!
//! ```text
//! plan     two books -> what is to be appended to one's own      pure
//! proofs   entries of a log that are needed, and proofs of them
//! status   what waits, and for what
//! hand     a step, carried out as the clerk;  desk: when;  run: a node's loop
//! ```
//!
//! **Cascades.** A payout of a commons to its upstream commons is an income there, and so on.
//! Payouts are whole minor units, none below the minimum of the paying commons' equation; what is
//! less stays the upstream's balance there until more comes. Among commons that pay one another in
//! a circle each payout is at most the share `s` of the one before and a rest below the minimum
//! `m`: all that ever goes round of an income `x` is below `x s / (1 - s)`, and it ends after about
//! `log(x / m) / log(1 / s)` payouts, some more where rests add up to one. Nobody needs to stop
//! it, and nothing is lost.

mod desk;
mod hand;
pub mod plan;
pub mod proofs;
mod run;
mod status;

pub use run::Relay;
pub(crate) use status::Board;
pub use status::{Waiting, Why};
