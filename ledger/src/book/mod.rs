//! What the log means: the rules of DESIGN's contribution and revenue ledgers.
//!
//! In reading order: `types` (money, kinds, roles), `event` (bytes to facts),
//! `equation` (the rules a commons gives itself), `split` (an income over points,
//! exactly), `accounts` (balanced postings), `state` (everything that is folded
//! from the log), `chain`, `contributions` and `references` (its tables with a row for each entry), then one file of guards and effects for each group of events:
//! `agents`, `keys`, `freeze` (what a revoked key has signed), `erasure`, `work`, `lots`, `agreement`, `income`, `payout` (with `drawn` and `funds`), `revenue`;
//! `apply` runs them, `foresee` says what a statement must state, `flight` what is under way between
//! the two ledgers of an agreement, `explain` reads the result, `check` works it out a second
//! time for the audit; `state_root` makes one hash of what everybody has, and `balance_proof` the file that holds one agent's part of it.
//!
//! Guarantees: a state is a pure function of the entries, in order; an event that a
//! guard refuses changes nothing; every movement of money balances.
//! Leaves out: signatures and proofs of order (`log`), storage (`store`).

pub mod accounts;
pub mod agents;
pub mod agreement;
pub mod apply;
pub mod balance_proof;
pub mod chain;
pub mod check;
mod compact;
pub mod contributions;
pub mod decimal;
mod drawn;
pub mod equation;
pub mod equation_toml;
pub mod erasure;
pub mod event;
pub mod explain;
pub mod flight;
mod foresee;
pub mod fork;
pub mod freeze;
mod funds;
pub mod handover;
pub mod horizon;
mod income;
pub mod keys;
mod lots;
mod payout;
pub mod references;
mod revenue;
mod rows;
pub mod rules;
pub mod split;
pub mod state;
pub mod state_root;
pub mod templates;
pub mod two_stories;
pub mod types;
pub mod unfreeze;
pub mod votes;
mod work;
