//! The version of the rules that a ledger is judged by.
//!
//! Owns which versions this program knows. Guarantees that a ledger changes its rules only in
//! the open, by its stewards' quorum and one version at a time, and that an entry is judged by the
//! version in force where it stands: old entries by old rules, for ever. Leaves out the
//! rules themselves; where versions differ, each keeps its own, chosen by [`State::rules`].

use super::state::State;
use crate::reject::{Code, Outcome, require};

/// The newest version that this program can judge by. A log that adopts a later one is no
/// fault: the audit says that it cannot judge the book from there on.
pub const RULES: u32 = 1;

impl State {
    /// RulesVersion.
    pub(super) fn adopt_rules(&mut self, version: u32) -> Outcome {
        let next = self.rules + 1;
        require(version == next, Code::RulesVersion, || {
            format!("rules version: expected {next}, found {version}")
        })?;
        require(version <= RULES, Code::RulesUnknown, || {
            format!("rules version {version}: this program knows those up to {RULES}")
        })?;
        self.rules = version;
        Ok(())
    }
}
